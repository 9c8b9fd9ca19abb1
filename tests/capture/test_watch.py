"""A watched folder: every picture once, as it arrives, over restarts."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.source import Picture, PictureError, Place, SourceError, SourceSession
from agent.capture.sources import arrivals, watch
from agent.capture.sources import journal as journal_module
from agent.capture.sources.journal import SPARE_LINES, Journal
from agent.capture.sources.watch import WatchSource
from agent.records import CameraState, FruitReading, MachineInfo, MachineState
from tests.capture.conftest import Capture
from tests.capture.support import camera, noise
from tests.publishing.examples import segmentation
from tests.support import wait_until


def png(seed: int, height: int = 48, width: int = 64) -> bytes:
    return bytes(cv2.imencode(".png", noise(seed, height, width))[1])


def drop(folder: Path, name: str, seed: int) -> None:
    """As a careful writer does: under a hidden name, then renamed."""
    hidden = folder / f".{name}.part"
    hidden.write_bytes(png(seed))
    past = time.time() - 100
    os.utime(hidden, (past, past))
    hidden.rename(folder / name)


def opened(folder: Path, after: str = "keep", **session: object) -> WatchSource:
    source = WatchSource(camera(f"{folder}?watch=1&after={after}", fps=1000))
    source.resume(SourceSession(**session))  # type: ignore[arg-type]
    source.open()
    return source


def following(source: WatchSource, timeout_s: float = 3.0) -> Picture | None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if (picture := source.read()) is not None:
            return picture
    return None


def taken(source: WatchSource, count: int) -> list[Picture]:
    return [picture for _ in range(count) if (picture := following(source)) is not None]


def nothing_comes(source: WatchSource) -> bool:
    return following(source, 0.4) is None


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_each_picture_is_read_once_in_order_of_arrival_over_restarts(
    tmp_path: Path, after: str
) -> None:
    drop(tmp_path, "z.png", 1)
    time.sleep(0.02)
    source = opened(tmp_path, after)
    drop(tmp_path, "a.png", 2)
    pictures = taken(source, 2)
    assert [np.array_equal(p.image, noise(n)) for p, n in zip(pictures, (1, 2), strict=True)] == [
        True,
        True,
    ]
    drop(tmp_path, "m.png", 3)
    assert len(taken(source, 1)) == 1
    assert nothing_comes(source)
    again = opened(tmp_path, after)  # as after a kill: nobody has closed anything
    assert nothing_comes(again)
    drop(tmp_path, "b.png", 4)
    (picture,) = taken(again, 1)
    assert np.array_equal(picture.image, noise(4))
    names = ["a.png", "b.png", "m.png", "z.png"]
    assert visible(tmp_path) == {"keep": names, "move": ["done"], "delete": []}[after]
    if after == "move":
        assert visible(tmp_path / "done") == names


def test_the_journal_stands_in_the_state_directory_where_there_is_one(tmp_path: Path) -> None:
    folder, state = tmp_path / "in", tmp_path / "state"
    folder.mkdir()
    drop(folder, "a.png", 1)
    assert len(taken(opened(folder, state_dir=state), 1)) == 1
    assert (state / "watch" / "cam1.journal").is_file()
    assert [path.name for path in folder.iterdir()] == ["a.png"]
    assert nothing_comes(opened(folder, state_dir=state))


def test_a_file_replaced_under_its_name_is_another_picture(tmp_path: Path) -> None:
    source = opened(tmp_path)
    drop(tmp_path, "current.png", 1)
    assert len(taken(source, 1)) == 1
    (tmp_path / "current.png").write_bytes(png(2))
    (picture,) = taken(source, 1)
    assert np.array_equal(picture.image, noise(2))


def test_a_picture_is_read_only_when_it_is_complete(tmp_path: Path) -> None:
    source, data = opened(tmp_path), png(1)
    with (tmp_path / "slow.png").open("wb", buffering=0) as file:
        for part in (data[:900], data[900:2000], data[2000:]):
            assert nothing_comes(source)
            file.write(part)
    (tmp_path / "next.png.tmp").write_bytes(data)
    (tmp_path / ".hidden.png").write_bytes(data)
    (picture,) = taken(source, 1)
    assert np.array_equal(picture.image, noise(1))
    assert nothing_comes(source)


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_what_cannot_be_read_costs_itself_and_is_not_lost(
    tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "GIVE_UP_S", 0.5)
    (tmp_path / "empty.png").write_bytes(b"")
    source = opened(tmp_path, after)
    with pytest.raises(PictureError, match=r"corrupt: empty\.png: the file is empty"):
        following(source)
    drop(tmp_path, "good.png", 1)
    assert len(taken(source, 1)) == 1
    assert nothing_comes(opened(tmp_path, after))
    kept = tmp_path / "empty.png" if after == "keep" else tmp_path / "unreadable" / "empty.png"
    assert kept.read_bytes() == b""


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_folder_that_takes_no_changes_is_an_error_and_its_pictures_are_not_used(
    tmp_path: Path, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path, "a.png", 1)
    source = opened(tmp_path, after)

    def refuse(self: Path, *_: object) -> None:
        raise OSError(30, "Read-only file system", str(self))

    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "rename", refuse)
        read_only.setattr(Path, "unlink", refuse)
        with pytest.raises(SourceError, match=rf"not_writable: .*a\.png: Read-only.*after={after}"):
            following(source)
        read_only.setattr(
            watch.tempfile,
            "TemporaryFile",
            lambda dir: refuse(dir),
        )
        with pytest.raises(SourceError, match="not_writable") as caught:
            opened(tmp_path, after)
        assert not caught.value.permanent
    assert len(taken(opened(tmp_path, after), 1)) == 1


def test_a_journal_that_cannot_be_written_is_an_error_before_a_picture_is_used(
    tmp_path: Path,
) -> None:
    drop(tmp_path, "a.png", 1)
    (tmp_path / ".pitwatch-cam1.journal").mkdir()
    with pytest.raises(
        SourceError, match=r"not_writable: .*which a journal of what was read needs"
    ):
        opened(tmp_path)


def test_a_folder_that_is_away_is_an_error_that_may_mend(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not_found") as caught:
        opened(tmp_path / "share")
    assert not caught.value.permanent
    folder = tmp_path / "in"
    folder.mkdir()
    source = opened(folder)
    assert nothing_comes(source)
    (folder / ".pitwatch-cam1.journal").unlink()
    folder.rmdir()
    with pytest.raises(SourceError, match="not_found"):
        following(source)


@pytest.mark.parametrize("after", ["keep", "move", "delete"])
def test_a_picture_in_which_a_session_hung_is_not_read_again(tmp_path: Path, after: str) -> None:
    drop(tmp_path, "a.png", 1)
    told: list[Place] = []
    taken(opened(tmp_path, "keep", report=told.append, state_dir=tmp_path / "s"), 1)
    assert told == [Place(reading="a.png"), Place()]
    source = opened(tmp_path, after, place=Place(behind="a.png"), report=told.append)
    assert told[-1] == Place()  # or the next session would put aside what has its name by then
    assert nothing_comes(source)
    kept = tmp_path / "a.png" if after == "keep" else tmp_path / "unreadable" / "a.png"
    assert kept.is_file()


def test_names_that_are_taken_in_done_get_a_number(tmp_path: Path) -> None:
    source = opened(tmp_path, "move")
    for seed in range(3):
        drop(tmp_path, "fruit.png", seed)
        taken(source, 1)
    assert visible(tmp_path / "done") == ["fruit-1.png", "fruit-2.png", "fruit.png"]


def test_one_name_again_and_again_is_numbered_without_a_look_at_each_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tmp_path / "done"
    done.mkdir()
    for name in ["image.png", *(f"image-{number}.png" for number in range(1, 701))]:
        (done / name).touch()
    source = opened(tmp_path, "move")
    drop(tmp_path, "image.png", 1)
    looks: list[Path] = []
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: looks.append(path) or exists(path))
    assert len(taken(source, 1)) == 1
    assert (done / "image-701.png").stat().st_size > 0
    assert len(looks) <= 25


@pytest.mark.long
def test_a_picture_that_came_while_others_were_read_has_its_own_stamp(tmp_path: Path) -> None:
    for number in range(4):
        drop(tmp_path, f"{number}.png", number)
    source = WatchSource(camera(f"{tmp_path}?watch=1", fps=2))
    source.open()
    taken(source, 1)
    drop(tmp_path, "late.png", 9)
    came_ms = (tmp_path / "late.png").stat().st_ctime_ns // 1_000_000
    *_, late = taken(source, 4)
    assert np.array_equal(late.image, noise(9))
    assert abs(late.captured_utc_ms - came_ms) <= 1


def test_the_stamp_is_the_arrival_and_the_age_counts_from_the_reading(tmp_path: Path) -> None:
    drop(tmp_path, "old.png", 1)
    arrived_ms = (tmp_path / "old.png").stat().st_ctime_ns // 1_000_000
    time.sleep(0.3)
    (old,) = taken(opened(tmp_path), 1)
    assert abs(old.captured_utc_ms - arrived_ms) <= 1
    assert time.monotonic() - old.captured_mono < 5


def test_another_size_again_and_again_opens_the_folder_anew_and_loses_no_more(
    tmp_path: Path,
) -> None:
    drop(tmp_path, "a.png", 1)
    source = opened(tmp_path)
    taken(source, 1)
    for number in range(3):
        (tmp_path / f"b{number}.png").write_bytes(png(number, 60, 80))
    assert len(taken(source, 2)) == 2  # the process refuses each for its size
    with pytest.raises(SourceError, match=r"size_changed: .* 80 x 60 now and were 64 x 48"):
        following(source)
    (picture,) = taken(opened(tmp_path), 1)
    assert picture.image.shape == (60, 80, 3)


def test_names_of_any_bytes_are_read_once(tmp_path: Path) -> None:
    odd = os.fsdecode(b"0\xff\n.png")
    drop(tmp_path, odd, 1)
    assert len(taken(opened(tmp_path), 1)) == 1
    assert nothing_comes(opened(tmp_path))


def test_pictures_that_wait_come_at_a_pace_and_none_in_a_burst(tmp_path: Path) -> None:
    for number in range(4):
        drop(tmp_path, f"{number}.png", number)
    source = WatchSource(camera(f"{tmp_path}?watch=1", fps=None))
    source.open()
    assert len(taken(source, 1)) == 1
    begin = time.monotonic()
    assert len(taken(source, 3)) == 3
    assert time.monotonic() - begin >= 0.9 * 3 / watch.BURST_FPS


# --- the journal ---------------------------------------------------------------------------------


def test_a_journal_cut_short_loses_its_last_line_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    for number in range(3):
        journal.add(f"{number}.png", number, 10)
    path.write_bytes(path.read_bytes()[:-4])
    again = Journal(path)
    again.load()
    assert again.damaged_lines == 1
    again.add("3.png", 3, 10)
    last = Journal(path)
    last.load()
    held = [last.holds(f"{number}.png", number, 10) for number in range(4)]
    assert held == [True, True, False, True]


@pytest.mark.parametrize("junk", [b"\xff\xfe\n", b"[]\n", b'["a", null, 3]\n', b"{}\n", b"\n3\n"])
def test_lines_that_make_no_sense_are_counted_and_passed_over(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(junk + b'["b.png", 5, 6]\n')
    journal = Journal(path)
    journal.load()
    assert journal.damaged_lines >= 1
    assert journal.holds("b.png", 5, 6)
    assert not journal.holds("b.png", 5, 7)


def test_a_journal_forgets_files_that_are_gone_and_stays_small(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for number in range(SPARE_LINES + 10):
        journal.add(f"{number}.png", number, 1)
    journal.forget_all_but(["7.png", "new.png"])
    assert (tmp_path / "j").read_text() == '["7.png", 7, 1]\n'
    journal.add("new.png", 1, 1)
    again = Journal(tmp_path / "j")
    again.load()
    assert (again.holds("7.png", 7, 1), again.holds("new.png", 1, 1), again.damaged_lines) == (
        True,
        True,
        0,
    )


def test_a_start_on_the_empty_place_of_a_share_forgets_nothing(tmp_path: Path) -> None:
    share, state, away = tmp_path / "share", tmp_path / "state", tmp_path / "away"
    share.mkdir()
    (state / "watch").mkdir(parents=True)
    drop(share, "a.png", 1)
    stat = (share / "a.png").stat()
    journal = Journal(state / "watch" / "cam1.journal")
    for number in range(SPARE_LINES + 10):
        journal.add(f"{number}.png", number, 1)
    journal.add("a.png", stat.st_mtime_ns, stat.st_size)
    share.rename(away)
    share.mkdir()
    source = opened(share, state_dir=state)
    assert nothing_comes(source)
    share.rmdir()
    away.rename(share)
    assert nothing_comes(source)
    assert nothing_comes(opened(share, state_dir=state))


def test_names_that_other_software_takes_away_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SPARE_LINES", 3)
    monkeypatch.setattr(watch, "LIST_AGAIN_S", 0.0)
    monkeypatch.setattr(watch, "LIST_SHARE", float("inf"))  # listed at every look, however slow
    source = opened(tmp_path)
    for number in range(10):
        drop(tmp_path, f"{number}.png", number)
        assert len(taken(source, 1)) == 1
        (tmp_path / f"{number - 1}.png").unlink(missing_ok=True)
    source.read()
    journal = tmp_path / ".pitwatch-cam1.journal"
    assert len(journal.read_text().splitlines()) <= 6
    (tmp_path / "9.png").touch()
    (picture,) = taken(source, 1)  # written again: another picture
    assert np.array_equal(picture.image, noise(9))


def test_a_file_under_the_name_of_one_that_hung_is_another_picture(tmp_path: Path) -> None:
    drop(tmp_path, "image.png", 1)
    told: list[Place] = []
    opened(tmp_path, "move", place=Place(behind="image.png"), report=told.append)
    assert told == [Place()]


# --- with real processes -------------------------------------------------------------------------


@pytest.mark.long
def test_an_empty_watched_folder_is_live_and_its_first_picture_says_the_size(
    capture: Capture, tmp_path: Path
) -> None:
    run = capture(camera(f"{tmp_path}?watch=1&after=move", mode="triggered", fps=None))
    run.wait_for("live", "idle")
    time.sleep(2.0)  # longer than read_timeout_s
    for number in range(3):
        drop(tmp_path, f"{number}.png", number)
        run.wait_for_frames(1)
    assert [np.array_equal(f.image, noise(n)) for n, f in enumerate(run.frames)] == [True] * 3
    assert run.state() is CameraState.LIVE
    assert [state for state, _ in run.seen()].count("backoff") == 0
    status = run.system.statuses()[0]
    assert (status.width_px, status.height_px) == (64, 48)


def test_pictures_that_waited_have_no_word_of_the_machine_that_came_later(
    capture: Capture, tmp_path: Path
) -> None:
    for number in range(3):
        drop(tmp_path, f"{number}.png", number)
    time.sleep(0.05)
    run = capture(camera(f"{tmp_path}?watch=1", mode="triggered", fps=5))
    run.system.set_machine(MachineInfo(MachineState.RUNNING, fruit_id="later", lot="L-9"))
    run.wait_for_frames(3)
    assert {frame.machine.lot for frame in run.frames} == {None}
    for frame in run.frames:
        seen = segmentation(
            seq=frame.seq,
            lane="cam1",
            captured_mono=frame.captured_mono,
            machine=frame.machine,
        )
        reading = run.system.identified(FruitReading(seen), time.monotonic(), final=True)
        assert reading is not None
        assert reading.segmentation.machine.fruit_id is None
    drop(tmp_path, "new.png", 9)
    run.wait_for_frames(1)
    assert run.frames[-1].machine.lot == "L-9"


def test_a_killed_child_reads_no_picture_twice(capture: Capture, tmp_path: Path) -> None:
    run = capture(camera(f"{tmp_path}?watch=1", mode="triggered", fps=None))
    drop(tmp_path, "a.png", 1)
    run.wait_for_frames(1)
    os.kill(run.system.pids()["cam1"], 9)
    run.wait_for("backoff", "child_died")
    drop(tmp_path, "b.png", 2)
    run.wait_for_frames(1)
    wait_until(lambda: run.state() is CameraState.LIVE)
    assert run.count() == 2
    assert np.array_equal(run.frames[0].image, noise(1))
    assert np.array_equal(run.frames[1].image, noise(2))


def test_a_picture_that_ends_its_session_by_its_size_is_counted(
    capture: Capture, tmp_path: Path
) -> None:
    lanes = [{"name": "left", "region": [0, 0, 100, 48]}]
    run = capture(camera(f"{tmp_path}?watch=1&after=move", mode="triggered", lanes=lanes))
    drop(tmp_path, "a.png", 1)
    wait_until(lambda: run.state() is CameraState.FAILED)
    assert run.ledger.counts[("pictures_unreadable", "left", "picture_size")] == 1
