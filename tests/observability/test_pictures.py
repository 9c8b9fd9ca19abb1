"""What is drawn on the newest frame."""

from __future__ import annotations

import numpy as np
import pytest

from agent.observability.newest import Seen
from agent.observability.pictures import LINE_BGR, outlined
from tests.observability.samples import frame, segmentation


def white(angle_deg: float, cutting_line_deg: float, *, read: bool = True) -> np.ndarray:
    """Rows and columns of the pixels of the line."""
    shown = frame(side=192)
    seen = Seen(shown, segmentation(shown, read=read, angle_deg=angle_deg), cutting_line_deg)
    return np.argwhere((outlined(seen) == LINE_BGR).all(axis=2))


@pytest.mark.parametrize(
    ("angle_deg", "cutting_line_deg", "drawn_deg"),
    [(0.0, 0.0, 0.0), (30.0, 0.0, 30.0), (60.0, 30.0, 90.0), (100.0, 50.0, 150.0)],
)
def test_the_line_stands_at_the_angle_that_was_read_from_the_cutting_line(
    angle_deg: float, cutting_line_deg: float, drawn_deg: float
) -> None:
    points = white(angle_deg, cutting_line_deg).astype(float)
    rows, columns = (points - points.mean(axis=0)).T
    # The main axis of the pixels; rows count downwards, angles counter-clockwise.
    axis = 0.5 * np.arctan2(2 * (columns * -rows).mean(), (columns**2 - rows**2).mean())
    off = abs(np.degrees(axis) - drawn_deg) % 180
    assert min(off, 180 - off) < 2.0


def test_a_fruit_that_was_not_read_gets_no_line() -> None:
    assert len(white(30.0, 0.0, read=False)) == 0
