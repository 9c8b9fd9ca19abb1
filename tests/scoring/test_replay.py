"""Recordings through the real watch and alarm manager, in virtual time."""

from __future__ import annotations

import math

import pytest

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.charts.budget import Budget
from agent.alarms.signals.extract import of_suture
from agent.records import JobFailure, SamplingClass
from agent.scoring.baseline import learn
from agent.scoring.faults import Judges, Run, TrialScore, median_min, score_trial, verdict
from agent.scoring.rebuilt import explanation_of, reading_of, suture_of
from agent.scoring.recording import CLASSES, FAILED, Recording
from agent.scoring.replay import LineReplay, Piece, Raised, most_severe, whole
from tests.scoring.support import PROFILE, USUAL, recording, small, usual_reference

ALARMS = config.Alarms()


def replayed(*lots: Recording) -> LineReplay:
    replay = LineReplay(ALARMS, {"golden": usual_reference()})
    for lot in lots:
        replay.play(whole(lot))
    return replay


def judges() -> Judges:
    baseline = learn([recording(seed) for seed in range(3)], Budget())
    return Judges(ALARMS, {"golden": usual_reference()}, baseline)


def test_ordinary_production_raises_nothing() -> None:
    replay = replayed(recording(1), recording(2))
    assert replay.raised == []
    assert replay.now == 1800.0
    assert replay.fruit == 2 * 900


def test_what_is_rebuilt_has_the_signals_of_the_recording() -> None:
    lot = recording(1, minutes=1)
    reading, values = reading_of(lot, 7, 100.0)
    assert reading.segmentation.captured_mono == pytest.approx(107.0)
    assert reading.segmentation.reading.angle_deg == pytest.approx(lot.angle_deg[7])
    assert values["brightness"] == pytest.approx(USUAL["brightness"], abs=1.5)
    said = of_suture(suture_of(lot, 3), PROFILE)
    assert said["profile_cosine"] == pytest.approx(1.0)
    for name in ("reliance_input", "foreground_layer", "mass_elsewhere", "all_ones_share", "score"):
        assert not math.isnan(said[name])


def test_an_explanation_that_failed_is_a_failure_again() -> None:
    lot = recording(1, minutes=1)
    lot.status[0] = FAILED
    assert isinstance(explanation_of(lot, 0, 0.0), JobFailure)


@pytest.mark.parametrize(
    ("signal", "by", "cause", "waits_s"),
    [
        ("brightness", -2.0, Cause.IMAGE_QUALITY, 0.0),
        ("suture_margin", -2.0, Cause.SEGMENTATION_DEGRADED, 55.0),  # for ten explanations
        ("foreground_layer", -3.0, Cause.FOREGROUND_INSENSITIVE, 0.0),
        ("mass_suture", -3.0, Cause.EXPLANATION_DRIFT, 0.0),
    ],
)
def test_a_gross_shift_is_raised_when_its_first_window_is_over(
    signal: str, by: float, cause: Cause, waits_s: float
) -> None:
    replay = replayed(recording(1, minutes=5), recording(2, minutes=5, shift={signal: by}))
    first = replay.first(300.0)
    assert [one.cause for one in first] == [cause]
    assert 60.0 <= first[0].mono - 300.0 - waits_s <= 70.0


@pytest.mark.long
def test_a_small_shift_takes_the_windows_that_its_cusum_needs() -> None:
    # One deviation of a window mean: S grows by 1 - 0.5 a window, and the limit is 13.
    by = 1.0 / math.sqrt(60)
    replay = replayed(recording(1, minutes=5), recording(2, minutes=45, shift={"brightness": -by}))
    (first,) = replay.first(300.0)
    assert first.cause is Cause.IMAGE_QUALITY
    assert 15 <= (first.mono - 300.0) / 60.0 <= 45


def test_explanations_of_unsure_fruit_move_no_chart() -> None:
    moved = recording(2, minutes=5, shift={"mass_suture": -3.0})
    moved.sampled[:] = CLASSES.index(SamplingClass.UNCERTAIN)
    assert replayed(recording(1, minutes=5), moved).raised == []


@pytest.mark.long
def test_a_replay_is_the_same_every_time() -> None:
    lots = recording(1, minutes=5), recording(2, minutes=10, shift={"entropy": 1.0})
    assert replayed(*lots).raised == replayed(*lots).raised != []


def test_a_variety_without_a_reference_is_not_charted() -> None:
    strange = recording(2, minutes=10, shift={"brightness": -2.0}, made={"variety": "amber"})
    assert replayed(recording(1, minutes=5), strange).raised == []


