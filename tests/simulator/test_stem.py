from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.stem import EXTENT, PATCH_PX, _Patch, paint_patch

GROUND = np.array([0.2, 0.6, 0.8], np.float32)
AXIS = np.linspace(-EXTENT, EXTENT, PATCH_PX)
RADIUS = np.hypot(*np.meshgrid(AXIS, AXIS))


def change(seed: int) -> np.ndarray:
    """(P, P): how much the painted hollow differs from a plain skin under it."""
    paint, cover = paint_patch(np.random.default_rng(seed), GROUND)
    return np.asarray(np.abs(paint - GROUND[:, None, None] * cover).mean(0))


def edge(seed: int) -> float:
    """Radius of the circle that encloses as much as differs by more than the mean of what lies
    well within and what lies well outside; in semi-axes of the mask's ellipse."""
    found = change(seed)
    within, outside = found[RADIUS < 0.9].mean(), found[(RADIUS > 1.25) & (RADIUS < 1.6)].mean()
    area = (found[RADIUS < 1.6] > (within + outside) / 2).mean() * 1.6**2
    return float(np.sqrt(area))


def test_the_hollow_ends_where_its_mask_does() -> None:
    """Otherwise the mask cannot be learnt better than the two agree."""
    radii = np.array([edge(seed) for seed in range(200)])
    assert np.median(radii) == pytest.approx(1.0, abs=0.03)
    assert np.quantile(np.abs(radii - 1), 0.9) < 0.12


def test_the_mask_is_the_ellipse_that_fits_the_uneven_edge() -> None:
    """What the edge leaves of the unit circle is no other size, place or ratio of axes."""
    for seed in range(50):
        patch = _Patch(np.random.default_rng(seed))
        inside = patch.rho < 1
        x, y = (axis[inside].mean() for axis in (patch.x, patch.y))
        assert np.hypot(x, y) < 0.08, seed
        area = inside.sum() * (2 * EXTENT / (PATCH_PX - 1)) ** 2
        assert area == pytest.approx(np.pi, rel=0.12), seed
        moments = np.linalg.eigvalsh(np.cov(patch.x[inside], patch.y[inside]))
        assert np.sqrt(moments[0] / moments[1]) > 0.85, seed


def test_nothing_reaches_the_edge_of_the_patch() -> None:
    """Or a square would show on the skin."""
    for seed in range(50):
        found = change(seed)
        rim = np.concatenate([found[0], found[-1], found[:, 0], found[:, -1]])
        assert rim.max() < 0.02
