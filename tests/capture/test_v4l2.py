"""A Video4Linux device as OpenCV shows it: what is asked of it, and what is made of its answers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.capture.source import SourceError, SourceInfo
from agent.capture.sources import v4l2
from tests.capture.support import camera


class Device:
    """Stands for ``cv2.VideoCapture``: gives 640 x 480 whatever is asked, after ``delays``."""

    def __init__(self, delays: list[float | None], fps: float = 30.0, opened: bool = True) -> None:
        self.delays = delays
        self.fps = fps
        self.opened = opened
        self.asked: dict[int, float] = {}
        self.stamp_mono = 0.0
        self.shape = (480, 640, 3)
        self.backend = 0
        self.released = False

    def __call__(self, path: str, backend: int) -> Device:
        self.path, self.backend = path, backend
        return self

    def isOpened(self) -> bool:
        return self.opened

    def set(self, name: int, value: float) -> bool:
        self.asked[name] = value
        return False  # refused

    def get(self, name: int) -> float:
        known = {
            cv2.CAP_PROP_FRAME_WIDTH: 640,
            cv2.CAP_PROP_FRAME_HEIGHT: 480,
            cv2.CAP_PROP_POS_MSEC: 1000 * self.stamp_mono,
        }
        return known.get(name, self.fps)

    def grab(self) -> bool:
        delay = self.delays.pop(0)
        time.sleep(abs(delay or 0.0))
        return delay is not None and delay >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full(self.shape, 7, np.uint8)

    def release(self) -> None:
        self.released = True


def opened(
    monkeypatch: pytest.MonkeyPatch, path: Path, device: Device, **keys: object
) -> tuple[v4l2.V4l2Source, SourceInfo]:
    path.touch()
    monkeypatch.setattr(v4l2.cv2, "VideoCapture", device)
    source = v4l2.V4l2Source(camera(f"v4l2://{path}", **keys))
    return source, source.open()


def test_the_configured_size_and_rate_are_asked_and_what_comes_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = Device([0.0])
    source, info = opened(
        monkeypatch, tmp_path / "video0", device, width_px=1280, height_px=960, fps=50
    )
    assert device.backend == cv2.CAP_V4L2, "named: another backend has no time-out"
    assert device.path == str(tmp_path / "video0")
    assert device.asked == {
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 960,
        cv2.CAP_PROP_FPS: 50,
    }
    assert info == SourceInfo(640, 480, 30.0, live=True)
    picture = source.read()
    assert picture is not None
    assert picture.image.shape == (480, 640, 3)
    assert abs(picture.captured_mono - time.monotonic()) < 5
    source.close()
    assert device.released


@pytest.mark.parametrize("fps", [0.0, float("nan"), -1.0])
def test_a_rate_that_the_driver_does_not_know_is_reported_as_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fps: float
) -> None:
    assert opened(monkeypatch, tmp_path / "video0", Device([], fps))[1].fps == 0.0


def test_a_device_that_is_busy_is_an_error_that_may_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="busy or no camera") as caught:
        opened(monkeypatch, tmp_path / "video0", Device([], opened=False))
    assert not caught.value.permanent


@pytest.mark.parametrize(
    ("stamp_age_s", "age_s"),
    [(1.5, 1.5), (-5.0, 0.0), (1e6, 0.0)],  # known; a clock of its own, ahead and behind
)
def test_a_picture_that_waited_in_the_device_is_as_old_as_the_driver_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stamp_age_s: float, age_s: float
) -> None:
    device = Device([0.0])
    source, _ = opened(monkeypatch, tmp_path / "video0", device)
    device.stamp_mono = time.monotonic() - stamp_age_s
    picture = source.read()
    assert picture is not None
    assert time.monotonic() - picture.captured_mono == pytest.approx(age_s, abs=0.3)
    assert time.time() - picture.captured_utc_ms / 1000 == pytest.approx(age_s, abs=0.3)


def test_a_device_whose_pictures_change_their_size_is_opened_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = Device([0.0, 0.0])
    source, _ = opened(monkeypatch, tmp_path / "video0", device)
    source.read()
    device.shape = (480, 480, 3)
    with pytest.raises(
        SourceError, match=r"size_changed.*480 x 480 now and were 640 x 480"
    ) as error:
        source.read()
    assert not error.value.permanent


def test_a_trigger_that_does_not_come_is_no_picture_and_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = Device([-1.0, 0.0])
    source, _ = opened(monkeypatch, tmp_path / "video0", device, mode="triggered")
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "1", "short turns"
    assert source.read() is None
    assert source.read() is not None


def test_a_device_that_fails_at_once_is_lost_also_when_triggered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, _ = opened(monkeypatch, tmp_path / "video0", Device([None]), mode="triggered")
    with pytest.raises(SourceError, match="read_failed"):
        source.read()


def test_a_free_running_camera_that_gives_nothing_in_time_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source, _ = opened(monkeypatch, tmp_path / "video0", Device([-1.0]), read_timeout_s=10)
    assert os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] == "8", "before this process is killed"
    with pytest.raises(SourceError, match="gave no picture in"):
        source.read()
