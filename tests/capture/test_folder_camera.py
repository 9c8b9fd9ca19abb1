"""A folder as a camera with real processes: away and back again, files that hang or kill."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.records import CameraState
from tests.capture.conftest import Capture
from tests.capture.support import camera, noise, write_pictures
from tests.support import wait_until


def test_a_folder_that_is_emptied_is_backed_off_from_and_comes_back(
    capture: Capture, tmp_path: Path
) -> None:
    share, away = tmp_path / "share", tmp_path / "away"
    images = write_pictures(share, 3)
    run = capture(camera(str(share), fps=40))
    run.wait_for_frames(3)
    share.rename(away)
    run.wait_for("backoff", "read_failed")
    assert "share: No such file" in next(s.detail for s in run.history if s.cause == "read_failed")
    share.mkdir()
    run.wait_for("backoff", "open_failed")
    wait_until(lambda: any("holds no picture" in s.detail for s in run.history))
    shutil.copytree(away, share, dirs_exist_ok=True)
    run.wait_for_frames(3)
    assert run.state() is CameraState.LIVE
    assert any(np.array_equal(run.frames[-1].image, image) for image in images)
    assert run.ledger.counts[("pictures_unreadable", "cam1", "corrupt")] == 0


def test_a_folder_that_is_not_there_at_the_start_is_waited_for(
    capture: Capture, tmp_path: Path
) -> None:
    run = capture(camera(str(tmp_path / "share")))
    run.wait_for("backoff", "open_failed")
    write_pictures(tmp_path / "share", 1)
    run.wait_for_frames(1)


@pytest.mark.parametrize(
    ("behaviour", "reason", "cause"),
    [("hangs", "timeout", "read_timeout"), ("crashes", "crashed", "child_died")],
)
def test_a_file_that_ends_its_session_costs_itself_and_not_the_place(
    capture: Capture, tmp_path: Path, behaviour: str, reason: str, cause: str
) -> None:
    images = write_pictures(tmp_path, 6)
    (tmp_path / "003.png").rename(tmp_path / f"003-{behaviour}.png")
    run = capture(camera(f"slow:{tmp_path}?loop=0", fps=40, read_timeout_s=1.0))
    wait_until(run.system.finished, 30)
    wait_until(lambda: run.count() == 5)
    for frame, index in zip(run.frames, (0, 1, 2, 4, 5), strict=True):
        assert np.array_equal(frame.image, images[index]), index
    assert run.ledger.counts[("pictures_unreadable", "cam1", reason)] == 1
    assert ("backoff", cause) in run.seen()
    assert run.state() is CameraState.ENDED


@pytest.mark.long
def test_a_first_file_that_hangs_costs_itself(
    capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.capture.state_machine.START_GRACE_S", 2.0)
    write_pictures(tmp_path, 2)
    (tmp_path / "000.png").rename(tmp_path / "000-hangs.png")
    run = capture(camera(f"slow:{tmp_path}", fps=40, open_timeout_s=0.5))
    run.wait_for("backoff", "open_timeout")
    run.wait_for_frames(1)
    assert np.array_equal(run.frames[0].image, noise(1))
    assert run.ledger.counts[("pictures_unreadable", "cam1", "timeout")] == 1


def test_remarks_are_counted_and_each_kind_is_told_once(
    capture: Capture, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64), 1000, np.uint16))
    run = capture(camera(str(tmp_path), fps=100))
    wait_until(lambda: run.ledger.counts[("pictures_remarked", "cam1", "top_bits_unused")] == 1)

    def told() -> list[dict[str, object]]:
        return [each.fields for each in caplog.records if each.message == "picture_remarked"]

    wait_until(told)  # it is said after it is counted
    assert [each["kind"] for each in told()] == ["top_bits_unused"]
    assert "use 10 of 16 bits" in str(told()[0]["example"])
