"""How the database is, as its status, its log and its metrics tell it. For any thread."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

from agent.records import StorageCause, StorageStatus
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

DAMAGED = "the state file was damaged and set aside"


class Health:
    """``generation`` rises whenever another file, or memory, has taken the place of what was
    open."""

    def __init__(self, path: Path | None, telemetry: Telemetry, clock: Clock) -> None:
        self.status = StorageStatus(durable=path is not None)
        self.generation = 0
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()
        self._say()

    def note_loss(self, what: str) -> None:
        """Remember that something that should have been kept is gone, for whoever watches."""
        with self._lock:
            losses = self.status.losses + 1
            self.status = replace(self.status, losses=losses, lost_mono=self._clock(), loss=what)

    def set_aside(self, path: Path, why: str, stamp: int) -> None:
        """A damaged file was renamed."""
        self._telemetry.count("storage_losses", reason="corrupt")
        self.note_loss(DAMAGED)
        log_event(logger, logging.ERROR, "spool_loss", file=str(path), reason=why, kept=stamp)

    def degrade(self, cause: StorageCause, why: str) -> None:
        """Memory stands in for the file."""
        self._telemetry.count("storage_losses", reason=cause.value)
        with self._lock:
            self.generation += 1
            self.status = replace(self.status, degraded=why, cause=cause)
        log_event(
            logger,
            logging.ERROR,
            "storage_degraded",
            file=str(self._path),
            cause=cause.value,
            reason=why,
        )
        self._say()

    def recover(self) -> None:
        """Everything reaches the disk again."""
        with self._lock:
            self.generation += 1
            self.status = replace(self.status, degraded="")
        log_event(logger, logging.WARNING, "storage_recovered", file=str(self._path))
        self._say()

    def swapped(self) -> None:
        """Another file is open."""
        with self._lock:
            self.generation += 1

    def _say(self) -> None:
        durable = self.status.durable and not self.status.degraded
        self._telemetry.gauge("storage_durable", float(durable))
