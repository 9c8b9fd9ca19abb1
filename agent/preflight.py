"""What the configuration names outside of itself: is it there? And what deserves a warning.

Looks, and changes nothing: no directory is made, no device opened, no host asked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from agent.capture.check import check_source
from agent.capture.source import SourceError
from agent.config import Camera, Config
from agent.config.rules import Broken, is_loopback
from agent.config.url import SOURCE_FORMS, check_stream, has_credentials, parse_broker
from agent.config.values import get
from agent.config.words import path_text
from agent.config.yaml import KeyPath
from agent.simulator.parameters import ParameterError, parse_url

REFERENCES = "${ENV:NAME} and ${FILE:/path}"


def missing_things(data: Any) -> Iterator[Broken]:
    """Yield every file, folder and scheme that the plain values name and that cannot be used.

    ``data`` may be wrong in any way: what is no text is left to the check of types.
    """
    cameras = get(data, ("cameras",))
    for i in range(len(cameras) if isinstance(cameras, list) else 0):
        source: KeyPath = ("cameras", i, "source")
        yield from _source_problems(source, get(data, source))
        yield from _sim_problems(("cameras", i), get(data, ("cameras", i)))
    for file in (
        ("model", "path"),
        ("mqtt", "tls", "ca"),
        ("mqtt", "tls", "certificate"),
        ("mqtt", "tls", "key"),
        ("http", "tls", "certificate"),
        ("http", "tls", "key"),
        ("http", "tls", "client_ca"),
    ):
        yield from _file_problems(file, get(data, file))
    reference = get(data, ("alarms", "reference"))
    for variety in reference if isinstance(reference, dict) else ():
        one: KeyPath = ("alarms", "reference", str(variety))
        yield from _file_problems(one, get(data, one))
    yield from _folder_problems(("state_dir",), get(data, ("state_dir",)))


def warnings(config: Config, *, from_file: bool, references: Collection[KeyPath]) -> Iterator[str]:
    """Yield what works and is probably not meant. ``references`` are the paths of ``${...}``."""
    urls: list[tuple[KeyPath, str]] = [
        (("cameras", i, "source"), camera.source) for i, camera in enumerate(config.cameras)
    ]
    urls.append((("mqtt", "broker"), config.mqtt.broker or ""))
    for path, url in urls:
        if has_credentials(url) and path not in references:
            yield f"{path_text(path)} holds credentials; {REFERENCES} keep them out of the file"
    secrets: tuple[tuple[KeyPath, object], ...] = (
        (("mqtt", "password"), config.mqtt.password),
        (("mqtt", "tls", "key_password"), config.mqtt.tls.key_password),
        (("http", "token"), config.http.token),
        (("http", "tls", "key_password"), config.http.tls.key_password),
    )
    for path, secret in secrets:
        if secret is not None and path not in references:
            yield f"{path_text(path)} is a secret; {REFERENCES} keep it out of the file"
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


def _source_problems(path: KeyPath, source: object) -> Iterator[Broken]:
    if not isinstance(source, str) or not source:
        return
    try:
        if source.startswith("sim:"):
            parse_url(source)  # what YAML adds is looked at apart, for the sake of its place
        elif source.startswith(("rtsp:", "rtsps:")):
            check_stream(source)
        else:
            check_source(Camera(name="camera", source=source))
    except ParameterError as error:
        yield Broken(path, f"is no simulated camera: {error}")
    except SourceError as error:
        yield Broken(path, f"cannot be used: {error.detail or error.reason}", SOURCE_FORMS)
    except OSError as error:
        yield Broken(path, f"cannot be used: {error.strerror}", SOURCE_FORMS)
    except ValueError as error:
        yield Broken(path, f"cannot be used: {error}", SOURCE_FORMS)


def _sim_problems(path: KeyPath, camera: Any) -> Iterator[Broken]:
    """What YAML tells a simulated machine, and whether its lanes are told apart."""
    source, more = get(camera, ("source",)), get(camera, ("sim",))
    if not isinstance(source, str) or not source.startswith("sim:"):
        return
    try:
        lanes = parse_url(source).machine.lanes
    except ParameterError:
        return  # told of the source already
    if isinstance(more, dict):
        try:
            lanes = parse_url(source, more).machine.lanes
        except ParameterError as error:
            yield Broken((*path, "sim"), f"cannot be simulated: {error}")
            return
    if lanes > 1 and not get(camera, ("lanes",)):
        yield Broken(
            (*path, "lanes"),
            f"is missing: the simulated picture shows {lanes} lanes side by side, which would be "
            "read as one fruit",
            "a name and a region for each lane",
        )


def _file_problems(path: KeyPath, file: object) -> Iterator[Broken]:
    if not isinstance(file, str):
        return
    try:
        with Path(file).open("rb"):
            return
    except OSError as error:
        yield Broken(path, f"cannot be read: {error.strerror}", "a readable file")
    except ValueError:
        yield Broken(path, "is no path", "a readable file")


def _folder_problems(path: KeyPath, folder: object) -> Iterator[Broken]:
    """A folder that is there must take a file; one that is not must have a parent that would."""
    if not isinstance(folder, str):
        return
    allowed = "a folder in which the agent may write, or one that it may make"
    try:
        nearest = Path(folder).absolute()
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            yield Broken(path, f"cannot be used: {nearest} is not a folder", allowed)
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield Broken(path, f"cannot be written: {nearest} is read-only", allowed)
        else:
            with tempfile.TemporaryFile(dir=nearest):
                return
    except OSError as error:
        yield Broken(path, f"cannot be written: {error.strerror}", allowed)
    except ValueError:
        yield Broken(path, "is no path", allowed)
