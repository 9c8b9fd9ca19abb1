"""What is drawn on the newest frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.observability.fruit_frames import AnnotatedFrame
from agent.observability.newest import HeatMap
from agent.observability.pictures import (
    MAP_GROUND,
    USUAL_SHARE,
    heat_map_picture,
    map_scale,
    outlined,
)
from tests.observability.samples import frame, segmentation


def line(angle_deg: float, cutting_line_deg: float) -> np.ndarray:
    """Rows and columns of the pixels that a reading changes in the picture of a fruit not read."""
    shown = frame(side=192)
    read, unread = (
        outlined(
            AnnotatedFrame(
                shown, segmentation(shown, read=read, angle_deg=angle_deg), cutting_line_deg
            )
        )
        for read in (True, False)
    )
    return np.argwhere(np.abs(read.astype(int) - unread).sum(axis=2) > 120)


@pytest.mark.parametrize(
    ("angle_deg", "cutting_line_deg", "drawn_deg"),
    [(0.0, 0.0, 0.0), (30.0, 0.0, 30.0), (60.0, 30.0, 90.0), (100.0, 50.0, 150.0)],
)
def test_the_line_stands_at_the_angle_that_was_read_from_the_cutting_line(
    angle_deg: float, cutting_line_deg: float, drawn_deg: float
) -> None:
    points = line(angle_deg, cutting_line_deg).astype(float)
    assert len(points) > 60
    rows, columns = (points - points.mean(axis=0)).T
    # The main axis of the pixels; rows count downwards, angles counter-clockwise.
    axis = 0.5 * np.arctan2(2 * (columns * -rows).mean(), (columns**2 - rows**2).mean())
    off = abs(np.degrees(axis) - drawn_deg) % 180
    assert min(off, 180 - off) < 2.0


def drawn(heat_map: HeatMap) -> np.ndarray:
    data = np.frombuffer(heat_map_picture(heat_map).data, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert image is not None
    return image.astype(int)


@pytest.mark.parametrize(
    ("share", "place"), [(1.0, -1), (USUAL_SHARE, 24), (0.0, 16), (-USUAL_SHARE, 8), (-1.0, 0)]
)
def test_the_legend_has_the_colours_of_the_map(share: float, place: int) -> None:
    values = np.full((6, 6), 11.4 * share, np.float32)
    image = drawn(HeatMap("suture", "f", values, 11.4, None))
    red, green, blue = (int(map_scale()[place][at : at + 2], 16) for at in (1, 3, 5))
    assert np.abs(image[180, 180] - (blue, green, red)).max() <= 3, "but for the JPEG"


def test_a_map_lies_over_its_frame_and_outlines_its_class() -> None:
    shown = frame(side=64)
    seen = AnnotatedFrame(shown, segmentation(shown))
    strong = np.zeros((8, 8), np.float32)
    strong[0, 0] = 9.0
    bare = drawn(HeatMap("suture", "f", np.zeros((0, 0), np.float32), 3.0, seen))
    assert bare.shape == (360, 360, 3)
    changed = np.abs(drawn(HeatMap("suture", "f", strong, 3.0, seen)) - bare).max(axis=2)
    assert changed[10, 10] > 100
    assert changed[180:, 180:].max() < 20
    plain = drawn(HeatMap("nothing", "f", np.zeros((0, 0), np.float32), 3.0, seen))
    assert np.abs(bare - plain).max() > 60, "the outline"
    assert plain.min() >= 150, "the frame is pale"
    assert (drawn(HeatMap("suture", "f", strong, 0.0, None)) == MAP_GROUND).all(), "no range"
