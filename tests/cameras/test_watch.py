"""What ``pitwatch cameras`` says of a camera that it watched."""

from __future__ import annotations

import json
import math
import os
import re
from typing import cast

import numpy as np
import pytest

from agent.cameras import command, listing
from agent.cameras.entry import CameraEntry
from agent.cameras.watch import Counted, Seen, fired, watch
from agent.cameras.watch_command import report
from agent.capture.sources.folder import DEFAULT_FPS
from agent.config import Camera, GenicamOptions
from agent.records import CameraState, CameraStatus, Frame, NoReadReason, Reading
from agent.supervision.child import Child, ChildGone

CAMERA = Camera(name="cam1", source="rtsp://joe:secret@10.0.0.3/x")
NO_STEM = (math.nan,) * 4


def status(state: CameraState = CameraState.LIVE) -> CameraStatus:
    return CameraStatus("cam1", ("cam1",), state, "first_frame", 0.0, 640, 480, 5.0, 0, "")


def test_the_report_names_rate_age_losses_and_the_reading_and_no_password() -> None:
    seen = Seen(status(), pictures=11, first_mono=10.0, last_mono=12.0, ages_s=[0.01, 0.02, 0.05])
    seen.lost = {"stale": 0, "lost by transit": 2, "incomplete": 1}
    reading = Reading(True, 73.4, NoReadReason.NONE, 0.93, *NO_STEM)
    text = "\n".join(report(CAMERA, seen, {"cam1": reading}))
    for words in (
        "640 x 480",
        "11, 5.00 a second",
        "median 20 ms, longest 50 ms",
        "2 lost by transit, 1 incomplete",
        "73.4 degrees, confidence 0.93",
    ):
        assert words in text
    assert "secret" not in text
    assert "stale" not in text
    assert not seen.well


def test_what_the_camera_puts_into_its_pictures_is_shown() -> None:
    chunks = {"ExposureTime": 800.0, "Gain": math.nan, "FrameID": 7, "Mode": "Night"}
    newest = Frame("cam1", "f", 1, 0, 0.0, np.zeros((4, 4, 3), np.uint8), chunks=chunks)
    text = "\n".join(report(CAMERA, Seen(status(), pictures=1, newest=[newest]), {}))
    for name, shown in (("ExposureTime", "800"), ("Gain", "not in"), ("FrameID", "7")):
        assert re.search(rf"chunk {name} +{shown}", text)
    assert re.search("chunk Mode +Night", text)


def test_a_camera_that_was_refused_says_why_and_one_that_rests_that_it_is_open() -> None:
    refused = Seen(status(CameraState.BACKOFF), refused="unauthorised: user or password")
    assert any("unauthorised" in line for line in report(CAMERA, refused, {}))
    resting = "\n".join(report(CAMERA, Seen(status()), {}))
    assert "its trigger has not come" in resting
    for source, hinted in (("genicam://serial/7", True), ("genicam://serial/7?trigger=off", False)):
        lines = report(Camera(name="cam1", source=source), Seen(status()), {})
        assert any("with trigger=off it runs by itself" in line for line in lines) is hinted
    assert not refused.well


def test_losses_are_counted_of_one_lane_alone() -> None:
    counted = Counted("cam1")
    counted.count("pictures_lost", 2, camera="cam1", reason="transit")
    counted.count("pictures_lost", 2, camera="lane2", reason="transit")
    with pytest.raises(KeyError):
        counted.count("no_such_counter")
    assert counted.of("pictures_lost") == {"transit": 2}
    assert counted.of("triggers_lost") == {}


@pytest.mark.parametrize(
    ("query", "fps", "expected"),
    [
        ("trigger=software", None, DEFAULT_FPS),
        ("trigger=software", 20.0, 20.0),
        ("trigger=Line1:RisingEdge", None, None),
        ("trigger=off", None, None),
    ],
)
def test_a_software_trigger_without_a_rate_is_fired_here(
    query: str, fps: float | None, expected: float | None
) -> None:
    camera = Camera(name="cam1", source=f"genicam://serial/S1?{query}", fps=fps)
    assert fired(camera).fps == expected


def test_a_camera_is_watched_by_its_own_process_and_released() -> None:
    seen = watch(Camera(name="cam1", source="sim:?rate=1200"), 0.5)
    assert seen.well
    assert seen.pictures > 1
    assert seen.rate > 0
    assert seen.newest[0].image.shape == (seen.status.height_px, seen.status.width_px, 3)


def test_the_list_is_a_table_or_json_and_its_exit_code_says_whether_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = CameraEntry(
        "genicam://serial/S1", "S1", "lane1", "Maker Five", "10.0.0.2", "in_use", "10.0.0.9"
    )
    found: list[CameraEntry] = [one]
    trouble = [""]
    monkeypatch.setattr(command, "all_cameras", lambda _: (found, trouble[0]))
    options = GenicamOptions()
    assert command.list_cameras(options, as_json=False) == 0
    assert "in_use by 10.0.0.9" in capsys.readouterr().out
    assert command.list_cameras(options, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)[0]["serial"] == "S1"
    trouble[0] = "no_backend: install it"
    assert command.list_cameras(options, as_json=False) == 1
    assert "install it" in capsys.readouterr().err
    found.clear()
    trouble[0] = ""
    assert command.list_cameras(options, as_json=False) == 1
    assert "no V4L2 or GenICam camera" in capsys.readouterr().out


class Driver:
    """A child process whose words are given; after them the time is over, or it is gone."""

    def __init__(self, words: list[object], gone: bool = False) -> None:
        self.words, self.gone, self.now = words, gone, 0.0
        self._readable, self._written = os.pipe()
        os.write(self._written, b"x")

    def fileno(self) -> int:
        return self._readable

    def receive(self) -> list[object]:
        if self.words:
            return [self.words.pop(0)]
        if self.gone:
            raise ChildGone("cameras")
        self.now = 60.0
        return []

    def describe_exit(self) -> str:
        return "was killed by SIGSEGV"

    def close(self) -> None:
        os.close(self._readable)
        os.close(self._written)


@pytest.mark.parametrize(
    ("last", "gone", "said"),
    [
        ([""], False, ""),
        (["no_backend: install it"], False, "install it"),
        ([], False, "did not answer within 30 s"),
        ([], True, "was killed by SIGSEGV"),
    ],
    ids=["well", "refused", "hangs", "dies"],
)
def test_a_driver_that_hangs_or_dies_costs_its_part_of_the_list(
    last: list[object], gone: bool, said: str
) -> None:
    first = CameraEntry("genicam://serial/S1", "S1")
    driver = Driver([first, *last], gone)
    found, trouble = listing.gathered(cast(Child, driver), 30.0, lambda: driver.now)
    driver.close()
    assert found == [first]
    assert said in trouble
    assert bool(said) == bool(trouble)
