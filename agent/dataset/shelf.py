"""The folder of recordings of one agent: records kept within quotas, and free space that stays."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.dataset.claim import Claim
from agent.dataset.holdings import Held, Holdings, Quotas
from agent.dataset.reading import captured_ms, days, folders, read_record
from agent.dataset.record import (
    FACTS,
    MASK,
    PICTURE,
    Facts,
    OtherVersionError,
    Reason,
    Record,
    RecordError,
)
from agent.dataset.writing import (
    disk_bytes,
    make_record,
    place_record,
    remove_record,
    remove_unfinished,
    update_record,
)

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


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

    def look_through(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Clear what a killed process left, and learn what is held; False where ``go_on`` has ended
        it before its end.

        A damaged record is booked under no reason of its own, as a random one, at the time in its
        name: it goes in its turn. What has no name of a record is somebody else's, and left alone,
        as is a record of another version of this program. ``OSError``.
        """
        self.holdings, self.damaged = Holdings(self.holdings.quotas), 0
        remove_unfinished(self.root)
        for day in days(self.root):
            for folder in folders(day):
                if not go_on():
                    return False
                self._learn(folder)
        return True

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
        """Keep a picture, and remove what has to go for it: once it lies on the disk.

        ``NoRoomError``; ``DiskLowError``; ``ValueError`` and ``OSError`` as of ``write_record``:
        nothing is removed for any of them.
        """
        made = make_record(self.root, facts, picture, mask, aperture)
        size_bytes = made.size_bytes
        if self._free_bytes(self.root) - size_bytes < self.free_disk_bytes:
            raise DiskLowError(f"less than {self.free_disk_bytes} bytes are free")
        reason = self.holdings.booked_under(facts.reasons)
        gone = self.holdings.make_room(size_bytes, reason)
        if gone is None:
            raise NoRoomError(f"{size_bytes} bytes have no room within the quota of {reason}")
        try:
            record = place_record(made)
        except BaseException:
            for one in gone:
                self.holdings.add(one)
            raise
        captured_utc_ms = round(record.captured_at.timestamp() * 1000)
        self.holdings.add(Held(captured_utc_ms, record.folder, size_bytes, reason))
        left = len(gone)
        with contextlib.suppress(OSError):  # this one is kept; ``tidy`` tries those again, and says
            self._remove(gone)
            left = 0
        return Kept(record, reason, len(gone) - left)

    def explain(
        self, record: Record, explanation: Mapping[str, object] | None, reasons: tuple[Reason, ...]
    ) -> Record:
        """Add to a record; ``reasons`` come to its own. ``OSError``, with ``FileNotFoundError`` for
        one that is gone."""
        return update_record(record, explanation, reasons)

    def has_room(self) -> bool:
        """Whether the disk has more free than is to stay free. ``OSError``."""
        return self._free_bytes(self.root) > self.free_disk_bytes

    def tidy(self, now_utc_ms: int | None) -> tuple[int, int]:
        """Remove what is too old, and what is above the cap; how many of each. Without a clock that
        is right nothing is old. ``OSError``."""
        old = [] if now_utc_ms is None else self.holdings.too_old(now_utc_ms)
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
        captured_utc_ms = captured_ms(folder)
        if captured_utc_ms is None:
            return
        reasons: tuple[Reason, ...] = (Reason.RANDOM,)
        try:
            reasons = read_record(folder).reasons or reasons
        except OtherVersionError:
            self.damaged += 1
            return
        except RecordError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno not in GONE:
                raise cause from error  # the disk is at fault, and the record may be whole
            self.damaged += 1
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
