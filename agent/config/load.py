"""The configuration file: read, resolved, overridden, checked; every error named at once.

YAML -> references to secrets -> options of the command line -> models and their rules -> what they
name outside. A problem says where it is (line or option, path), what stands there (never a secret),
what is allowed, and for an unknown key the one that was most likely meant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config.check import check, related
from agent.config.effective import effective_hash, effective_yaml
from agent.config.models import Config
from agent.config.problems import ConfigErrors, ConfigProblem, ProblemBook
from agent.config.references import Resolved, resolve
from agent.config.rules import Broken
from agent.config.url import BROKER_FORMS, parse_host_port
from agent.config.values import get, put
from agent.config.warnings import warnings
from agent.config.words import Words, path_text
from agent.config.yaml import TEXT_LIMIT_BYTES, Document, KeyPath, YamlError, read_yaml

__all__ = [
    "ConfigErrors",
    "ConfigProblem",
    "Loaded",
    "Overrides",
    "effective_yaml",
    "load_config",
]

BROKER = ("mqtt", "broker")
NO_CAMERAS = "no cameras are configured: the simulated machine is watched"


@dataclass(frozen=True, slots=True)
class Overrides:
    """Options of the command line that replace what the file says."""

    sources: tuple[str, ...] = ()
    broker: str | None = None
    http: str | None = None
    model: Path | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration. ``sha256`` is of the effective values without their secrets."""

    config: Config
    sha256: str
    warnings: tuple[str, ...]
    source: str


def load_config(
    path: Path | None,
    overrides: Overrides | None = None,
    environment: Mapping[str, str] | None = None,
    outside: Callable[[Any], Iterable[Broken]] = lambda _: (),
) -> Loaded:
    """Return the configuration of ``path`` (None: the defaults), or raise ``ConfigErrors``.

    Without a file and without ``--broker`` the embedded broker is meant; with a file, a missing
    broker is an error, so that a plant's agent never publishes into the void. ``environment`` is
    the process's own when None. ``outside`` is given the plain values and yields what they name
    and cannot be used; ``agent.preflight`` has it.
    """
    overrides = overrides or Overrides()
    source = str(path) if path is not None else "built-in configuration"
    document = _read(path, source)
    resolved = resolve(
        document.data,
        os.environ if environment is None else environment,
        path.parent if path is not None else Path(),
    )
    book = ProblemBook(Words(Config.model_json_schema()), document, resolved.origins)
    for broken in resolved.broken:
        book.add(broken, resolved.data)
    bad = [broken.path for broken in resolved.broken]
    bad += _apply(overrides, resolved, book)
    if get(resolved.data, BROKER) is None and BROKER not in bad:
        if path is None:
            put(resolved.data, BROKER, "embedded")
        elif isinstance(resolved.data.get("mqtt", {}), dict | None):
            book.add(Broken(BROKER, "is missing", BROKER_FORMS), resolved.data)
    config, bad = check(resolved.data, book, bad)
    for broken in outside(resolved.data):
        if not related(broken.path, bad):
            book.add(broken, resolved.data)
    if len(book):
        raise ConfigErrors(source, book.problems())
    notes = [] if path is None or "cameras" in resolved.data else [NO_CAMERAS]
    notes += warnings(config, from_file=path is not None, references=resolved.origins.keys())
    return Loaded(config, effective_hash(config), tuple(notes), source)


def _read(path: Path | None, source: str) -> Document:
    if path is None:
        return Document()
    try:
        with path.open("rb") as file:
            return read_yaml(file.read(TEXT_LIMIT_BYTES + 1))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigErrors(source, [ConfigProblem("", f"cannot be read: {reason}")]) from error
    except YamlError as error:
        raise ConfigErrors(
            source,
            [
                ConfigProblem(path_text(fault.path), fault.message, f"line {fault.line}")
                for fault in error.faults
            ],
        ) from error


def _apply(overrides: Overrides, resolved: Resolved, book: ProblemBook) -> list[KeyPath]:
    """Put the options over the file's values; return the paths that are unusable."""
    values: list[tuple[tuple[str, ...], object, str]] = []
    if overrides.sources:
        cameras = [{"name": f"cam{i}", "source": s} for i, s in enumerate(overrides.sources, 1)]
        values.append((("cameras",), cameras, "--source"))
    if overrides.broker is not None:
        values.append((BROKER, overrides.broker, "--broker"))
    if overrides.model is not None:
        values.append((("model", "path"), str(overrides.model), "--model"))
        about_it = {"format": "auto", "trust": "data", "sha256": None, "factory": None}
        values += [(("model", key), default, "--model") for key, default in about_it.items()]
    bad: list[KeyPath] = []
    if overrides.http is not None:
        try:
            host, port = parse_host_port(overrides.http)
        except ValueError as error:
            book.options[("http",)] = "--http"
            book.add(Broken(("http",), f"the address {error}", "HOST:PORT"), resolved.data)
            bad.append(("http",))
        else:
            for key, value in (("enabled", True), ("host", host), ("port", port)):
                values.append((("http", key), value, "--http"))
    for target, new, option in values:
        put(resolved.data, target, new)
        book.options[target] = option
        for origin in [path for path in resolved.origins if path[: len(target)] == target]:
            del resolved.origins[origin]
    return bad
