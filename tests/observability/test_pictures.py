"""What is drawn on the newest frame."""

from __future__ import annotations

import numpy as np
import pytest

from agent.observability.fruit_frames import AnnotatedFrame
from agent.observability.pictures import outlined
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
