"""The real worker, in its own process, with a small network of random weights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agent import config
from agent.ablation.pool.messages import WorkerSpec
from agent.ablation.pool.pool import AblationPool
from agent.models.unet import UNet
from agent.records import Explanation, Rung
from tests.ablation.pool.support import (
    START_S,
    CountingTelemetry,
    run_job,
    selection,
    wait_ready,
    workers,
)
from tests.support import wait_until

SIDE = 64


def random_weights(path: Path) -> Path:
    """A U-Net of 4 features in which every layer matters and every class is predicted somewhere."""
    torch.manual_seed(3)
    network = UNet(init_features=4).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                torch.nn.init.kaiming_normal_(module.weight)
        network.conv.weight.mul_(3.0)
        logits = network(torch.rand(1, 3, SIDE, SIDE))
        network.conv.bias.sub_(logits.mean((0, 2, 3)))
    save_file(network.state_dict(), path)
    return path


def picture(seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(small, np.ones((12, 12, 1), np.uint8))


def real_pool(path: Path, layer: str | None = None) -> AblationPool:
    preprocessing = config.Preprocessing(width_px=SIDE, height_px=SIDE)
    model = config.Model(path=path, layer=layer, preprocessing=preprocessing)
    spec = WorkerSpec(model, config.Ablation())
    chosen = workers(heartbeat_timeout_s=30.0)
    return AblationPool(spec, chosen, CountingTelemetry(), time.monotonic)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, workers_forked: None) -> Iterator[AblationPool]:
    pool = real_pool(random_weights(tmp_path_factory.mktemp("model") / "random.safetensors"))
    pool.start()
    yield pool
    assert pool.stop(20.0)


def explained(pool: AblationPool, rung: Rung, **job: object) -> Explanation:
    result = run_job(pool, selection(image=picture(), rung=rung, **job))  # type: ignore[arg-type]
    assert isinstance(result, Explanation), result
    return result


@pytest.mark.long
def test_a_picture_is_explained_with_its_controls_and_overlays(pool: AblationPool) -> None:
    aperture = np.zeros((96, 96), np.bool_)
    aperture[8:88, 8:88] = True
    job = selection(image=picture(), aperture=aperture)
    found = run_job(pool, job)
    assert isinstance(found, Explanation)
    assert (found.job_id, found.frame_id) == (job.job_id, job.frame.frame_id)
    assert found.layer == "encoder4.enc4relu2"
    assert len(found.model_sha256) == 64
    assert [one.class_name for one in found.classes] == ["suture", "stem"]
    explainable = [one for one in found.classes if one.explainable]
    assert explainable
    for one in explainable:
        assert one.deltas.shape == (32,)
        assert np.abs(one.deltas).max() > 0
        assert one.exact.all()
        assert abs(one.y - one.y_null) <= one.null_tolerance
        assert one.spot_error < 1e-3
    assert [overlay.class_name for overlay in found.overlays] == ["suture", "stem"]
    assert all(0 < len(overlay.data) <= 60_000 for overlay in found.overlays)
    assert found.seconds >= found.seconds_by_method["overlay"] > 0


def test_the_same_picture_gives_the_same_numbers(pool: AblationPool) -> None:
    first, second = (explained(pool, Rung.EXACT) for _ in range(2))
    for one, other in zip(first.classes, second.classes, strict=True):
        np.testing.assert_array_equal(one.deltas, other.deltas)


@pytest.mark.parametrize("rung", [Rung.PARTIAL, Rung.COARSE])
def test_a_lower_rung_says_what_it_left_out(pool: AblationPool, rung: Rung) -> None:
    found = explained(pool, rung)
    assert found.rung is rung
    assert bool(found.left_out)


def test_a_picture_that_the_model_cannot_take_costs_its_job_only(pool: AblationPool) -> None:
    wait_ready(pool)
    before = pool.pids()
    failure = run_job(pool, selection(image=np.zeros((2, 2, 3), np.uint8)))
    assert not isinstance(failure, Explanation)
    assert failure.reason == "error"
    explained(pool, Rung.EXACT)
    assert pool.pids() == before


def test_a_killed_worker_comes_back_with_its_model(pool: AblationPool) -> None:
    wait_ready(pool)
    os.kill(next(iter(pool.pids().values())), signal.SIGKILL)
    wait_until(lambda: pool.status().ready == 0, START_S)
    explained(pool, Rung.EXACT)


def test_a_missing_model_is_named_and_opens_the_breaker(tmp_path: Path) -> None:
    pool = real_pool(tmp_path / "absent.safetensors")
    pool.start()
    try:
        wait_until(lambda: pool.status().breaker_open, START_S)
        assert "absent.safetensors" in pool.status().reason
        assert pool.status().restarts == 1
    finally:
        assert pool.stop(20.0)


def test_a_layer_that_does_not_exist_is_named_with_those_there_are(tmp_path: Path) -> None:
    pool = real_pool(random_weights(tmp_path / "random.safetensors"), layer="encoder9")
    pool.start()
    try:
        wait_until(lambda: pool.status().breaker_open, START_S)
        assert "encoder9" in pool.status().reason
    finally:
        assert pool.stop(20.0)


def test_a_job_past_its_deadline_ends_without_the_loss_of_its_worker(pool: AblationPool) -> None:
    wait_ready(pool)
    before = pool.pids()
    result = run_job(pool, selection(image=picture(), deadline_s=0.02, rung=Rung.COARSE))
    assert not isinstance(result, Explanation)
    assert result.reason == "deadline"
    assert "at the deadline" in result.detail
    again = explained(pool, Rung.EXACT)
    assert pool.pids() == before
    assert all(one.exact.all() for one in again.classes)
