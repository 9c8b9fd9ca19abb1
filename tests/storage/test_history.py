"""The page's history: kept within its caps, over kills, set clocks and disks that fail."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage.database import Database
from agent.storage.file.disk import RETRY_S
from agent.storage.history import (
    HOURS,
    MINUTES_MAX,
    OCCURRENCES_MAX,
    History,
    HistoryClocks,
    Minute,
    Occurrence,
)
from tests.publishing.examples import Books, FakeClock
from tests.storage.hanging import HangingDisk
from tests.support import wait_until

UTC_MS = 1_796_000_000_000
MINUTE_MS = 60_000


class Line:
    """One history, its clocks, and the computer that it runs on."""

    def __init__(self, folder: Path | None = None, boot: str = "boot-1") -> None:
        self.books, self.clock, self.mono = Books(), FakeClock(), FakeClock()
        self.utc_ms, self.synchronised, self.boot = UTC_MS, True, boot
        path = folder / "pitwatch.db" if folder else None
        self.database = Database(path, self.books, self.mono)
        self.history = History(
            self.database,
            self.books,
            HistoryClocks(self.clock, lambda: self.utc_ms, lambda: self.synchronised),
            boot,
        )

    def minutes(self, count: int, *lanes: str, read: float = 0.98) -> None:
        """Let so many minutes pass, and write each."""
        for _ in range(count):
            self.clock.now += 60
            self.utc_ms += MINUTE_MS
            job = self.history.add(
                [Minute(lane, self.clock.now, 60.0, {"read": read}) for lane in lanes or ("a",)]
            )
            assert job.done.wait(30)

    def note(self, event_id: str, *, lasts: bool = True, **more: float) -> None:
        job = self.history.note(
            [
                Occurrence(
                    event_id, self.utc_ms, self.clock.now, lasts, record={"title": "T"}, **more
                )
            ]
        )
        assert job.done.wait(30)

    def ends(self, lane: str = "a") -> list[int]:
        """When the minutes ended, in minutes before now."""
        return [(self.utc_ms - one.end_utc_ms) // MINUTE_MS for one in self.history.minutes(lane)]


def test_each_lane_keeps_eight_hours_a_minute_a_row() -> None:
    line = Line()
    line.synchronised = False  # by the rows alone
    line.minutes(MINUTES_MAX + 5, "a", "b")
    assert line.ends("a") == list(range(MINUTES_MAX - 1, -1, -1))
    assert line.database.rows("SELECT lane, count(*) FROM minute GROUP BY lane") == [
        ("a", MINUTES_MAX), ("b", MINUTES_MAX),
    ]  # fmt: skip
    assert line.books.total("history_rows", "minute", "written") == 2 * (MINUTES_MAX + 5)
    assert line.history.minutes("nobody's lane") == []


def test_all_lanes_together_keep_no_more_than_their_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.storage.history.ROWS_MAX", 10)
    line = Line()
    line.minutes(6, "gone")
    line.minutes(7, "a")
    assert line.database.rows("SELECT lane, count(*) FROM minute GROUP BY lane") == [
        ("a", 7), ("gone", 3),
    ]  # fmt: skip


def test_what_is_too_old_goes_only_by_a_clock_that_the_kernel_vouches_for() -> None:
    line = Line()
    line.minutes(3)
    line.boot = "boot-2"
    line.utc_ms += (HOURS + 1) * 3_600_000
    again = line.history = History(line.database, line.books, line.history.clocks, "boot-2")
    line.synchronised = False
    line.minutes(1)
    assert line.ends() == [0], "eight hours are shown"
    assert line.database.rows("SELECT count(*) FROM minute") == [(4,)], "the clock may be wrong"
    line.utc_ms -= (HOURS + 1) * 3_600_000  # it was
    assert [one.end_utc_ms <= line.utc_ms for one in again.minutes("a")] == [True] * 4
    line.utc_ms += (HOURS + 1) * 3_600_000
    line.synchronised = True
    line.minutes(1)
    assert line.database.rows("SELECT count(*) FROM minute") == [(2,)]


@pytest.mark.parametrize("step_ms", [3_600_000, -3_600_000, 86_400_000 * 365])
def test_a_clock_that_is_set_moves_the_minutes_of_this_run_along(step_ms: int) -> None:
    line = Line()
    line.minutes(3)
    line.note("e1")
    line.utc_ms += step_ms
    assert line.ends() == [2, 1, 0], "at once, as they are read"
    line.minutes(1)
    assert line.ends() == [3, 2, 1, 0], "and no gap where nobody was away"
    (alarm,) = line.history.occurrences(50)
    assert line.utc_ms - alarm.utc_ms == MINUTE_MS
    assert line.database.rows("SELECT max(utc_ms) FROM minute") == [(line.utc_ms,)]


def test_minutes_of_an_earlier_run_of_the_computer_keep_their_time_and_the_gap_is_seen(
    tmp_path: Path,
) -> None:
    first = Line(tmp_path)
    first.minutes(2)
    first.database.close()
    second = Line(tmp_path, boot="boot-2")
    second.clock.now = 5.0
    second.utc_ms = first.utc_ms + 30 * MINUTE_MS
    second.minutes(2)
    assert second.ends() == [33, 32, 1, 0]


def test_what_was_written_survives_a_kill(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from tests.storage.test_history import Line
line = Line(Path({str(tmp_path)!r}))
line.minutes(3)
line.note("e1")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    again = Line(tmp_path)
    again.utc_ms = UTC_MS + 4 * MINUTE_MS
    again.clock.now += 4 * 60
    assert again.ends() == [3, 2, 1]
    assert [one.event_id for one in again.history.occurrences(50)] == ["e1"]


def test_an_occurrence_is_one_row_whatever_becomes_of_it_and_the_newest_are_kept() -> None:
    line = Line()
    for number in range(OCCURRENCES_MAX + 5):
        line.note(f"e{number}")
    line.note("e500", lasts=False, duration_s=12.5)
    found = line.history.occurrences(OCCURRENCES_MAX + 5)
    assert len(found) == OCCURRENCES_MAX
    assert [one.event_id for one in found[:5]] == ["e504", "e503", "e502", "e501", "e500"]
    assert (found[4].lasts, found[4].duration_s) == (False, 12.5)
    assert line.history.occurrences(50, within_s=0.0)[0].event_id == "e504"


def test_a_row_that_cannot_be_written_is_counted_and_costs_nothing_else() -> None:
    line = Line()
    line.minutes(1)
    job = line.history.add([Minute("a", line.clock.now + 60, 60.0, {"read": float("nan")})])
    assert job.done.is_set()
    assert line.books.total("history_rows", "minute", "lost") == 1
    line.minutes(1)
    assert line.ends() == [1, 0]
    assert not line.database.status.degraded


def test_a_full_disk_costs_no_minute(tmp_path: Path) -> None:
    line = Line(tmp_path)
    line.minutes(2)
    line.note("e1")
    line.database.settle()
    (pages,) = line.database.rows("PRAGMA page_count")[0]
    line.database.rows(f"PRAGMA max_page_count = {pages}")
    fill = "INSERT INTO alarm VALUES ('big', ?)"
    line.database.run(lambda connection: connection.execute(fill, ("x" * 50_000,)))
    assert line.database.status.degraded
    line.minutes(2)
    line.note("e1", lasts=False, duration_s=60.0)
    assert line.ends() == [3, 2, 1, 0]
    line.mono.now += RETRY_S + 1
    assert line.database.settle()
    assert not line.database.status.degraded
    assert line.ends() == [3, 2, 1, 0], "memory has joined the file, and no minute stands twice"
    (alarm,) = line.history.occurrences(50)
    assert not alarm.lasts


def test_what_is_written_while_the_disk_hangs_joins_what_the_file_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = HangingDisk(monkeypatch)
    line = Line(tmp_path)
    line.minutes(2)
    line.note("e1")
    with disk.hangs():
        disk.find_out(line.database)
        line.minutes(2)
        line.note("e1", lasts=False, duration_s=120.0)
        assert line.ends() == [1, 0], "what the file has cannot be read now"
    wait_until(lambda: not line.database.status.degraded, 30, "back on the disk")
    assert line.ends() == [3, 2, 1, 0]
    assert [one.lasts for one in line.history.occurrences(50)] == [False]
