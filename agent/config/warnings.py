"""What a valid configuration leaves to be desired: what works and is probably not meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic import SecretStr

from agent.config.models import Config
from agent.config.url import has_credentials, is_loopback, parse_broker
from agent.config.values import path_text
from agent.config.yaml import KeyPath

REFERENCES = "${ENV:NAME} and ${FILE:/path}"


def warnings(config: Config, *, from_file: bool, references: Collection[KeyPath]) -> Iterator[str]:
    """Yield what works and is probably not meant. ``references`` are the paths of ``${...}``."""
    for path, section in config.walk():
        for key, value in section:
            place = path_text((*path, key))
            if (*path, key) in references:
                continue
            if isinstance(value, SecretStr):
                yield f"{place} is a secret; {REFERENCES} keep it out of the file"
            elif isinstance(value, str) and has_credentials(value):
                yield f"{place} holds credentials; {REFERENCES} keep them out of the file"
    yield from _exposure(config)
    if from_file and config.state_dir is None:
        yield "state_dir is not set: nothing survives a restart"


def _exposure(config: Config) -> Iterator[str]:
    broker = parse_broker(config.mqtt.broker) if config.mqtt.broker else None
    if broker is not None and broker.kind == "network" and not broker.tls:
        has_password = broker.password is not None or config.mqtt.password is not None
        if has_password and not is_loopback(broker.host):
            yield "mqtt.broker is not mqtts://: the password crosses the network readable"
    http = config.http
    open_to_others = http.enabled and not is_loopback(http.host)
    if open_to_others and http.page and http.tls.certificate is None:
        yield (
            f"http.host {http.host}: token and pictures cross the network readable; set "
            "http.tls.certificate and key, or let a proxy speak https"
        )
