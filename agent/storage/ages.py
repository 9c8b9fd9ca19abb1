"""How old a row is, whatever the wall clock says.

Within one run of the computer age is monotonic. Over a restart of it only the wall clock can tell,
and that may have been wrong then or may be wrong now: an empty battery, a clock set by hand, a time
server that is found minutes after the start. So it counts only where the kernel held it for
synchronised both when the row was made and when it is judged. Any other row is as old as this run
of the computer has known it: it may wait for longer, and is never given up for a clock.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

UNKNOWN, TRUSTED, POSTPONED = 0, 1, 2
"""The column ``stamp``: nobody vouches for the wall clock of the row; the kernel did; it did, but
this run of the computer, whose clock is not synchronised yet, has given the row an age of its own
for the time being."""


class Ages:
    """Both clocks and the kernel's word. ``boot`` names this run of the computer."""

    def __init__(
        self,
        clock: Callable[[], float],
        utc_ms: Callable[[], int],
        synchronised: Callable[[], bool],
        boot: str | None = None,
    ) -> None:
        self.clock = clock
        self._utc_ms = utc_ms
        self._synchronised = synchronised
        self._boot = boot_id() if boot is None else boot
        self._postponed = False  # whether there is such a row

    def born(self) -> tuple[float, int, str, int]:
        """Return what a new row remembers: both clocks, the run of the computer, its stamp."""
        stamp = TRUSTED if self._synchronised() else UNKNOWN
        return self.clock(), self._utc_ms(), self._boot, stamp

    def adopt(self, connection: sqlite3.Connection) -> None:
        """Put rows of an earlier run on this one's clock; an acknowledged one is as new."""
        now = self.clock()
        connection.execute(
            "UPDATE outbox SET acked_mono = ? WHERE acked_mono IS NOT NULL AND boot <> ?",
            (now, self._boot),
        )
        connection.execute(
            "UPDATE outbox SET boot = :boot, made_mono = :now, "
            "stamp = CASE WHEN stamp = :unknown THEN :unknown ELSE :postponed END "
            "WHERE boot <> :boot",
            {"boot": self._boot, "now": now, "unknown": UNKNOWN, "postponed": POSTPONED},
        )
        waits = connection.execute("SELECT 1 FROM outbox WHERE stamp = ? LIMIT 1", (POSTPONED,))
        self._postponed = waits.fetchone() is not None
        self.catch_up(connection)

    def catch_up(self, connection: sqlite3.Connection) -> None:
        """Once the clock is synchronised, give their true age to rows that have waited for that.

        A stamp from the future makes no row older.
        """
        if not self._postponed or not self._synchronised():
            return
        connection.execute(
            "UPDATE outbox SET stamp = :trusted, "
            "made_mono = min(made_mono, :now - (:utc - made_utc_ms) / 1000.0) "
            "WHERE stamp = :postponed",
            {
                "trusted": TRUSTED,
                "postponed": POSTPONED,
                "now": self.clock(),
                "utc": self._utc_ms(),
            },
        )
        self._postponed = False


def boot_id() -> str:
    """Return what names this run of the operating system; its monotonic clock starts with it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(os.getpid())
