"""The configuration file: read, resolved, overridden, checked; every error named at once.

YAML -> references to secrets -> relative paths, which start at the file's folder -> options of the
command line -> models and their rules -> what they name outside. A problem says where it is (line
or option, path), what stands there (never a secret), what is allowed, and for an unknown key the
one that was most likely meant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.config.check import check
from agent.config.effective import effective_hash, effective_yaml
from agent.config.models import Config
from agent.config.paths import from_folder
from agent.config.problems import ConfigErrors, ConfigProblem, ProblemBook
from agent.config.references import resolve
from agent.config.rules import Broken
from agent.config.sections.base import WRONG
from agent.config.url import BROKER_FORMS, parse_broker, parse_host_port
from agent.config.values import get, path_text, put
from agent.config.warnings import warnings
from agent.config.yaml import TEXT_LIMIT_BYTES, Document, YamlError, read_yaml

__all__ = [
    "ConfigErrors",
    "ConfigProblem",
    "Loaded",
    "Overrides",
    "effective_yaml",
    "load_config",
]

BROKER = ("mqtt", "broker")
CAMERAS = ("cameras",)
NO_CAMERAS = "no cameras are configured: the simulated machine is watched"
SIMULATED = "is missing: simulated fruit goes to mqtt.broker only where it is said"
SAID = 'cameras, as [{name: cam1, source: "sim:"}], or --source sim:'


@dataclass(frozen=True, slots=True)
class Overrides:
    """Options of the command line that replace what the file says."""

    sources: tuple[str, ...] = ()
    broker: str | None = None
    http: str | None = None
    model: Path | None = None
    factory: str | None = None
    trust: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration. ``sha256`` is of the effective values without their secrets."""

    config: Config
    sha256: str
    warnings: tuple[str, ...]
    source: str
    overrides: Overrides = Overrides()


def load_config(
    path: Path | None,
    overrides: Overrides | None = None,
    environment: Mapping[str, str] | None = None,
    outside: Callable[[Config], Iterable[Broken]] = lambda _: (),
) -> Loaded:
    """Return the configuration of ``path`` (None: the defaults), or raise ``ConfigErrors``.

    Without a file and without ``--broker`` the embedded broker is meant; with a file, a missing
    broker is an error, so that a plant's agent never publishes into the void. ``environment`` is
    the process's own when None. ``outside`` is given the configuration as far as it is right, and
    yields what it names and cannot be used; ``agent.preflight`` has it.
    """
    source = str(path) if path is not None else "built-in configuration"
    document = _read(path, source)
    book = ProblemBook(document, document.data)
    folder = path.absolute().parent if path is not None else Path()
    resolve(book, os.environ if environment is None else environment, folder)
    from_folder(book, folder)
    _apply(overrides or Overrides(), book)
    if path is None and get(book.data, BROKER) is None:
        put(book.data, BROKER, "embedded")
    config = check(book)
    if get(book.data, BROKER) is None and not book.knows(BROKER):
        book.add(Broken(BROKER, "is missing", BROKER_FORMS))
    if _would_simulate_for_others(config, book):
        book.add(Broken(CAMERAS, SIMULATED, SAID))
    for broken in outside(config):
        book.add(broken)
    if problems := book.problems():
        raise ConfigErrors(source, problems, config)
    notes = [] if path is None or "cameras" in book.data else [NO_CAMERAS]
    notes += warnings(config, from_file=path is not None, references=book.origins.keys())
    return Loaded(config, effective_hash(config), tuple(notes), source, overrides or Overrides())


def _would_simulate_for_others(config: Config, book: ProblemBook) -> bool:
    """Whether nobody named a camera, and what the simulator makes would go to a broker that is not
    our own."""
    if "cameras" in book.data or book.knows(BROKER):
        return False
    return parse_broker(config.mqtt.broker or "none").kind == "network"


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


def _apply(overrides: Overrides, book: ProblemBook) -> None:
    """Put the options over the file's values."""
    if overrides.sources:
        cameras = [{"name": f"cam{i}", "source": s} for i, s in enumerate(overrides.sources, 1)]
        book.override("--source", ("cameras",), cameras)
    if overrides.broker is not None:
        book.override("--broker", BROKER, overrides.broker)
    _apply_network(overrides, book)
    if overrides.http is not None:
        try:
            host, port = parse_host_port(overrides.http)
        except ValueError as error:
            book.override("--http", ("http",), WRONG)
            book.add(Broken(("http",), f"the address {error}", "HOST:PORT"))
        else:
            book.override("--http", ("http", "enabled"), True)
            book.override("--http", ("http", "host"), host)
            book.override("--http", ("http", "port"), port)


def _apply_network(overrides: Overrides, book: ProblemBook) -> None:
    """Another file or factory is another network: what the configuration trusts is not it."""
    if overrides.model is not None or overrides.factory is not None:
        option = "--factory" if overrides.model is None else "--model"
        path = None if overrides.model is None else str(overrides.model)
        about_it = {"format": "auto", "trust": "data", "sha256": None, "factory": None}
        for key, value in {"path": path, **about_it}.items():
            book.override(option, ("model", key), value)
    for key in ("factory", "trust", "sha256"):
        if (said := getattr(overrides, key)) is not None:
            book.override(f"--{key}", ("model", key), said)
