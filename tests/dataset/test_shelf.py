"""A folder of recordings: quotas on the disk, one owner, free space that stays."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from agent import dataset
from agent.dataset.claim import FILE, Claim, ClaimError, foreign
from agent.dataset.holdings import Quotas
from agent.dataset.record import Reason, RecordError
from agent.dataset.shelf import DiskLowError, NoRoomError, Shelf
from tests.dataset.test_record import AT, MASK, PICTURE, facts, write

SHARES = {reason: 1 / len(Reason) for reason in Reason}
SIZE = 40_960
"""A record of these pictures: 12 KiB, 4 KiB, 16 KiB, and its folder, more or less."""
NOW_MS = round(AT.timestamp() * 1000)


def shelf(root: Path, limit: int = 1 << 20, free: int = 1 << 40, age_s: float = 1e6) -> Shelf:
    found = Shelf(root, "line/a", Quotas(limit, age_s, SHARES), 1 << 20, lambda _: free)
    found.open()
    found.look_through()
    return found


def keep(on: Shelf, number: int, *reasons: Reason) -> dataset.Record:
    at = AT + timedelta(seconds=number)
    told = facts(frame_id=f"a-f-{number}", captured_at=at, reasons=reasons or (Reason.RANDOM,))
    return on.keep(told, PICTURE, MASK).record


def names(root: Path) -> set[str]:
    return {one.id for one in dataset.records(root) if isinstance(one, dataset.Record)}


def test_what_is_kept_is_what_lies_there_and_is_known_after_a_restart(tmp_path: Path) -> None:
    first = shelf(tmp_path)
    kept = {keep(first, 1, Reason.NO_READ).id, keep(first, 2).id}
    before = (first.holdings.size_bytes, first.holdings.counts())
    first.close()
    second = shelf(tmp_path)
    assert names(tmp_path) == kept
    assert (second.holdings.size_bytes, second.holdings.counts()) == before
    second.close()


def test_a_folder_that_is_looked_through_again_is_booked_once(tmp_path: Path) -> None:
    on = shelf(tmp_path)
    keep(on, 1)
    before = on.holdings.size_bytes
    on.look_through()
    assert on.holdings.size_bytes == before
    on.close()


def test_the_oldest_goes_for_a_newcomer_and_leaves_no_empty_folder(tmp_path: Path) -> None:
    on = shelf(tmp_path, limit=3 * SIZE)
    old = keep(on, -86_400)
    kept = [keep(on, number).id for number in range(6)]
    assert on.holdings.size_bytes <= 3 * SIZE
    assert names(tmp_path) < set(kept)
    assert not old.folder.parent.exists()
    on.close()


def test_a_picture_larger_than_the_quota_is_refused_and_nothing_goes(tmp_path: Path) -> None:
    on = shelf(tmp_path, limit=1000)
    with pytest.raises(NoRoomError):
        keep(on, 1)
    assert names(tmp_path) == set()
    on.close()


def test_free_space_stays_free_and_nothing_is_removed_for_it(tmp_path: Path) -> None:
    on = shelf(tmp_path)
    kept = keep(on, 1)
    on._free_bytes = lambda _: 1 << 20
    with pytest.raises(DiskLowError):
        keep(on, 2)
    assert not on.has_room()
    assert names(tmp_path) == {kept.id}
    on.close()


def test_what_is_too_old_and_what_is_above_a_lower_cap_goes(tmp_path: Path) -> None:
    on = shelf(tmp_path, age_s=60.0)
    keep(on, -100)
    young = [keep(on, number).id for number in range(3)]
    assert on.tidy(NOW_MS + 10_000) == (1, 0)
    assert names(tmp_path) == set(young)
    on.configure(Quotas(SIZE, 60.0, SHARES), 1 << 20)
    assert on.tidy(NOW_MS + 10_000) == (0, 2)
    assert names(tmp_path) == {young[-1]}
    on.close()


def test_a_damaged_record_is_counted_told_and_goes_first(tmp_path: Path) -> None:
    damaged = write(tmp_path).folder
    (damaged / "record.json").write_bytes(b"")
    on = shelf(tmp_path, limit=2 * SIZE)
    assert on.damaged == 1
    assert any(isinstance(one, RecordError) for one in dataset.records(tmp_path))
    keep(on, 1)
    keep(on, 2)
    assert not damaged.exists()
    on.close()


def test_what_is_no_record_of_this_version_is_left_alone_however_old(tmp_path: Path) -> None:
    """A folder of somebody's labels, and what a later version wrote, were removed as very old."""
    stranger = tmp_path / "labels" / "line3" / "images"
    stranger.mkdir(parents=True)
    later = write(tmp_path).folder
    text = (later / "record.json").read_text()
    (later / "record.json").write_text(text.replace('"version": 1', '"version": 2'))
    on = shelf(tmp_path, limit=9 * SIZE)
    assert on.tidy(2**53) == (0, 0)
    assert stranger.is_dir()
    assert (later / "picture.png").is_file()
    assert on.damaged == 1
    on.close()


def test_a_disk_that_cannot_be_read_makes_no_record_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    on = shelf(tmp_path, limit=9 * SIZE)

    def fail(folder: Path) -> None:
        raise RecordError(folder, "cannot be read") from OSError(5, "Input/output error")

    monkeypatch.setattr("agent.dataset.shelf.read_record", fail)
    with pytest.raises(OSError, match="Input/output"):
        on.look_through()
    monkeypatch.undo()
    on.look_through()
    assert on.damaged == 0
    assert sum(on.holdings.counts().values()) == 1
    on.close()


def test_what_the_disk_does_not_remove_stays_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = shelf(tmp_path, limit=SIZE)
    keep(on, 1)
    before = on.holdings.size_bytes

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("agent.dataset.shelf.remove_record", refuse)
    keep(on, 2)
    assert on.holdings.size_bytes == 2 * before
    with pytest.raises(PermissionError):
        on.tidy(0)
    assert on.holdings.size_bytes == 2 * before
    on.close()


# --- whose it is ---------------------------------------------------------------------------------


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from agent.dataset.claim import Claim\n"
        f"Claim(Path({str(tmp_path)!r}), 'line/a').take(); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ClaimError, match="another process records there"):
            shelf(tmp_path)
        other.kill()
    shelf(tmp_path).close()


def test_the_folder_of_another_agent_is_refused_and_told_how_to_take_it(tmp_path: Path) -> None:
    claim = Claim(tmp_path, "line/b")
    claim.take()
    claim.release()
    with pytest.raises(ClaimError, match=f"remove {FILE} in it"):
        shelf(tmp_path)
    assert "another agent: line/b, not line/a" in foreign(tmp_path, "line/a")
    assert foreign(tmp_path, "line/b") == ""
    (tmp_path / FILE).unlink()
    shelf(tmp_path).close()


def test_an_owner_that_cannot_be_read_is_nobody(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff")
    shelf(tmp_path).close()
    assert foreign(tmp_path, "line/b").startswith("holds the pictures of another agent: line/a")
