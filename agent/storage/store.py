"""Everything that survives a restart, in one place, for the wiring to open and to hand on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config import Storage
from agent.records import StorageStatus
from agent.storage.ages import Ages
from agent.storage.alarm_state import AlarmState
from agent.storage.audit import Audit
from agent.storage.counters import Counters
from agent.storage.database import CLOSE_S, Database
from agent.storage.errors import StateDirError
from agent.storage.file.identity import NAME as IDENTITY
from agent.storage.file.identity import foreign, parse_owner, write_owner
from agent.storage.file.state_dir import FILE
from agent.storage.history import History, HistoryClocks
from agent.storage.kept import Kept
from agent.storage.spool import Spool
from agent.telemetry import Clock, Telemetry, wall_clock_ms


def since_boot() -> float:
    """Return the seconds of this run of the computer, its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Monotonic seconds for durations, Unix milliseconds for stamps.

    ``synchronised``: whether the kernel holds the clock of the stamps for synchronised now; where
    it does not say, it does not. ``elapsed``: as ``mono``, but going on while the computer sleeps.
    """

    mono: Clock = time.monotonic
    utc_ms: Callable[[], int] = wall_clock_ms
    synchronised: Callable[[], bool] = lambda: False
    elapsed: Clock = since_boot


class Store:
    """The parts of one database. ``folder`` None: everything works, and nothing survives.

    ``owner``: the agent that it is for, whose name is written into a file without one; empty: not
    looked at. Raises ``StorageError`` when another process has the folder, ``StateDirError`` when
    it can never serve, another agent's among them.
    """

    def __init__(
        self,
        folder: Path | None,
        telemetry: Telemetry,
        clocks: Clocks | None = None,
        settings: Storage | None = None,
        owner: str = "",
    ) -> None:
        clocks = clocks or Clocks()
        path = folder / FILE if folder is not None else None
        self.database = Database(path, telemetry, clocks.mono)
        self.counters = Counters(self.database)
        self.alarms = AlarmState(self.database, self.counters)
        self.audit = Audit(self.database)
        self.kept = Kept(self.database)
        if folder is not None and owner:
            self._claim(folder, owner)
        self.history = History(
            self.database,
            telemetry,
            HistoryClocks(clocks.elapsed, clocks.utc_ms, clocks.synchronised),
        )
        ages = Ages(clocks.mono, clocks.utc_ms, clocks.synchronised)
        self.spool = Spool(self.database, settings or Storage(), ages)

    def _claim(self, folder: Path, owner: str) -> None:
        """A disk that cannot be read now is not asked whose it is, and not written to either."""
        if self.kept.out_of_reach:
            return
        found = parse_owner(self.kept.get(IDENTITY))
        if refused := foreign(found, owner):
            self.database.close()
            raise StateDirError(f"state_dir: {folder} {refused}")
        if not found:
            self.database.run(lambda connection: write_owner(connection, owner))

    def status(self) -> StorageStatus:
        return self.database.status

    def watch_for_hangs(self) -> None:
        """The start is over: from now on nobody waits for a disk that hangs."""
        self.database.watch_for_hangs()

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Write what waits; false when something could not be kept, which is counted and told."""
        return self.database.close(timeout_s)
