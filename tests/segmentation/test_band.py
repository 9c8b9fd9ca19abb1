from __future__ import annotations

import numpy as np
import pytest

from agent.segmentation.band import straight_band
from agent.segmentation.line import Line, fit_line

SHAPE = (96, 128)
EVERYWHERE = np.ones(SHAPE, np.bool_)


def bar(angle_deg: float, width: float, scale: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    y, x = np.indices(SHAPE)
    x, y = (x - 60) * scale[0], (y - 50) * scale[1]
    a = np.radians(angle_deg)
    return np.abs(x * np.sin(a) + y * np.cos(a)) <= width / 2


def line_of(mask: np.ndarray, scale: tuple[float, float] = (1.0, 1.0)) -> Line:
    rows, columns = np.nonzero(mask)
    x, y = (columns + 0.5) * scale[0] - 0.5, (rows + 0.5) * scale[1] - 0.5
    line = fit_line(x, y, np.ones(len(x)), max(scale))
    assert line is not None
    return line


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.mark.parametrize("angle", [0, 27, 90, 160])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0, 1.5)])
def test_the_band_of_a_clean_bar_is_that_bar(angle: float, scale: tuple[float, float]) -> None:
    mask = bar(angle, 12 * scale[1], scale)
    assert dice(straight_band(line_of(mask, scale), mask, EVERYWHERE, scale), mask) > 0.95


def test_a_side_branch_and_gaps_leave_the_band_where_it_was() -> None:
    clean = bar(20, 12)
    torn = clean.copy()
    torn[:, 30:50] = False
    torn[70:90, 90:100] = True  # a blob away from the line
    band = straight_band(line_of(torn), torn, EVERYWHERE, (1.0, 1.0))
    assert dice(band, clean) > dice(torn, clean) + 0.1
    assert dice(band, clean) > 0.9


def test_the_band_leaves_out_what_is_not_free() -> None:
    mask, free = bar(0, 10), EVERYWHERE.copy()
    free[:, :40] = False
    band = straight_band(line_of(mask), mask, free, (1.0, 1.0))
    assert not band[:, :40].any()
    assert band[50, 40:].all()


def test_no_suture_has_no_band() -> None:
    nothing = np.zeros(SHAPE, np.bool_)
    assert not straight_band(line_of(bar(0, 10)), nothing, EVERYWHERE, (1.0, 1.0)).any()
