"""Why a picture is kept: by what was read, at a rate, and never of a machine that stands."""

from __future__ import annotations

import math

import pytest

from agent import config
from agent.dataset import Reason
from agent.recording.choice import Choice
from agent.records import FruitReading, MachineState, NoReadReason
from tests.recording.support import explanation, frame, fruit

NEVER = {"one_in": 1_000_000}


def choose(seen: FruitReading, *, alarmed: bool = False, **settings: object) -> set[Reason]:
    section = config.Recording(**({"random": NEVER} | settings))  # type: ignore[arg-type]
    return set(Choice(section).of_fruit(seen, alarmed=alarmed, now=0.0))


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (fruit(frame(1)), set()),
        (fruit(frame(1), confidence=0.95), {Reason.SURE}),
        (fruit(frame(1), confidence=0.5), {Reason.UNCERTAIN}),
        (fruit(frame(1), reason=NoReadReason.NO_SUTURE), {Reason.NO_READ}),
        (
            fruit(frame(1), reason=NoReadReason.LOW_CONFIDENCE),
            {Reason.NO_READ, Reason.UNCERTAIN},
        ),
        (fruit(frame(1), reason=NoReadReason.IMPLAUSIBLE), {Reason.NO_READ, Reason.IMPLAUSIBLE}),
        (fruit(frame(1), plausibility=0.2), {Reason.IMPLAUSIBLE}),
        (fruit(frame(1), reason=NoReadReason.EMPTY), set()),
        (fruit(frame(1), confidence=0.95, frozen=True), set()),
    ],
)
def test_the_reading_says_why(seen: FruitReading, reasons: set[Reason]) -> None:
    assert choose(seen) == reasons


def test_an_alarm_of_the_lane_is_a_reason() -> None:
    assert choose(fruit(frame(1)), alarmed=True) == {Reason.ALARMED}


@pytest.mark.parametrize(
    "state", [MachineState.CLEANING, MachineState.STOPPED, MachineState.CHANGE_OVER]
)
def test_a_machine_that_is_cleaned_or_stands_is_not_recorded(state: MachineState) -> None:
    seen = fruit(frame(1), reason=NoReadReason.NO_SUTURE, state=state)
    assert choose(seen, alarmed=True, random={"one_in": 1}) == set()


def test_a_machine_that_says_nothing_is_recorded() -> None:
    seen = fruit(frame(1), reason=NoReadReason.NO_SUTURE, state=MachineState.UNKNOWN)
    assert choose(seen) == {Reason.NO_READ}


def test_a_rate_of_0_switches_a_reason_off() -> None:
    seen = fruit(frame(1), reason=NoReadReason.NO_SUTURE)
    assert choose(seen, no_read={"per_minute": 0}) == set()


def test_each_lane_has_its_rate() -> None:
    choice = Choice(config.Recording(random=NEVER, no_read={"per_minute": 2}))  # type: ignore[arg-type]

    def times(lane: str, now: float) -> int:
        seen = [fruit(frame(n, lane), reason=NoReadReason.NO_SUTURE) for n in range(10)]
        return sum(bool(choice.of_fruit(one, alarmed=False, now=now)) for one in seen)

    assert [times("a", 0.0), times("b", 0.0), times("a", 0.0)] == [2, 2, 0]
    assert times("a", 31.0) == 1


def test_one_in_so_many_is_drawn_by_the_seed_and_the_same_each_time() -> None:
    def drawn(seed: int) -> list[int]:
        random = {"one_in": 20, "per_minute": 10_000}
        choice = Choice(config.Recording(seed=seed, random=random))  # type: ignore[arg-type]
        seen = ((n, fruit(frame(n, size=1))) for n in range(1000))
        return [n for n, one in seen if choice.of_fruit(one, alarmed=False, now=0.0)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 25 <= len(drawn(1)) <= 80


@pytest.mark.parametrize(
    ("suture", "unusual"),
    [
        ({}, False),
        ({"input_context_reliance": 0.6}, True),
        ({"input_sensitivity_foreground": 0.1}, True),
        ({"input_sensitivity_foreground": math.nan}, False),
        ({"spot_error": 0.02}, True),
        ({"spot_error": 0.02, "explainable": False}, False),
        ({"class_name": "stem", "input_context_reliance": 0.6}, False),
    ],
)
def test_the_controls_of_an_explanation_say_why(suture: dict[str, object], unusual: bool) -> None:
    choice = Choice(config.Recording())
    assert choice.is_unusual(explanation(frame(1), **suture)) is unusual


def test_explanations_are_no_reason_where_that_is_off() -> None:
    choice = Choice(config.Recording(explained={"per_minute": 0}))  # type: ignore[arg-type]
    assert not choice.is_unusual(explanation(frame(1), input_context_reliance=0.9))
    assert not choice.take_explained("a", 0.0)
