from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.layout import Layout, Stem
from agent.simulator.optics import (
    NOISE_UNIT,
    NOISE_ZERO,
    expose,
    noise_sheet,
    one_sided,
    relief_field,
)


def test_the_noise_sheet_is_normal_in_bytes_and_blue_is_noisiest() -> None:
    sheet = (noise_sheet(np.random.default_rng(0), 96).astype(float) - NOISE_ZERO) / NOISE_UNIT
    assert sheet.mean() == pytest.approx(0, abs=0.05)
    assert sheet.std((0, 1)) == pytest.approx([1.5, 1.0, 1.1], abs=0.05)


def test_noise_leaves_the_mean_of_a_picture_alone() -> None:
    rng = np.random.default_rng(0)
    still = np.full((64, 64, 3), NOISE_ZERO, np.uint8)
    planes = np.full((3, 64, 64), 0.4, np.float32)
    for seed in range(10):
        plain = expose(np.random.default_rng(seed), planes, still)
        noisy = expose(np.random.default_rng(seed), planes, noise_sheet(rng, 64))
        assert float(noisy.mean()) == pytest.approx(float(plain.mean()), abs=1.5)
        assert noisy.std((0, 1)).mean() > plain.std((0, 1)).mean()  # within a channel


def test_automatic_exposure_keeps_a_bright_yellow_from_turning_to_lemon() -> None:
    """Burnt out, red stops at 255 while green goes on to rise."""
    planes = np.empty((3, 64, 64), np.float32)
    planes[:] = np.array([0.1, 0.84, 1.0], np.float32)[:, None, None]
    still = np.full((64, 64, 3), NOISE_ZERO, np.uint8)
    shots = [expose(np.random.default_rng(seed), planes, still) for seed in range(40)]
    ratio = [float(s[..., 1].mean() / s[..., 2].mean()) for s in shots]
    assert np.median(ratio) < 0.93


def axes(size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    line = ((np.arange(size) + 0.5) / (size / 2) - 1).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def test_no_limb_looks_the_same_all_around() -> None:
    for seed in range(20):
        factor = one_sided(np.random.default_rng(seed), axes())
        assert factor.min() >= 0
        assert factor.max() <= 1.6
        assert np.ptp(factor) > 0.3


def test_the_relief_is_darker_in_the_funnel_and_differs_between_the_cheeks() -> None:
    x, y = axes()
    layout = Layout(0.0, 0.0, 0.3, Stem(0.3, 0.0, 0.15, 0.12, 0.0), 0.0)
    reliefs = [relief_field(np.random.default_rng(seed), (x, y), layout) for seed in range(60)]
    assert min(float(r.min()) for r in reliefs) > 0.4
    assert max(float(r.max()) for r in reliefs) < 1.4
    mean = np.mean(reliefs, 0)
    near = np.hypot(x - 0.3, y) < 0.15
    assert mean[near].mean() < mean[np.hypot(x - 0.3, y) > 0.8].mean() - 0.03
    cheeks = [float(r[y < -0.2].mean() - r[y > 0.2].mean()) for r in reliefs]
    assert min(cheeks) < -0.02 < 0.02 < max(cheeks), "the lamp is not always on one side"
