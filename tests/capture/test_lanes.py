"""Cutting a picture into the frames of its lanes."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from agent.capture.lanes import LaneCutter, circle, merged
from agent.capture.process import _meta
from agent.capture.source import Picture
from agent.records import MachineInfo, MachineState
from agent.supervision.ring import RingFrame
from tests.capture.support import camera, noise

MACHINE = MachineInfo(state=MachineState.RUNNING, lot="L1")
ORIGIN = ("s1", 17, {"cam1": MACHINE, "left": MACHINE, "right": MACHINE})


def ring_frame(aperture: np.ndarray | None = None, meta: dict[str, Any] | None = None) -> RingFrame:
    data = json.dumps(meta).encode() if meta else b""
    return RingFrame(16, 1_700_000_000_000, 12.5, noise(1), aperture, b"", data)


LEFT_RIGHT = (
    {"name": "left", "region": (0, 4, 32, 40)},
    {"name": "right", "region": (32, 4, 32, 40)},
)


def test_without_lanes_the_whole_picture_is_the_camera() -> None:
    picture = ring_frame()
    (frame,) = LaneCutter(camera()).cut(picture, *ORIGIN)
    assert (frame.lane, frame.frame_id, frame.seq) == ("cam1", "cam1-s1-17", 17)
    assert (frame.captured_utc_ms, frame.captured_mono) == (1_700_000_000_000, 12.5)
    assert np.array_equal(frame.image, picture.image)
    assert frame.aperture is None
    assert frame.machine == MACHINE


def test_each_lane_is_a_camera_with_its_own_copy_of_its_region() -> None:
    picture = ring_frame()
    left, right = LaneCutter(camera(lanes=LEFT_RIGHT)).cut(picture, *ORIGIN)
    assert (left.lane, right.lane) == ("left", "right")
    assert left.frame_id == "left-s1-17"
    assert np.array_equal(left.image, picture.image[4:44, :32])
    assert np.array_equal(right.image, picture.image[4:44, 32:])
    assert left.image.base is None
    assert left.image.flags.c_contiguous


def test_the_aperture_is_the_lanes_part_of_alpha() -> None:
    aperture = np.zeros((48, 64), bool)
    aperture[:, :40] = True
    left, right = LaneCutter(camera(lanes=LEFT_RIGHT)).cut(ring_frame(aperture), *ORIGIN)
    assert left.aperture is None
    assert right.aperture is not None
    assert right.aperture.sum() == 40 * 8


def test_a_round_aperture_is_a_circle_that_fills_the_lane() -> None:
    left, right = LaneCutter(camera(lanes=LEFT_RIGHT, round_aperture=True)).cut(
        ring_frame(), *ORIGIN
    )
    assert left.aperture is right.aperture
    assert left.aperture is not None
    assert left.aperture.shape == (40, 32)
    assert left.aperture[20, 0]
    assert not left.aperture[0, 0]
    assert not left.aperture[3, 16]
    assert abs(left.aperture.sum() - np.pi * 16**2) < 20
    assert circle(5, 5).sum() == 21


def test_round_aperture_false_ignores_alpha() -> None:
    aperture = np.zeros((48, 64), bool)
    aperture[0, 0] = True
    (frame,) = LaneCutter(camera(round_aperture=False)).cut(ring_frame(aperture), *ORIGIN)
    assert frame.aperture is None


def test_what_a_picture_knows_of_the_machine_wins_over_what_was_said() -> None:
    meta = {"truth": {"angle_deg": 3.0}, "machine": {"state": "stopped", "fruit_id": "F9"}}
    (frame,) = LaneCutter(camera()).cut(ring_frame(meta=meta), *ORIGIN)
    assert frame.machine == MachineInfo(
        MachineState.STOPPED, fruit_id="F9", lot="L1", pictured=True
    )
    assert frame.truth == {"angle_deg": 3.0}


def test_what_the_camera_puts_into_a_picture_belongs_to_all_its_lanes() -> None:
    """As the camera's process packs them, and what is not in this picture too."""
    chunks = {"Gain": 6.5, "Mode": "Night", "FrameID": math.nan}
    packed = _meta(Picture(np.zeros((4, 4, 3), np.uint8), None, 0, 0.0, chunks=chunks))
    (frame,) = LaneCutter(camera()).cut(ring_frame(meta=json.loads(packed)), *ORIGIN)
    assert math.isnan(frame.chunks["FrameID"])
    assert {**frame.chunks, "FrameID": 0} == {**chunks, "FrameID": 0}


def test_a_machine_state_of_a_later_version_is_ignored() -> None:
    assert merged(MACHINE, {"state": "dancing", "encoder": 5}) == MachineInfo(
        MachineState.RUNNING, encoder=5, lot="L1"
    )


def test_truths_listed_from_left_to_right_go_to_their_lanes() -> None:
    meta = {"truth": {"lanes": [{"angle_deg": 1.0}, {"angle_deg": 2.0}], "faults": ["x"]}}
    lanes = tuple(reversed(LEFT_RIGHT))
    right, left = LaneCutter(camera(lanes=lanes)).cut(ring_frame(meta=meta), *ORIGIN)
    assert right.truth == {"angle_deg": 2.0, "faults": ["x"]}
    assert left.truth == {"angle_deg": 1.0, "faults": ["x"]}
