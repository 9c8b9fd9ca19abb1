"""Small JSON objects that outlive the process, by name."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from agent.storage.database import Database
from agent.telemetry import log_event

M = TypeVar("M", bound=BaseModel)


class Kept:
    """Named objects; each replaces the one before it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def generation(self) -> int:
        """Rises whenever the objects may lie elsewhere: another file, or memory, in place of it."""
        return self._database.generation

    @property
    def out_of_reach(self) -> bool:
        """Whether memory stands in for a file that may hold objects which cannot be read now."""
        return self._database.stands_in

    def get(self, name: str) -> object:
        """Return what was put last as it reads now; None where nothing was, or nothing readable."""
        found = self._database.rows("SELECT state FROM kept WHERE name = ?", (name,))
        try:
            return json.loads(found[0][0]) if found else None
        except ValueError:
            return None

    def put(self, name: str, state: Mapping[str, object], then: Callable[[], None]) -> None:
        """Write an object of JSON types; ``then`` is called once it is committed."""
        text = json.dumps(state, separators=(",", ":"))

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, text))
            self._database.after_commit(then)

        self._database.run(write)


def parse_kept(found: object, name: str, model: type[M], logger: logging.Logger) -> M | None:
    """Return what was found under a name as what it should be; None, with a warning of the place,
    where it is not."""
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (name, *first["loc"]))
        detail = f"{place}: {first['msg']}"
        log_event(logger, logging.WARNING, f"{name}_unreadable", detail=detail)
        return None
