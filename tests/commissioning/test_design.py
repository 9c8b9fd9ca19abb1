"""From samples to a reference, on lines made up from numbers."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from agent.alarms.charts.bank import ChartBank
from agent.alarms.charts.budget import Budget
from agent.alarms.charts.reference import Reference, SignalReference
from agent.alarms.signals.signals import Per
from agent.commissioning.design import (
    Designed,
    cups_of,
    designed,
    enough,
    points_by_lot,
    profile_of,
    widened,
    windows_needed,
)
from agent.commissioning.errors import CommissioningError
from agent.commissioning.samples import Collected, ExplanationSample, FruitSample

BUDGET = Budget(days=1.0)
PROFILE = np.array([3.0, 1.0, -0.5, 0.2, 0.0, 0.1])


def made_up(
    seed: int, lots: int, minutes: int, between: float = 0.0, shift: float = 0.0
) -> Collected:
    """Thirty fruit and six explanations a minute; brightness moves with the lot by ``between``."""
    rng = np.random.default_rng(seed)
    collected = Collected()
    for lot in range(lots):
        level = rng.normal(0, between)
        for i in range(minutes * 30):
            mono = lot * 10_000 + i * 2.0
            values = {
                "no_read": float(rng.random() < 0.05),
                "brightness": 120 + level + shift + rng.normal(0, 8),
                "entropy": float(rng.lognormal(-2, 0.3)),
                "aperture": 1.0,
                "stem_margin": math.nan,
            }
            collected.add(FruitSample(f"{lot}", mono, values, float(rng.uniform(0, 180))))
            if i % 5 == 0:
                deltas = PROFILE * rng.lognormal(0, 0.3) + rng.normal(0, 0.2, 6)
                explained = {"reliance_input": float(rng.beta(2, 8)), "score": rng.normal(4, 1)}
                sample = ExplanationSample(f"{lot}", mono, explained, deltas, {"suture": 2.0})
                collected.add(sample)
    return collected


@lru_cache(maxsize=4)
def design(between: float = 0.0) -> Designed:
    return designed(made_up(1, 12, 8, between), BUDGET)


def as_reference(made: Designed) -> Reference:
    return Reference(
        variety="golden", model_name="m", model_sha256="0" * 64, layer="l", score="margin",
        width_px=192, height_px=192, made_utc="", source="", lots=made.lots,
        lot_points=made.lot_points, fruit=0, explanations=0, window_s=60.0, budget_days=1.0,
        budget_margin=3.0, budget_lanes=1, hours_a_day=8.0, run_length=made.run_length,
        claim="", profile=tuple(made.profile), overlay_range=made.overlay_range,
        signals=made.signals, left_out=made.left_out, audit=(),
    )  # fmt: skip


def alarms(bank: ChartBank, collected: Collected) -> set[str]:
    """Names of signals whose charts alarmed while ``collected`` went by."""
    from agent.alarms.signals.extract import cosine, ndcg
    from agent.alarms.signals.signals import SIGNALS

    found: set[str] = set()
    samples = [*collected.fruit, *collected.explanations]
    for one in sorted(samples, key=lambda s: s.mono):
        if isinstance(one, FruitSample):
            bank.on_fruit(one.values, one.angle_deg, one.mono)
        else:
            likeness = {
                "profile_cosine": cosine(one.deltas, bank.profile),
                "profile_ndcg": ndcg(one.deltas, bank.profile),
            }
            bank.on_explanation({**one.values, **likeness}, one.mono)
        for cause in {signal.cause for signal in SIGNALS}:
            judged = bank.judged(cause)
            if judged is not None and judged.beyond:
                found.add(judged.signal)
    return found


def test_fresh_ordinary_production_alarms_nothing_and_a_darker_one_does() -> None:
    assert alarms(ChartBank(as_reference(design())), made_up(2, 4, 10)) == set()
    assert alarms(ChartBank(as_reference(design())), made_up(3, 1, 10, shift=-8)) == {"brightness"}


def test_lots_that_differ_cost_wide_limits_and_are_no_fault() -> None:
    one = next(s for s in design(6.0).signals if s.name == "brightness")
    plain = next(s for s in design().signals if s.name == "brightness")
    assert one.icc > 0.5
    assert one.icc_upper > one.icc
    assert one.sides[0].ewma > 2 * plain.sides[0].ewma
    fresh = made_up(5, 5, 8, between=6.0)
    assert "brightness" not in alarms(ChartBank(as_reference(design(6.0))), fresh)


def test_signals_that_cannot_be_charted_say_why() -> None:
    left_out = design().left_out
    assert left_out["aperture"].startswith("constant")
    assert left_out["stem_margin"] == "never defined"
    assert "brightness" not in left_out


def test_too_few_samples_say_how_many_are_needed_for_the_budget() -> None:
    with pytest.raises(CommissioningError) as told:
        designed(made_up(1, 3, 8), BUDGET)
    assert "3 lots" in str(told.value)
    assert "at least 10 lots" in str(told.value)
    assert "7 lots" in str(told.value)


def test_what_is_enough_is_what_a_design_can_be_made_of() -> None:
    for lots, minutes in ((9, 30), (12, 4), (12, 12)):
        collected = made_up(1, lots, minutes)
        if enough(collected, BUDGET):
            assert designed(collected, BUDGET).signals
        else:
            with pytest.raises(CommissioningError, match="too few samples"):
                designed(collected, BUDGET)
    assert not enough(made_up(1, 9, 30), BUDGET)
    assert enough(made_up(1, 12, 12), BUDGET)


def test_a_larger_budget_of_days_asks_for_more_windows() -> None:
    few = Budget(days=1.0).arl(40)
    many = Budget(days=300.0).arl(40)
    assert windows_needed(many) > windows_needed(few) >= 40
    with pytest.raises(CommissioningError, match="windows more"):
        designed(made_up(1, 12, 8), Budget(days=300.0))


def test_the_budget_decides_the_run_length_over_all_charts() -> None:
    made = design()
    sides = sum(len(signal.sides) for signal in made.signals)
    assert made.run_length == BUDGET.arl(sides)


def test_explanations_are_compared_with_the_profile_of_other_lots() -> None:
    """With its own lot in the profile a lot would look more like it than the next one can."""
    collected = Collected()
    for lot in range(2):
        for i in range(6):
            deltas = np.eye(2)[lot]
            collected.add(FruitSample(f"{lot}", i * 10.0, {}, None))
            collected.add(ExplanationSample(f"{lot}", i * 10.0, {}, deltas, {}))
        collected.add(FruitSample(f"{lot}", 70.0, {}, None))
    points = points_by_lot(collected, 60.0)["profile_cosine"]
    assert [round(p.mean, 6) for lot in points.values() for p in lot] == [0.0, 0.0]


def test_one_strong_fruit_does_not_make_the_profile() -> None:
    profile = profile_of([np.array([1000.0, 0.0]), np.array([0.0, 1.0]), np.zeros(2), np.zeros(0)])
    assert profile == pytest.approx([0.5, 0.5])
    assert profile_of([]).size == 0


def test_every_signal_of_a_design_is_charted_on_the_sides_that_are_bad() -> None:
    from agent.alarms.signals.signals import BY_NAME

    for one in design().signals:
        assert tuple(side.sign for side in one.sides) == BY_NAME[one.name].bad.signs
        assert one.count >= 5 or BY_NAME[one.name].per is Per.WINDOW


def test_the_colour_of_the_cups_is_not_moved_by_a_fruit_that_was_taken_for_one() -> None:
    cups = cups_of([0.01 * (i % 5) for i in range(96)] + [0.9] * 4 + [math.nan])
    assert cups is not None
    assert (cups.count, cups.median) == (100, 0.02)
    assert 0.01 < cups.spread < 0.03


@pytest.mark.parametrize("cups", [[0.1, 0.2] * 19, [0.1] * 50, [math.nan] * 50])
def test_too_few_cups_or_cups_that_are_all_alike_say_nothing(cups: list[float]) -> None:
    assert cups_of(cups) is None


def test_widened_limits_are_those_of_the_longer_run_length() -> None:
    made = design(4.0)
    wider = widened(made, 10 * made.run_length)
    for before, after in zip(made.signals, wider.signals, strict=True):
        assert replace_sides(before, after) == after, "nothing but limits"
        for old, new in zip(before.sides, after.sides, strict=True):
            assert new.sign == old.sign
            assert new.ewma > old.ewma
            assert new.cusum > old.cusum
            assert new.shewhart > old.shewhart
    assert widened(made, made.run_length).signals == made.signals


def replace_sides(before: SignalReference, after: SignalReference) -> SignalReference:
    return before.model_copy(update={"sides": after.sides})
