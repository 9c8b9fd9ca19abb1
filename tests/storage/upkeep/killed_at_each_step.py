"""Does a piece of work again and again, killed by SIGKILL before its first step, its second ...,
until it comes to its end; prints what each kill left, as JSON lines.

A step is a statement of SQLite (of those that read or write rows every 60th), a synced file, a
link, a rename, or a removed file. Run as a program, which forks without threads, with what to do
(upgrade, restore, adopt) and a folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

from agent.storage.file import migrations, opening, state_dir
from agent.storage.file.backup import backup_name
from agent.storage.file.state_dir import FILE, file_version
from agent.storage.upkeep import held
from agent.storage.upkeep.adopt import adopt
from agent.storage.upkeep.restore import restore
from tests.storage.upkeep.files import NEXT, put_file_of_5

STEPS_MAX = 400
ROWS = 60
EVENTS = 140
"""The first 40 were delivered."""
NEWEST = len(migrations.STEPS)
left = -1


def step() -> None:
    """Count, and die where it is the one."""
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1


class Counted(sqlite3.Connection):
    rows = 0

    def execute(self, *arguments):
        of_rows = str(arguments[0]).startswith(("INSERT", "SELECT", "DELETE", "PRAGMA table_info"))
        Counted.rows += of_rows
        if not of_rows or Counted.rows % ROWS == 0:
            step()
        return super().execute(*arguments)


def counted(function: Callable[..., object]) -> Callable[..., object]:
    def call(*arguments: object, **named: object) -> object:
        step()
        return function(*arguments, **named)

    return call


def killed_before(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that dies before its step of this number; whether it did."""
    global left
    child = os.fork()
    if child == 0:
        code = 1
        try:
            left = number
            connect = sqlite3.connect
            sqlite3.connect = lambda *a, **k: connect(*a, **{**k, "factory": Counted})
            for name in ("fsync", "link", "replace", "rename", "unlink"):
                setattr(os, name, counted(getattr(os, name)))
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status) == signal.SIGKILL
    assert os.WEXITSTATUS(status) == 0, "the work failed by itself"
    return False


def later() -> object:
    """The program with a schema more."""
    steps = (*migrations.STEPS, NEXT)
    return mock.patch.multiple(opening, STEPS=steps)


def open_later(path: Path) -> None:
    with later(), mock.patch.object(state_dir, "VERSION", NEWEST + 1):
        opening.open_folder(path).close()


def waiting(path: Path) -> list[int]:
    """The ids that wait, or nothing where the file cannot be read."""
    with held.held(path) as connection:
        held.look_through(path, connection)
        query = "SELECT id FROM outbox WHERE acked_mono IS NULL ORDER BY id"
        return [row[0] for row in connection.execute(query)]


def prepare(what: str, template: Path) -> None:
    """The folder as it is before the work."""
    path = put_file_of_5(template)
    connection = sqlite3.connect(path)
    connection.execute(
        "DELETE FROM outbox WHERE kind = 0 AND id NOT IN "
        "(SELECT id FROM outbox WHERE kind = 0 ORDER BY id LIMIT ?)",
        (EVENTS,),
    )
    connection.commit()
    connection.execute("VACUUM")
    connection.close()
    if what == "restore":
        open_later(path)
    elif what == "adopt":
        path.rename(path.with_name(f"{FILE}.corrupt-1"))
        opening.open_file(path).close()


def the_work(what: str, path: Path) -> None:
    if what == "upgrade":
        open_later(path)
    elif what == "restore":
        restore(backup_name(path, NEWEST), path)
    else:
        aside = path.with_name(f"{FILE}.corrupt-1")
        if aside.exists():  # else it was done, but for the exit code
            adopt(aside, path, "us")


def main(what: str, folder: Path) -> None:
    template = folder / "template"
    prepare(what, template)
    for number in range(STEPS_MAX):
        path = folder / "state" / FILE
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(template, path.parent)
        died = killed_before(number, partial(the_work, what, path))
        found = {"step": number, "died": died, "schema": file_version(path)}
        found["waiting"] = len(waiting(path))
        the_work(what, path)  # done once more, as a person or the next start does
        found["again"] = len(waiting(path))
        found["schema_again"] = file_version(path)
        found["litter"] = sorted(one.name for one in path.parent.glob("*.part*"))
        print(json.dumps(found))
        if not died:
            return
    raise SystemExit("it never came to its end")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
