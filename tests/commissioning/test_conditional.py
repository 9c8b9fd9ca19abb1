"""How long charts run, given how the sample came out."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from agent.alarms.charts.arl import LARGEST_ARL
from agent.alarms.charts.lots import CHAINS, LotSpread, limits_for, points_of_lots
from agent.alarms.charts.minutes import Point
from agent.alarms.charts.reference import SignalReference
from agent.commissioning import conditional
from agent.commissioning.conditional import (
    ChartsOfSamples,
    ConditionalRun,
    charts_of_samples,
    together,
)
from agent.commissioning.design import designed
from tests.alarms.references import signal
from tests.commissioning.test_design import BUDGET, made_up

RUN_LENGTH, LOT_POINTS = 20_000.0, 15
INDEPENDENT = LotSpread(12, 180, 0.0, 0.0, 0.0)


@lru_cache(maxsize=4)
def charts(lots: int) -> tuple[ChartsOfSamples, float]:
    """And the run length that the budget asks for."""
    made = designed(made_up(1, lots, 12), BUDGET)
    alike = together(made.points, made.signals)
    found = charts_of_samples(made.signals, alike, BUDGET, (made.lots, made.lot_points))
    assert found is not None
    return found, made.run_length


def run_of(lots: int) -> ConditionalRun:
    found, run_length = charts(lots)
    return found.run(run_length)


def run_known(
    signals: list[SignalReference], alike: np.ndarray, shape: tuple[int, int]
) -> ConditionalRun:
    found = charts_of_samples(signals, alike, BUDGET, shape)
    assert found is not None
    return found.run(5e6)


def seen_as(scores, z):
    """One sample that gives these scores to the true ones of the grid."""
    (one,) = conditional._seen_by_each(scores[None], z)
    return one


@pytest.mark.parametrize("sign", [1, -1])
def test_points_that_are_seen_as_they_are_alarm_as_often_as_designed(sign: int) -> None:
    """Three charts, each once in the run length that their limits are made for by Markov chain."""
    limits = limits_for(RUN_LENGTH, INDEPENDENT, LOT_POINTS)
    z = points_of_lots(0.0, 0.0, LOT_POINTS, CHAINS)
    rate = seen_as(sign * conditional._GRID, z).rate(limits)
    assert rate == pytest.approx(3 / RUN_LENGTH, rel=0.25)


def known(**changes: object) -> SignalReference:
    usual = {"icc": 0.0, "icc_upper": 0.0, "rho": 0.0, "windows": 400_000}
    return signal("brightness", 120.0, 1.0, 60).model_copy(update=usual | changes)


def test_a_very_large_sample_makes_the_charts_that_were_designed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a run length as long as real ones, with the chains that are used."""
    monkeypatch.setattr(conditional, "SAMPLES", 3)
    one = known()
    found = run_known([one], np.eye(1), (4000, 15))
    designed_days = 5e6 / BUDGET.points_a_day / (3 * len(one.sides))
    # The upper bound of the lots' share is never quite 0: limits lie a step of the grid higher.
    assert 0.8 * designed_days < found.median_days < 2 * designed_days


def test_lots_too_short_for_a_reference_have_no_run_length() -> None:
    assert charts_of_samples([known(windows=12)], np.eye(1), BUDGET, (12, 1)) is None


@pytest.mark.long
def test_signals_that_go_together_share_their_luck(monkeypatch: pytest.MonkeyPatch) -> None:
    """With independent ones the worst of many decides; alike, all are lucky or none."""
    monkeypatch.setattr(conditional, "SAMPLES", 20)
    many = [known(windows=168)] * 8
    apart = run_known(many, np.eye(8), (12, 14))
    alike = run_known(many, np.ones((8, 8)), (12, 14))
    assert alike.median_days > 2 * apart.median_days


