"""Take over what a file holds that was set aside, and what belonged to another agent."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.storage.errors import StorageError
from agent.storage.file.backup import like
from agent.storage.file.identity import owner_in, write_owner
from agent.storage.file.opening import bring_up_to_date, open_file
from agent.storage.file.transaction import transaction
from agent.storage.upkeep.carry import Carried, add_undelivered
from agent.storage.upkeep.held import held, refuse_later
from agent.storage.upkeep.salvage import Salvage

ADOPTED = "adopted"


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was taken over; ``file``: where what it came from lies now."""

    carried: Carried
    file: Path


def adopt(file: Path, path: Path, owner: str, given_from: str = "") -> Adopted:
    """Add to the database at ``path`` what waits in ``file`` and can be read; no agent may have
    either. ``owner``: the agent that takes it; ``given_from``: the other one whose file it is.

    ``file`` gets a name that says so and is never deleted. ``StorageError`` as for ``held``, where
    another agent's name is in it, and where not even its tables can be found.
    """
    if file.resolve() == path.resolve():
        raise StorageError(f"{file}: is the file that serves")
    try:
        with held(file) as source:
            salvage = Salvage(source)
            _refuse_others(file, salvage, owner, given_from)
            if not salvage.columns("outbox"):
                why = salvage.damaged.get("outbox", "it has no table of messages")
                raise StorageError(f"{file}: nothing can be read of it: {why}")
            with _serving(path, owner) as target, transaction(target):
                carried = add_undelivered(salvage, target)
                if owner and not owner_in(target):
                    write_owner(target, owner)
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror}") from error
    return Adopted(carried, _mark(file))


def give_over(path: Path, owner: str, given_from: str) -> str:
    """Write into the database at ``path`` that it belongs to ``owner`` from now on; return whose it
    was. ``StorageError`` where that was not ``given_from``."""
    with held(path) as connection:
        refuse_later(path, connection)
        found = owner_in(connection)
        if found != given_from:
            whose = f"the state of {found}" if found else "nobody's yet"
            raise StorageError(f"{path}: is {whose}, not of {given_from}")
        with transaction(connection):
            write_owner(connection, owner)
    return found


@contextlib.contextmanager
def _serving(path: Path, owner: str) -> Iterator[sqlite3.Connection]:
    """The database that serves, made where there is none, with this version's schema."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        open_file(path).close()
        like(path, path.parent)
    with held(path) as connection:
        refuse_later(path, connection)
        whose = owner_in(connection)
        if whose and owner and whose != owner:
            raise StorageError(f"{path}: is the state of another agent: {whose}, not {owner}")
        bring_up_to_date(connection, path)
        yield connection


def _refuse_others(file: Path, salvage: Salvage, owner: str, given_from: str) -> None:
    try:
        whose = owner_in(salvage.connection)
    except sqlite3.Error:  # damaged there: nobody's name can be read
        return
    if whose and owner and whose not in (owner, given_from):
        raise StorageError(
            f"{file}: is the state of another agent: {whose}, not {owner}; to take over what waits "
            f"in it, say --from {whose}"
        )


def _mark(file: Path) -> Path:
    """Rename what was taken over, so that nobody takes it over twice."""
    name = file.name
    for word in (".corrupt-", ".replaced-"):
        name = name.replace(word, f".{ADOPTED}-")
    if name == file.name:
        name = f"{file.name}.{ADOPTED}"
    for suffix in ("-wal", "-shm"):
        beside = file.with_name(file.name + suffix)
        if beside.exists():
            beside.rename(file.with_name(name + suffix))
    return file.rename(file.with_name(name))
