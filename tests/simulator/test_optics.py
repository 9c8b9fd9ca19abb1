from __future__ import annotations

import numpy as np
import pytest

from agent.simulator.optics import NOISE_UNIT, NOISE_ZERO, expose, noise_sheet


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
