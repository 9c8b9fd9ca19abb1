"""``mqtt``: the broker, the connection to it, and what goes over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from agent.config.rules import Broken, not_above, together
from agent.config.sections.base import Seconds, Section, Share, text
from agent.config.url import BROKER_FORMS, parse_broker


class Tls(Section):
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: SecretStr | None = None


Protocol = Annotated[
    Literal["auto", "5", "3.1.1"],
    BeforeValidator(lambda value: "5" if value == 5 else value),  # a bare 5 in YAML is a number
]


ClientId = Annotated[str, text(r"^[A-Za-z0-9_-]{1,60}$", "1 to 60 letters, digits, _ or -")]
HostId = Annotated[
    str,
    text(
        r"^[^+/#$\s\x00-\x1f\x7f]{1,80}$",
        "1 to 80 characters without + / # $, blanks or controls",
    ),
]


class Sparkplug(Section):
    """The agent as a Sparkplug B edge node: group ``{enterprise}-{site}``, node ``id``, one device
    per camera or lane. A client of its own, ``{id}-spb``, on the same broker."""

    enabled: bool = False
    primary_host: HostId | None = None
    """Births wait until this host application says that it is online; None: they do not wait."""
    batch_s: Annotated[float, Field(ge=0.05, le=60)] = 0.2
    """Values of this long go out together, in one message per device."""
    rebirth_debounce_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """At least this long between two births of the node that hosts ask for."""
    datatype_in_data: bool = False
    """Every value carries its data type, not births alone: for clients that do not remember it."""
    history_max: Annotated[int, Field(ge=0, le=1_000_000)] = 20_000
    """Values kept while the broker is away; sent afterwards, marked as historical."""


class Mqtt(Section):
    broker: str | None = None
    """``mqtt://host:port``, ``mqtts://host:port``, ``embedded``, or ``none``."""
    protocol: Protocol = "auto"
    client_id: ClientId | None = None
    username: str | None = None
    password: SecretStr | None = None
    tls: Tls = Tls()
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    reconnect_first_s: Seconds = 1.0
    reconnect_max_s: Seconds = 60.0
    reconnect_penalty_s: Seconds = 60.0
    """Least wait after an authentication failure or a session takeover."""
    puback_timeout_s: Seconds = 20.0
    retain: bool = True
    """False: for a broker of MQTT 3.1.1 that hangs up at retained messages; MQTT 5 says so."""
    publish_per_s: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Messages a second at most, live ones first; 0: not limited. See ``rule_pace``."""
    in_flight_max: Annotated[int, Field(ge=1, le=1000)] = 20
    queue_max: Annotated[int, Field(ge=10, le=100_000)] = 1000
    """Messages kept in memory while the broker is away; state topics keep only the newest."""
    status_interval_s: Seconds = 10.0
    metric_interval_s: Seconds = 30.0
    metric_deadband: Share = 0.01
    """Relative change below which a metric is not resent before its interval is over."""
    message_limit_bytes: Annotated[int, Field(ge=32 * 1024, le=10_000_000)] = 100 * 1024
    """A larger picture is encoded again, smaller; below the least nothing would be seen on one."""
    embedded_port: Annotated[int, Field(ge=0, le=65535)] = 18883
    sparkplug: Sparkplug = Sparkplug()

    def rule_reconnect(self) -> Iterator[Broken]:
        yield from not_above(
            "reconnect_first_s", self.reconnect_first_s, "reconnect_max_s", self.reconnect_max_s
        )

    def rule_pace(self) -> Iterator[Broken]:
        if 0 < self.publish_per_s < 1:
            yield Broken(
                ("publish_per_s",), "is below one a second", "1 or more, or 0: not limited"
            )

    def rule_certificate(self) -> Iterator[Broken]:
        yield from together(
            {("tls", "certificate"): self.tls.certificate, ("tls", "key"): self.tls.key},
            "a client certificate and its key go together",
        )

    def rule_key_password(self) -> Iterator[Broken]:
        if self.tls.key_password is not None and self.tls.key is None:
            yield Broken(("tls", "key_password"), "has no effect without tls.key")

    def rule_tls(self) -> Iterator[Broken]:
        plain = self.broker is not None and not self.broker.lower().startswith("mqtts:")
        if plain and (self.tls.ca or self.tls.certificate):
            yield Broken(("tls",), "has no effect: the broker is not mqtts://", BROKER_FORMS)

    def rule_broker(self) -> Iterator[Broken]:
        try:
            address = parse_broker("none" if self.broker is None else self.broker)
        except ValueError as error:
            yield Broken(("broker",), str(error), BROKER_FORMS)
            return
        if address.kind == "network" and address.port == 0:
            yield Broken(("broker",), "has port 0", "a port from 1 to 65535")
        for key in ("username", "password"):
            if None not in (getattr(self, key), getattr(address, key)):
                yield Broken((key,), "is given here and in the broker's URL", "one of the two")
        if self.password is not None and self.username is None and address.username is None:
            yield Broken(("username",), "is missing, although there is a password")
