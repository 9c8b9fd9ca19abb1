"""Ordinary days from resampled lots: how often charts and rules alarm falsely."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.charts.budget import Budget
from agent.alarms.charts.lots import LotSpread, limits_for
from agent.alarms.charts.minutes import Point
from agent.alarms.charts.reference import Reference
from agent.commissioning.design import points_by_lot
from agent.commissioning.samples import Collected, ExplanationSample, FruitSample
from agent.records import SamplingClass
from agent.scoring.baseline import Baseline, learn
from agent.scoring.faults import Judges
from agent.scoring.ordinary import (
    FalseAlarms,
    Lot,
    Rule,
    prepared,
    replay_population,
    replay_shift,
    rules_of,
    windows,
)
from agent.scoring.recording import CLASSES, EXPLANATION_SIGNALS, FRUIT_SIGNALS, Recording
from tests.alarms.references import reference, signal
from tests.scoring.support import PROFILE, recording, small, usual_reference

LIMITS = config.AlarmLimits()
QUIET = {name: np.zeros(0) for name in ("no_read", "unusable", "reliance", "sensitivity")}
NO_TESTS = Baseline({}, 60.0)


def as_samples(lot: Recording) -> Collected:
    collected = Collected()
    for index, mono in enumerate(lot.mono.tolist()):
        values = dict(zip(FRUIT_SIGNALS, lot.values[index].tolist(), strict=True))
        collected.add(FruitSample("lot", mono, values, float(lot.angle_deg[index])))
    for index, made in enumerate(lot.fruit.tolist()):
        values = dict(zip(EXPLANATION_SIGNALS, lot.explained[index].tolist(), strict=True))
        deltas = lot.deltas[index].astype(np.float64)
        collected.add(ExplanationSample("lot", float(lot.mono[made]), values, deltas, {}))
    return collected


def test_windows_are_those_that_commissioning_makes() -> None:
    lot = recording(1, minutes=5)
    ours: dict[str, list[float]] = {}
    for points in windows(lot, usual_reference()):
        for point in points:
            ours.setdefault(point.signal, []).append(point.mean)
    theirs = points_by_lot(as_samples(lot), 60.0)
    for name in ("brightness", "angle_concentration", "mass_suture", "score"):
        means = [point.mean for point in theirs[name]["lot"]]
        assert ours[name][: len(means)] == pytest.approx(means)
        assert len(ours[name]) - len(means) in (0, 1)


def test_a_lot_is_compared_with_the_references_profile() -> None:
    lot = recording(1, minutes=5)
    found = [p for points in windows(lot, usual_reference()) for p in points]
    alike = [p.mean for p in found if p.signal == "profile_cosine"]
    other = usual_reference(profile=tuple(PROFILE[::-1]))
    unlike = [
        p.mean for points in windows(lot, other) for p in points if p.signal == "profile_cosine"
    ]
    assert alike
    assert min(alike) > max(unlike)


def test_windows_leave_explanations_of_unsure_fruit_out() -> None:
    lot = recording(1, minutes=3)
    lot.sampled[:] = CLASSES.index(SamplingClass.UNCERTAIN)
    found = {p.signal for points in windows(lot, usual_reference()) for p in points}
    assert "brightness" in found
    assert "mass_suture" not in found


# --- the rate ------------------------------------------------------------------------------------

DESIGN = Budget(days=2.0)
NAMES = ("brightness", "entropy")


def designed(scale: float = 1.0) -> Reference:
    """Limits for one false alarm in six days, over three sides; ``scale`` moves them."""
    free = limits_for(DESIGN.arl(3), LotSpread(40, 1200, 0.0, 0.0, 0.0), 30)
    made = reference([signal(name, 100.0 if name == "brightness" else 0.05, 1.0) for name in NAMES])
    sides = {
        "ewma": scale * free.ewma,
        "cusum": scale * free.cusum,
        "shewhart": scale * free.shewhart,
    }
    signals = tuple(
        one.model_copy(update={"sides": tuple(side.model_copy(update=sides) for side in one.sides)})
        for one in made.signals
    )
    return made.model_copy(update={"signals": signals})


def normal_lots(made: Reference, count: int = 40, points: int = 30) -> list[Lot]:
    """Window means that are standard normal scores, each rank once."""
    rng = np.random.default_rng(4)
    ranks = (np.arange(count * points) + 0.5) / (count * points)
    z = np.array([NormalDist().inv_cdf(float(rank)) for rank in ranks])
    columns = {one.name: (one, rng.permutation(z)) for one in made.signals}
    lots = []
    for lot in range(count):
        rows = []
        for index in range(lot * points, (lot + 1) * points):
            mono = 60.0 * (index - lot * points + 1)
            rows.append(
                tuple(
                    Point(name, one.normal_scores.value(float(scores[index])), one.count, mono)
                    for name, (one, scores) in columns.items()
                )
            )
        lots.append(Lot("golden", 1800.0, tuple(rows), (), QUIET))
    return lots


def false_alarms(made: Reference, days: float) -> FalseAlarms:
    protocol = small(days=days, hours_a_day=8, populations=2)
    tests = {"golden": NO_TESTS}
    lots = {"golden": normal_lots(made)}
    found = FalseAlarms()
    for number in range(protocol.populations):
        found.add(replay_population(number, lots, {"golden": made}, tests, protocol, LIMITS))
    return found


def test_ordinary_lots_alarm_no_more_often_than_designed() -> None:
    found = false_alarms(designed(), days=60)
    expected = 60 / (DESIGN.days * DESIGN.margin)
    assert found.days == pytest.approx(60, abs=0.5)
    assert found.count <= expected + 3 * math.sqrt(expected)
    assert found.upper_per_30_days() >= found.per_30_days()
    assert len(found.by_population) == 2
    assert sum(count for _, count in found.by_population) == found.count


def test_limits_that_are_too_narrow_are_noticed() -> None:
    expected = 10 / (DESIGN.days * DESIGN.margin)
    assert false_alarms(designed(scale=0.6), days=10).count > 5 * expected


def test_days_are_the_same_every_time() -> None:
    made = designed(scale=0.6)
    one, other = false_alarms(made, 5), false_alarms(made, 5)
    assert one.causes == other.causes != Counter()
    assert one.by_population == other.by_population


def test_a_bound_without_an_alarm_needs_ninety_days() -> None:
    assert FalseAlarms(days=90.0).upper_per_30_days() == pytest.approx(1.0, abs=0.002)


def test_populations_spread_as_their_rates_do() -> None:
    found = FalseAlarms(days=60.0, by_population=[(30.0, 0)] * 19 + [(30.0, 20)])
    assert 0 < found.populations_upper_per_30_days() <= 20


# --- fixed rules ---------------------------------------------------------------------------------

RULE = Rule(Cause.NO_READ_RATE, "no_read", 4, 0.5)


@pytest.mark.parametrize(
    ("before", "lot", "rises"),
    [
        ([], [1, 1, 1], False),  # no window is full yet
        ([], [1, 1, 1, 0], True),
        ([0, 0, 0, 0], [1, 1, 1], True),
        ([0, 0, 1, 1], [1], True),  # across the lots
        ([0, 1, 1, 1], [1, 1], False),  # beyond already
        ([0, 1, 1, 1], [0, 0, 1, 1, 1], True),  # ended and came again
        ([0, 0, 0, 0], [1, 0, 1, 0], False),
    ],
)
def test_a_rule_rises_where_its_newest_values_cross_the_limit(
    before: list[int], lot: list[int], rises: bool
) -> None:
    found = RULE.rises(np.array(before, np.float64), np.array(lot, np.float64))
    assert found is rises


def test_a_rule_of_too_little_rises_below_its_limit() -> None:
    rule = Rule(Cause.FOREGROUND_INSENSITIVE, "sensitivity", 2, 0.2, low=True)
    assert rule.rises(np.array([0.5, 0.5]), np.array([0.1, 0.1]))
    assert not rule.rises(np.array([0.5, 0.5]), np.array([0.4, 0.4]))


def test_lots_with_many_no_reads_raise_the_fixed_rule() -> None:
    made = usual_reference()
    lot = recording(1, minutes=15)
    lot.angle_deg[300:700] = np.nan
    tests = learn([recording(seed) for seed in range(3)], Budget())
    ready = prepared(lot, made, tests)
    found = replay_population(
        0,
        {"golden": [ready]},
        {"golden": made},
        {"golden": tests},
        small(days=1, hours_a_day=1, populations=1),
        LIMITS,
    )
    assert found.causes[Cause.NO_READ_RATE.value] == 4, "once in each lot of the day"
    assert {rule.cause for rule in rules_of(LIMITS)} >= {Cause.NO_READ_RATE, Cause.IMAGE_QUALITY}


# --- varieties -----------------------------------------------------------------------------------


def test_varieties_take_turns_and_start_their_charts_anew() -> None:
    made = {"golden": usual_reference(), "amber": usual_reference(variety="amber")}
    tests = learn([recording(seed) for seed in range(3)], Budget())
    golden = prepared(recording(1), made["golden"], tests)
    moved = prepared(recording(2, shift={"brightness": -3.0}), made["amber"], tests)
    protocol = small(days=1, hours_a_day=2, populations=1, variety_lots=2)
    found = replay_population(
        0,
        {"golden": [golden], "amber": [replace(moved, variety="amber")]},
        made,
        {"golden": tests, "amber": tests},
        protocol,
        LIMITS,
    )
    assert found.causes == Counter({"image_quality": 2}), "2 of 8 lots begin a run of amber"


@pytest.mark.long
def test_a_shift_with_changes_of_variety_is_quiet_fruit_by_fruit() -> None:
    references = {"golden": usual_reference(), "amber": usual_reference(variety="amber")}
    lots = {
        "golden": [recording(1, minutes=5)],
        "amber": [recording(2, minutes=5, made={"variety": "amber"})],
    }
    judges = Judges(config.Alarms(), references, NO_TESTS)
    protocol = small(variety_lots=1, change_over_s=120, hours_a_day=0.3)
    assert replay_shift(lots, judges, protocol, 0) == Counter()
    lots["amber"] = [recording(2, minutes=5, shift={"brightness": -3.0}, made={"variety": "amber"})]
    assert replay_shift(lots, judges, protocol, 0)["image_quality"] >= 1