def test_charts_begin_anew_after_a_change_of_variety() -> None:
    references = {"golden": usual_reference(), "amber": usual_reference(variety="amber")}
    replay = LineReplay(ALARMS, references)
    replay.play(whole(recording(1, minutes=5)))
    replay.change_over("amber", 600.0)
    assert replay.now == 900.0
    amber = recording(3, minutes=5, shift={"brightness": -2.0}, made={"variety": "amber"})
    replay.play(whole(amber))
    assert {one.cause for one in replay.raised} == {Cause.IMAGE_QUALITY}
    assert replay.raised[0].mono > 900.0


def test_half_a_lot_is_half_of_its_fruit_and_explanations() -> None:
    lot = recording(1, minutes=4)
    piece = Piece(lot, 60.0, 180.0)
    assert len(piece.fruit()) == 120
    assert len(piece.explanations()) == 20
    assert all(60.0 <= lot.mono[lot.fruit[j]] < 180.0 for j in piece.explanations())


def test_the_most_severe_alarm_stands_at_the_top_of_the_list() -> None:
    both = [
        Raised(1.0, Cause.IMAGE_QUALITY, True, 9),
        Raised(1.0, Cause.BACKGROUND_RELIANCE, True, 9),
    ]
    assert most_severe(both) is Cause.BACKGROUND_RELIANCE
    assert most_severe(both[:1]) is Cause.IMAGE_QUALITY


def test_runs_of_a_planted_shift_are_found_with_the_right_cause_and_delay() -> None:
    protocol = small()
    (trial,) = protocol.trials(("lamp_fade",))
    ordinary = [recording(seed) for seed in (10, 11)]
    faulty = [recording(20, minutes=3, shift={"brightness": -2.0, "softmax": 2.0})]
    score = score_trial(trial, ordinary, faulty, judges(), protocol)
    again = score_trial(trial, ordinary, faulty, judges(), protocol)
    assert score == again, "the same seeds, the same runs"
    assert len({run.delay_s for run in score.runs}) > 1, "the onset falls anywhere in a window"
    assert score.detected == 3
    assert 0.0 < score.delay_min <= 2.0
    assert score.delay_fruit == pytest.approx(score.delay_min * 60, rel=0.15)
    assert score.first_cause == ("image_quality", 1.0)
    assert score.right_share == 1.0
    assert score.softmax_min <= 2.0
    assert math.isinf(score.explanations_min), "no signal of an explanation was moved"
    assert score.verdict == "later"


def test_a_shift_of_explanations_alone_is_earlier_than_the_softmax_tests() -> None:
    protocol = small()
    (trial,) = protocol.trials(("shuffled",))
    faulty = [recording(20, minutes=3, shift={"mass_suture": -3.0})]
    score = score_trial(trial, [recording(10)], faulty, judges(), protocol)
    assert score.verdict == "earlier"
    assert score.first_cause == ("explanation_drift", 1.0)


def test_a_fault_that_changes_nothing_is_missed() -> None:
    protocol = small()
    (trial,) = protocol.trials(("dust",))
    score = score_trial(trial, [recording(10)], [recording(20, minutes=3)], judges(), protocol)
    assert score.detected == 0
    assert score.detected_lower == 0.0
    assert math.isinf(score.delay_min)
    assert math.isnan(score.right_share)
    assert score.first_cause[0] == ""
    assert score.verdict == "neither"


def test_a_wrong_cause_is_not_counted_as_right() -> None:
    (trial,) = small().trials(("lamp_fade",))
    runs = tuple(
        Run(60.0, 60, (cause,), math.inf, math.inf, 0)
        for cause in (Cause.BACKGROUND_RELIANCE, Cause.IMAGE_QUALITY)
    )
    assert TrialScore(trial, runs).right_share == 0.5


def test_a_median_over_missed_runs_is_missed() -> None:
    assert median_min([60.0, 120.0, math.inf]) == 2.0
    assert math.isinf(median_min([60.0, math.inf]))


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ([60.0], [120.0], "earlier"),
        ([120.0], [60.0], "later"),
        ([60.0], [60.0], "no earlier"),
        ([math.inf], [math.inf], "neither"),
        ([math.inf], [60.0], "later"),
    ],
)
def test_the_verdict_is_by_the_median_delay(
    ours: list[float], theirs: list[float], said: str
) -> None:
    assert verdict(ours, theirs) == said
