"""What happens when this version starts in the place of another one: looked at, nothing changed.

It reads what the installed version before it left: the schema of the database in ``state_dir`` from
its bytes, while an agent may still run on it, the configuration as a start does, the references.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent import __version__
from agent.alarms.charts.reference import ReferenceFileError, load_reference
from agent.config import Config
from agent.config.load import ConfigErrors
from agent.config.models import VERSION as CONFIG_VERSION
from agent.preflight import load_config
from agent.storage.file.backup import backup_name, needed_bytes
from agent.storage.file.identity import foreign, owner_at
from agent.storage.file.migrations import VERSION
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.upkeep.look import set_aside_in

READY, NOT_NOW, INCOMPATIBLE = 0, 1, 78


@dataclass(slots=True)
class Outlook:
    """``facts``: in the order in which they are read. ``incompatible``: this version cannot start
    with it. ``hindered``: it could, but not now. ``hints``: it can, and somebody should look."""

    facts: list[str] = field(default_factory=list)
    incompatible: list[str] = field(default_factory=list)
    hindered: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    migrates: bool = False

    @property
    def code(self) -> int:
        return INCOMPATIBLE if self.incompatible else NOT_NOW if self.hindered else READY


def look_ahead(path: Path | None) -> Outlook:
    """Return what an upgrade to this version would meet. Raises nothing."""
    outlook = Outlook(
        [f"this version: {__version__}, schema {VERSION}, configuration version {CONFIG_VERSION}"]
    )
    try:
        loaded = load_config(path)
        config: Config | None = loaded.config
        outlook.facts.append(f"configuration: {loaded.source}, no errors")
        outlook.hints += loaded.warnings
    except ConfigErrors as errors:
        config = errors.config
        outlook.incompatible.append(str(errors))
    if config is not None:
        _state(outlook, config)
        _references(outlook, config)
    return outlook


def lines(outlook: Outlook) -> Iterator[str]:
    """The outlook for people."""
    yield from outlook.facts
    yield from (f"hint: {one}" for one in outlook.hints)
    yield from (f"NOT NOW: {one}" for one in outlook.hindered)
    yield from (f"INCOMPATIBLE: {one}" for one in outlook.incompatible)
    verdict = {
        READY: "this version can start; the database is migrated then"
        if outlook.migrates
        else "this version can start; nothing is migrated",
        NOT_NOW: "this version cannot start now",
        INCOMPATIBLE: "this version cannot start with what is there",
    }
    yield verdict[outlook.code]


def _state(outlook: Outlook, config: Config) -> None:
    folder: Path | None = getattr(config, "state_dir", None)
    if folder is None:
        outlook.facts.append("state: state_dir is not set, nothing survives a restart")
        return
    file = folder / FILE
    try:
        if not file.exists():
            outlook.facts.append(f"state: {folder} holds no database yet")
            return
        version = file_version(file)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        outlook.hindered.append(f"state: {error.filename or folder}: {error.strerror}")
        return
    whose = owner_at(file)
    outlook.facts.append(f"state: {file}, schema {version}, of {whose or 'whoever starts first'}")
    try:
        if refused := foreign(whose, config.owner):
            outlook.incompatible.append(f"state: {folder} {refused}")
    except AttributeError:  # a key with an error of its own, told above
        pass
    if version > VERSION:
        outlook.incompatible.append(
            f"state: {file} is of a later version (schema {version}); pitwatch state restore puts "
            "the backup of before in its place and carries over what was not delivered"
        )
    elif version < VERSION:
        _migration(outlook, file, version, free)
    if aside := set_aside_in(folder):
        names = ", ".join(one.name for one in aside)
        outlook.hints.append(f"{folder}: set aside, and to be adopted or removed: {names}")


def _migration(outlook: Outlook, file: Path, version: int, free: int) -> None:
    outlook.migrates = True
    needed = needed_bytes(file)
    backup = backup_name(file, version).name
    outlook.facts.append(
        f"migration: schema {version} to {VERSION} at the first start; backup before it: {backup}, "
        f"{_mib(needed)} needed, {_mib(free)} free"
    )
    if free < needed:
        outlook.hindered.append(f"{file.parent}: too little room for the backup {backup}")


def _references(outlook: Outlook, config: Config) -> None:
    try:
        references = dict(config.alarms.reference)
    except AttributeError:
        return
    for variety, path in references.items():
        try:
            load_reference(path, variety)
        except ReferenceFileError as error:
            outlook.incompatible.append(f"reference: {error}")
        else:
            outlook.facts.append(f"reference: {variety}, version 1, {path}")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
