"""Whose state a file is: the agent that used it first is written in it.

The messages that wait in it go to that agent's topics, and its alarms are of that machine: another
agent must not send them as its own.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

NAME = "identity"
"""The row of the table ``kept``."""
SINCE_SCHEMA = 4
"""Earlier schemas have no such table, and nobody's name in it."""


def owner_in(connection: sqlite3.Connection) -> str:
    """Return whose file it is; empty where nobody's name is in it. ``sqlite3.Error``."""
    table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'kept'"
    if connection.execute(table).fetchone() is None:
        return ""
    found = connection.execute("SELECT state FROM kept WHERE name = ?", (NAME,)).fetchone()
    return parse_owner(found[0]) if found else ""


def write_owner(connection: sqlite3.Connection, owner: str) -> None:
    """Write whose file it is from now on, inside of a transaction."""
    state = json.dumps({"agent": owner}, separators=(",", ":"))
    connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (NAME, state))


def parse_owner(state: object) -> str:
    """Return the name that such a row holds; empty where it holds none."""
    try:
        found = json.loads(state) if isinstance(state, str) else state
    except ValueError:
        return ""
    name = found.get("agent") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def owner_at(path: Path) -> str:
    """Return whose file lies there, as its pages on the disk tell it, without opening the log
    beside it or taking a lock: while an agent has it, too. Empty where that cannot be told."""
    if not path.is_file():
        return ""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True)
        try:
            return owner_in(connection)
        finally:
            connection.close()
    except sqlite3.Error:
        return ""


def foreign(found: str, owner: str) -> str:
    """Why a file of ``found`` cannot serve ``owner``, in words that follow its name; empty where
    it can: one of the two is not known, or they are the same."""
    if not found or not owner or found == owner:
        return ""
    return (
        f"is the state of another agent: {found}, not {owner}. Name another folder, or, where this "
        f"agent takes the place of that one, give it over: pitwatch state adopt --from {found}"
    )
