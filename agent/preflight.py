"""What the configuration names outside of itself: is it there?

Looks, and changes nothing: no directory is made, no device opened, no host asked.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.capture.check import check_source
from agent.capture.source import SourceError
from agent.config import Camera
from agent.config.load import Loaded, Overrides
from agent.config.load import load_config as load
from agent.config.rules import Broken
from agent.config.url import SOURCE_FORMS, check_stream
from agent.config.values import get
from agent.config.yaml import KeyPath
from agent.simulator.parameters import ParameterError, parse_url


def load_config(
    path: Path | None,
    overrides: Overrides | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """``agent.config.load.load_config`` that also looks at what the values name outside."""
    return load(path, overrides, environment, missing_things)


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
