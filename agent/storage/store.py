"""Everything that survives a restart, in one place, for the wiring to open and to hand on."""

from __future__ import annotations

from pathlib import Path

from agent.storage.counters import Counters
from agent.storage.database import FILE, Database, StorageStatus
from agent.telemetry import Clock, Telemetry


class Store:
    """The parts of one database. ``folder`` None: everything works, and nothing survives.

    Raises ``StorageError`` when another process has the folder.
    """

    def __init__(self, folder: Path | None, telemetry: Telemetry, clock: Clock) -> None:
        path = folder / FILE if folder is not None else None
        self.database = Database(path, telemetry, clock)
        self.counters = Counters(self.database)

    def status(self) -> StorageStatus:
        return self.database.status

    def close(self) -> None:
        self.database.close()
