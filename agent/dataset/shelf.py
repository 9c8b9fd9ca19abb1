"""The folder of recordings of one agent: records kept within quotas, and free space that stays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.dataset.claim import Claim
from agent.dataset.holdings import Held, Holdings, Quotas
from agent.dataset.reading import days, folders, read_record
from agent.dataset.record import FACTS, MASK, PICTURE, Facts, Reason, Record, RecordError
from agent.dataset.writing import (
    disk_bytes,
    make_record,
    place_record,
    remove_record,
    remove_unfinished,
    update_record,
)


class NoRoomError(Exception):
    """A record that cannot be kept within the quotas."""


class DiskLowError(Exception):
    """The disk has less free than is to stay free."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that was kept, under which reason, and what went for it."""

    record: Record
    reason: Reason
    removed: int


class Shelf:
    """For one thread. ``free_bytes``: of the disk that a folder lies on; ``OSError``."""

    def __init__(
        self,
        root: Path,
        owner: str,
        quotas: Quotas,
        free_disk_bytes: int,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self.root = root
        self.holdings = Holdings(quotas)
        self.free_disk_bytes = free_disk_bytes
        self.damaged = 0
        self._claim = Claim(root, owner)
        self._free_bytes = free_bytes or _free_bytes

    def open(self) -> None:
        """Take the folder for this process. ``ClaimError``, ``OSError``."""
        self._claim.take()

    def look_through(self, go_on: Callable[[], bool] = lambda: True) -> None:
        """Clear what a killed process left, and learn what is held; until ``go_on`` says no.

        A damaged record is booked under no reason of its own, as a random one: it goes in its turn.
        ``OSError``.
        """
        self.holdings, self.damaged = Holdings(self.holdings.quotas), 0
        remove_unfinished(self.root)
        for day in days(self.root):
            for folder in folders(day):
                if not go_on():
                    return
                self._learn(folder)

    def close(self) -> None:
        """Leave the folder to others."""
        self._claim.release()

    def configure(self, quotas: Quotas, free_disk_bytes: int) -> None:
        """Go by other quotas; what is above them goes with ``tidy``."""
        self.holdings.quotas = quotas
        self.free_disk_bytes = free_disk_bytes

    def keep(
        self,
        facts: Facts,
        picture: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        aperture: NDArray[np.bool_] | None = None,
    ) -> Kept:
        """Keep a picture, and remove what has to go for it first.

        ``NoRoomError``; ``DiskLowError``, for which nothing is removed; ``ValueError`` and
        ``OSError`` as of ``write_record``.
        """
        made = make_record(self.root, facts, picture, mask, aperture)
        size_bytes = made.size_bytes
        if self._free_bytes(self.root) - size_bytes < self.free_disk_bytes:
            raise DiskLowError(f"less than {self.free_disk_bytes} bytes are free")
        reason = self.holdings.booked_under(facts.reasons)
        gone = self.holdings.make_room(size_bytes, reason)
        if gone is None:
            raise NoRoomError(f"{size_bytes} bytes have no room within the quota of {reason}")
        self._remove(gone)
        record = place_record(made)
        captured_utc_ms = round(record.captured_at.timestamp() * 1000)
        self.holdings.add(Held(captured_utc_ms, record.folder, size_bytes, reason))
        return Kept(record, reason, len(gone))

    def explain(
        self, record: Record, explanation: Mapping[str, object], reasons: tuple[Reason, ...]
    ) -> None:
        """Add an explanation to a record; ``reasons`` come to its own. ``OSError``, with
        ``FileNotFoundError`` for one that is gone."""
        update_record(record, explanation, reasons)

    def has_room(self) -> bool:
        """Whether the disk has more free than is to stay free. ``OSError``."""
        return self._free_bytes(self.root) > self.free_disk_bytes

    def tidy(self, now_utc_ms: int) -> tuple[int, int]:
        """Remove what is too old, and what is above the cap; how many of each. ``OSError``."""
        old = self.holdings.too_old(now_utc_ms)
        self._remove(old)
        over = self.holdings.over()
        self._remove(over)
        return len(old), len(over)

    def _remove(self, gone: list[Held]) -> None:
        """What the disk refuses to remove stays booked."""
        for place, one in enumerate(gone):
            try:
                remove_record(one.folder)
            except OSError:
                for left in gone[place:]:
                    self.holdings.add(left)
                raise
            with contextlib.suppress(OSError):  # not empty
                one.folder.parent.rmdir()
                one.folder.parent.parent.rmdir()

    def _learn(self, folder: Path) -> None:
        reasons: tuple[Reason, ...] = (Reason.RANDOM,)
        try:
            record = read_record(folder)
            captured_utc_ms = round(record.captured_at.timestamp() * 1000)
            reasons = record.reasons or reasons
        except RecordError:
            self.damaged += 1
            captured_utc_ms = 0
        sizes = [_size(folder / name) for name in (PICTURE, MASK, FACTS)]
        held = Held(captured_utc_ms, folder, disk_bytes(*sizes), reasons[0])
        self.holdings.add(replace(held, reason=self.holdings.booked_under(reasons)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