def test_how_signals_go_together_is_read_off_their_windows() -> None:
    rng = np.random.default_rng(2)
    both = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], (5, 60))
    names = ("score", "suture_margin")
    points = {
        name: {
            str(lot): [Point(name, float(x), 60, float(i)) for i, x in enumerate(both[lot, :, k])]
            for lot in range(5)
        }
        for k, name in enumerate(names)
    }
    points[names[1]]["4"] = points[names[1]]["4"][:20]
    found = together(points, [signal(name, 0.0, 1.0, 60) for name in names])
    assert found[0, 0] == found[1, 1] == pytest.approx(1.0)
    assert found[0, 1] == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(("scale", "shift"), [(1.2, 0.0), (1.0, 0.4)])
def test_a_sample_that_came_out_narrow_or_aside_alarms_more_often(
    scale: float, shift: float
) -> None:
    limits = limits_for(RUN_LENGTH, INDEPENDENT, LOT_POINTS)
    z = points_of_lots(0.0, 0.0, LOT_POINTS, 500)
    seen = scale * conditional._GRID + shift
    assert seen_as(seen, z).rate(limits) > 3 * 3 / RUN_LENGTH
    if shift:
        assert seen_as(-seen, z).rate(limits) < 0.7 * 3 / RUN_LENGTH


def test_samples_have_the_share_of_lots_the_correlation_and_the_windows_of_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conditional, "SAMPLES", 40)
    two = [known(icc=0.3, rho=0.5, windows=1200), known(icc=0.3, rho=0.5, windows=600)]
    drawn = conditional._samples(two, np.array([[1.0, 0.6], [0.6, 1.0]]), 100)
    assert [rows.shape for rows in drawn[0]] == [(100, 12), (100, 6)]
    first = np.concatenate([sample[0] for sample in drawn])
    second = np.concatenate([sample[1] for sample in drawn])
    assert first.var() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(first[:, :6].ravel(), second.ravel())[0, 1] == pytest.approx(0.6, abs=0.05)
    expected = 0.3 + 0.7 * 0.5 ** np.arange(12)
    measured = [np.mean(first[:, 0] * first[:, k]) for k in range(12)]
    assert measured == pytest.approx(expected, abs=0.07)


@pytest.mark.long
def test_more_lots_make_the_run_length_surer_and_it_lies_around_what_was_designed() -> None:
    few, many = run_of(10), run_of(40)
    aim = BUDGET.days * BUDGET.margin
    assert few.low_days < few.median_days < few.high_days
    assert many.low_days > few.low_days
    assert many.high_days / many.low_days < few.high_days / few.low_days
    assert aim / 3 < many.median_days < 3 * aim
    charts.cache_clear()
    assert run_of(10) == few, "seeded"


def test_limits_are_widened_until_nineteen_samples_in_twenty_keep_the_budget() -> None:
    few, designed_for = charts(10)
    assert few.run(designed_for).low_days < BUDGET.days
    wider = few.run_length_that_holds(designed_for)
    assert few.run(wider).low_days >= BUDGET.days
    narrower = wider * math.exp(-2 * conditional.FINE)
    assert few.run(narrower).low_days < BUDGET.days, "no wider than it takes"


def test_limits_that_keep_the_budget_stay_as_they_are_designed() -> None:
    found, designed_for = charts(10)
    easy = replace(found, budget=replace(BUDGET, days=BUDGET.days / 100))
    assert easy.run_length_that_holds(designed_for) == designed_for


@pytest.mark.long
def test_the_normal_tail_is_not_trusted_further_than_it_is_told_to_be() -> None:
    """The file then says how few days one sample in twenty has."""
    found, designed_for = charts(10)
    hopeless = replace(found, budget=replace(BUDGET, days=1e9))
    widest = hopeless.run_length_that_holds(designed_for)
    assert widest == pytest.approx(designed_for * conditional.WIDEST)
    for designed_for in (LARGEST_ARL, 109_296_000.0, 1.7e10, 9.9e11):
        assert hopeless.run_length_that_holds(designed_for) <= LARGEST_ARL


def test_a_signal_that_few_lots_define_does_not_keep_the_others_from_being_widened() -> None:
    """85 windows over 60 lots: about one a lot, which alone would have no spread."""
    assert charts_of_samples([known(windows=85)], np.eye(1), BUDGET, (60, 15)) is not None
