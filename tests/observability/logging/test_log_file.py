"""The log in a file: rotated, opened anew, and no reason to stop."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agent.observability.logging import log_file
from agent.observability.logging.log_file import RETRY_S, LogFile
from tests.publishing.examples import Books, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def books() -> Books:
    return Books()


def of(path: Path, books: Books, clock: FakeClock, limit: int = 100, count: int = 2) -> LogFile:
    return LogFile(path, limit, count, books, clock)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_at_its_size_it_is_rotated_and_the_oldest_goes(
    tmp_path: Path, books: Books, clock: FakeClock
) -> None:
    path = tmp_path / "made" / "pitwatch.log"
    file = of(path, books, clock)
    for number in range(10):
        file.write(f"{number} " + "x" * 46)
    file.close()
    assert [one[0] for one in lines(path)] == ["8", "9"]
    assert [one[0] for one in lines(path.with_name("pitwatch.log.1"))] == ["6", "7"]
    assert sorted(one.name for one in path.parent.iterdir()) == [
        "pitwatch.log", "pitwatch.log.1", "pitwatch.log.2",
    ]  # fmt: skip
    assert books.counts == {}


def test_without_earlier_files_it_begins_anew(
    tmp_path: Path, books: Books, clock: FakeClock
) -> None:
    path = tmp_path / "log"
    file = of(path, books, clock, count=0)
    for number in range(5):
        file.write(f"{number} " + "x" * 46)
    assert [one[0] for one in lines(path)] == ["4"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_start_finds_is_gone_on_with(tmp_path: Path, books: Books, clock: FakeClock) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    of(path, books, clock).write("after")
    assert lines(path) == ["before", "after"]


@pytest.mark.parametrize("asked", [True, False])
def test_after_logrotate_took_it_away_a_new_one_is_opened(
    tmp_path: Path, books: Books, clock: FakeClock, asked: bool
) -> None:
    """At once when it is asked for by the signal, within a second when not."""
    path = tmp_path / "log"
    file = of(path, books, clock)
    file.write("one")
    path.rename(tmp_path / "log-2031")
    file.write("two")
    if asked:
        file.reopen()
    else:
        clock.now += 1.0
    file.write("three")
    assert lines(tmp_path / "log-2031") == ["one", "two"]
    assert lines(path) == ["three"]


def test_a_file_that_was_cut_in_place_is_not_rotated_by_its_old_length(
    tmp_path: Path, books: Books, clock: FakeClock
) -> None:
    path = tmp_path / "log"
    file = of(path, books, clock)
    file.write("x" * 90)
    os.truncate(path, 0)
    clock.now += 1.0
    file.write("y" * 50)
    assert lines(path) == ["y" * 50]
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_costs_lines_that_are_counted_and_is_tried_again(
    tmp_path: Path, books: Books, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    file = of(path, books, clock, limit=1000)
    file.write("one")
    write = os.write

    def nearly_full(fd: int, content: bytes) -> int:
        return write(fd, content[:3])

    def full(_fd: int, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log_file.os, "write", nearly_full)
    file.write("two is cut")
    monkeypatch.setattr(log_file.os, "write", full)
    clock.now += RETRY_S
    file.write("three")
    file.write("four")
    monkeypatch.setattr(log_file.os, "write", write)
    file.write("five: not tried yet")
    clock.now += RETRY_S
    file.write("six")
    assert books.counts == {("log_file_lines_lost",): 4}
    assert lines(path) == ["one", "two", "six"]


def test_a_folder_that_refuses_the_rotation_costs_no_line(
    tmp_path: Path, books: Books, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    file = of(path, books, clock)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    for number in range(4):
        file.write(f"{number} " + "x" * 46)
    assert [one[0] for one in lines(path)] == ["0", "1", "2", "3"]
    assert books.counts == {("log_file_rotations_failed",): 1}


def test_a_folder_in_the_place_of_the_file_stops_nothing(
    tmp_path: Path, books: Books, clock: FakeClock
) -> None:
    (tmp_path / "log").mkdir()
    of(tmp_path / "log", books, clock).write("one")
    assert books.counts == {("log_file_lines_lost",): 1}
