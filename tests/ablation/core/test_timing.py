"""Rows are kept only where they are the faster of two ways that agree."""

import logging

import numpy as np
import pytest
import torch

from agent.ablation.core import timing
from agent.ablation.run import whole_model
from agent.ablation.run.fast_path import build_fast_path
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split import split
from agent.models.checks import probe_batch
from tests.ablation.networks import UNET_LAYER, unet

CPU = torch.device("cpu")


@pytest.fixture
def timed():
    """The real comparison, by whatever clock the test has."""


class Told:
    """A clock that a way of running moves on by what it costs."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def way(self, *seconds):
        left = iter(seconds)

        def run():
            self.now += next(left)

        return run


def test_the_slower_way_is_named_with_both_times(timed):
    clock = Told()
    rows, general = clock.way(9, 0.3, 0.2, 0.4), clock.way(9, 0.1, 0.1, 0.2)
    why = timing.slower(rows, general, CPU, clock)
    assert why == "slower: 200 ms, the general way 100 ms"


@pytest.mark.parametrize("rows", [0.05, 0.1, 0.109])
def test_rows_stay_where_they_are_no_slower_than_noise(timed, rows):
    clock = Told()
    general = clock.way(0, 0.1, 0.1, 0.1)
    assert timing.slower(clock.way(5, rows, rows, rows), general, CPU, clock) is None


def test_the_region_that_is_timed_is_small_and_never_empty():
    for size in ((1, 1), (3, 2), (8, 8), (192, 256)):
        need = timing.small_region(size)
        assert need.shape == size
        assert need.any()
    assert np.isclose(need.mean(), 1 / 16)


def test_rows_that_agree_but_are_slower_are_not_used_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(timing, "slower", lambda *_, **__: "slower: 2 ms, the general way 1 ms")
    model = unet()
    with torch.no_grad(), caplog.at_level(logging.INFO):
        x = probe_batch(model)[:1]
        cut = split.build_split(model, UNET_LAYER, x)
        assert build_fast_path(model, UNET_LAYER, cut, x, torch.zeros(1, 64, 1, 1)) is None
        assert WholeModel(model, x).operations is None
    told = {r.message: r.fields["reason"] for r in caplog.records if "rows_unused" in r.message}
    assert set(told) == {"ablation_rows_unused", "input_rows_unused"}
    assert all(reason.startswith("slower") for reason in told.values())


def test_both_ways_are_really_run_for_the_comparison(timed, monkeypatch):
    ran = []
    right = timing.slower

    def noted(rows, general, device, clock):
        ran.append([tuple(rows().shape), tuple(general().shape)])
        return right(rows, general, device, lambda: 0.0)

    monkeypatch.setattr(timing, "slower", noted)
    model = unet()
    with torch.no_grad():
        x = probe_batch(model)[:1]
        cut = split.build_split(model, UNET_LAYER, x)
        assert build_fast_path(model, UNET_LAYER, cut, x, torch.zeros(1, 64, 1, 1)) is not None
        assert WholeModel(model, x).operations is not None
    assert [general for _, general in ran] == [(8, 3, 64, 64), (whole_model.ITEMS, 3, 64, 64)]
    assert [rows[0] for rows, _ in ran] == [8, whole_model.ITEMS]
