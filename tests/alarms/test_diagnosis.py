"""Under which alarm findings are told, on a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.alarms.catalogue import Cause
from agent.alarms.condition import Condition, Detail
from agent.alarms.diagnosis import (
    BEFORE_S,
    EXPLAINING,
    FOLLOWING,
    TOGETHER_S,
    Diagnosis,
    Evidence,
    NewestAngles,
)
from agent.alarms.language import Fact
from agent.alarms.newest import Look
from agent.alarms.suppression import Situation
from agent.records import Quality
from tests.alarms.support import condition, said

NO_READ, PICTURES = Cause.NO_READ_RATE, Cause.IMAGE_QUALITY
SEEN, DRIFT = Cause.SEGMENTATION_DEGRADED, Cause.EXPLANATION_DRIFT
CONTEXT, BLIND = Cause.BACKGROUND_RELIANCE, Cause.FOREGROUND_INSENSITIVE
ALL = (PICTURES, NO_READ, CONTEXT, BLIND, SEEN, DRIFT, Cause.LATENCY_BUDGET)
FOCUS = Detail(Fact.SIGNAL, {"signal": "focus", "value": 1.0, "low": 2.0, "high": 3.0})
COLOUR = Detail(Fact.SIGNAL, {"signal": "chromaticity", "value": 0.6, "low": 1.0, "high": 1.2})
CHARTED = {"detail": COLOUR}  # a chart's finding, not a fixed limit's
USUAL = Look(1.0, FOCUS, 100, cups_as_usual=True)
CHANGED = Look(6.0, FOCUS, 100, cups_as_usual=True)
FIRST_OTHER = Look(6.0, COLOUR, 100, COLOUR, cups_as_usual=True, cups=20)
"""Fruit of another colour; the newest cups, which are as usual, may have passed before them."""
OTHER = replace(FIRST_OTHER, cups=25)


class Lane:
    """A diagnosis and what it is fed; a finding stays until it is said to be over."""

    def __init__(self) -> None:
        self.diagnosis = Diagnosis()
        self.now, self.explained = 1000.0, 500
        self.look: Look | None = USUAL
        self.scattered = False
        self.found = {cause: condition(False, cause) for cause in ALL}
        self.step()

    def finds(self, *causes: Cause, **changes: object) -> None:
        for cause in causes:
            self.found[cause] = condition(True, cause, **changes)

    def over(self, *causes: Cause) -> None:
        for cause in causes:
            self.found[cause] = condition(False, cause)

    def step(self, seconds: float = 1.0, explained: int = 0) -> dict[Cause, Condition]:
        self.now += seconds
        self.explained += explained
        evidence = Evidence(self.look, self.scattered, self.explained, enough=10, window_s=60.0)
        told = self.diagnosis.told(self.found.values(), evidence, self.now)
        assert len(told) == len(self.found)
        return {Cause(one.cause): one for one in told}

    def told(self, seconds: float = 1.0, explained: int = 0) -> set[Cause]:
        """The causes of which somebody is told now."""
        return {
            cause
            for cause, one in self.step(seconds, explained).items()
            if one.beyond and not one.suppressed_by
        }


@pytest.fixture
def lane() -> Lane:
    return Lane()


def test_nothing_found_is_nothing_told_whatever_the_pictures_are(lane: Lane) -> None:
    for look in (None, USUAL, CHANGED, OTHER):
        lane.look, lane.scattered = look, True
        assert all(told == lane.found[cause] for cause, told in lane.step().items())


def test_without_a_look_every_finding_is_told_as_itself(lane: Lane) -> None:
    lane.look = None
    lane.finds(*ALL)
    told = lane.told()
    # what was so before: what follows from pictures that are bad by their own rule
    assert told == set(ALL) - {SEEN, DRIFT}


def test_what_the_agent_suppressed_already_stays_so_for_that_reason(lane: Lane) -> None:
    lane.look = CHANGED
    lane.step()
    lane.finds(NO_READ, suppressed_by="the machine is not running")
    assert lane.step()[NO_READ].suppressed_by == "the machine is not running"


# --- other pictures ------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", FOLLOWING)
def test_a_finding_that_begins_with_other_pictures_is_told_as_theirs(
    lane: Lane, cause: Cause
) -> None:
    lane.look = CHANGED
    lane.step()
    lane.finds(cause, **CHARTED)
    told = lane.step()
    assert told[cause].suppressed_by in (Situation.PICTURES_CHANGED, Situation.IMAGE_QUALITY)
    pictures = told[PICTURES]
    assert (pictures.beyond, pictures.back, pictures.suppressed_by) == (True, False, "")
    assert said(pictures) == "sharpness 1, usually 2 to 3"
    assert pictures.window == 100


def test_a_late_reading_is_no_matter_of_pictures(lane: Lane) -> None:
    lane.look = CHANGED
    lane.step()
    lane.finds(Cause.LATENCY_BUDGET)
    assert lane.told() == {Cause.LATENCY_BUDGET}


def test_a_finding_that_begins_long_after_the_pictures_changed_has_a_cause_of_its_own(
    lane: Lane,
) -> None:
    lane.look = CHANGED
    lane.finds(PICTURES)
    lane.step()
    lane.step(TOGETHER_S + 1)
    lane.finds(CONTEXT, NO_READ)
    assert lane.told() == {PICTURES, CONTEXT, NO_READ}


def test_a_finding_of_long_before_the_pictures_changed_has_too(lane: Lane) -> None:
    lane.finds(CONTEXT)
    lane.step()
    lane.step(BEFORE_S + 1)
    lane.look = CHANGED
    assert lane.told() == {CONTEXT}


def test_a_finding_a_little_quicker_than_the_look_belongs_to_it(lane: Lane) -> None:
    lane.finds(CONTEXT)
    lane.step()
    lane.look = CHANGED
    assert lane.told(BEFORE_S - 2) == {PICTURES}


def test_pictures_stay_unusual_until_they_are_clearly_usual_again(lane: Lane) -> None:
    lane.look = CHANGED
    lane.step()
    lane.finds(CONTEXT)
    assert lane.told() == {PICTURES}
    lane.look = replace(CHANGED, score=3.5)
    assert lane.told() == {PICTURES}
    lane.look = replace(CHANGED, score=2.5)
    assert lane.told() == {CONTEXT}


def test_a_little_unusual_pictures_do_not_become_unusual(lane: Lane) -> None:
    lane.look = replace(CHANGED, score=3.5)
    lane.step()
    lane.finds(CONTEXT)
    assert lane.told() == {CONTEXT}


def test_pictures_that_nobody_can_judge_take_no_finding_over(lane: Lane) -> None:
    lane.look = CHANGED
    lane.step()
    lane.found[PICTURES] = condition(None, PICTURES)
    lane.finds(CONTEXT)
    assert lane.told() == {CONTEXT}


# --- other fruit ---------------------------------------------------------------------------------


@pytest.fixture
def other(lane: Lane) -> Lane:
    """Other fruit have come, and five empty cups among them."""
    lane.look = FIRST_OTHER
    lane.step()
    lane.look = OTHER
    return lane


@pytest.mark.parametrize("finding", [SEEN, NO_READ])
def test_a_network_that_fails_at_other_fruit_is_told_with_their_colour(
    other: Lane, finding: Cause
) -> None:
    lane = other
    lane.finds(PICTURES, DRIFT, finding, **CHARTED)
    assert lane.told() == {SEEN}
    seen = lane.step()[SEEN]
    assert said(seen).startswith("another variety or lot than commissioned: red minus blue")
    assert seen.quality is Quality.GOOD
    assert lane.step()[PICTURES].suppressed_by == Situation.OTHER_FRUIT


def test_other_fruit_that_the_network_copes_with_are_told_as_pictures_after_a_window(
    other: Lane,
) -> None:
    lane = other
    lane.finds(PICTURES, **CHARTED)
    first = lane.step()[PICTURES]
    assert (first.beyond, first.quality) == (None, Quality.UNCERTAIN)
    assert lane.told(58) == set()
    assert lane.told(2) == {PICTURES}


def test_other_fruit_hide_no_network_that_looks_at_the_background(other: Lane) -> None:
    other.finds(SEEN, CONTEXT, **CHARTED)
    assert other.told() == {SEEN, CONTEXT}


def test_until_enough_cups_have_passed_nobody_is_sent_anywhere(lane: Lane) -> None:
    lane.look = FIRST_OTHER
    lane.finds(PICTURES, SEEN, NO_READ, CONTEXT, **CHARTED)
    told = lane.step()
    assert all(told[cause].beyond is None for cause in (PICTURES, SEEN, NO_READ, CONTEXT))
    lane.look = replace(FIRST_OTHER, cups=24)
    assert lane.told() == set()
    lane.look = replace(FIRST_OTHER, cups=25)
    assert lane.told() == {SEEN, CONTEXT}


def test_where_too_few_cups_pass_within_a_window_it_is_the_camera(lane: Lane) -> None:
    lane.look = FIRST_OTHER
    lane.finds(PICTURES, SEEN, **CHARTED)
    lane.step()
    assert lane.told(59) == set()
    assert lane.told(1) == {PICTURES}


def test_cups_that_turn_out_coloured_too_are_the_camera_at_once(lane: Lane) -> None:
    lane.look = FIRST_OTHER
    lane.finds(PICTURES, SEEN, **CHARTED)
    assert lane.told() == set()
    lane.look = replace(FIRST_OTHER, cups=22, cups_as_usual=False)
    assert lane.told() == {PICTURES}


# --- pictures as usual ---------------------------------------------------------------------------


def test_fruit_that_go_unread_in_usual_pictures_are_the_networks_matter(lane: Lane) -> None:
    lane.finds(NO_READ, value=0.9, limit=0.2, window=280)
    told = lane.step()
    assert told[NO_READ].suppressed_by == Situation.PICTURES_AS_USUAL
    seen = told[SEEN]
    assert (seen.beyond, seen.back, seen.suppressed_by) == (True, False, "")
    assert said(seen) == "90% of them get no angle although their pictures are as usual"
    assert seen.window == 280


def test_it_stays_so_until_the_share_is_back_by_its_deadband(lane: Lane) -> None:
    lane.finds(NO_READ)
    assert lane.told() == {SEEN}
    lane.found[NO_READ] = replace(condition(False, NO_READ), back=False)
    assert lane.told() == {SEEN}
    lane.over(NO_READ)
    assert lane.told() == set()


def test_pictures_that_a_chart_still_finds_bad_are_not_usual(lane: Lane) -> None:
    lane.finds(PICTURES, NO_READ)
    assert lane.told() == {PICTURES, NO_READ}


def test_a_network_that_sees_less_waits_for_explanations(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    first = lane.step()[SEEN]
    assert (first.beyond, first.back, first.quality) == (None, False, Quality.UNCERTAIN)
    assert lane.told(explained=9) == set()
    assert lane.told(explained=1) == {SEEN}
    assert lane.told() == {SEEN}


def test_it_waits_no_longer_than_a_window(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    assert lane.told(59) == set()
    assert lane.told(1) == {SEEN}


@pytest.mark.parametrize("cause", EXPLAINING)
def test_what_the_explanations_find_meanwhile_is_told_instead(lane: Lane, cause: Cause) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    lane.finds(cause, **CHARTED)
    assert lane.told(explained=30) == {cause}
    assert lane.told(200) == {cause}
    lane.over(cause)
    assert lane.told() == {SEEN}


def test_what_is_told_already_is_not_taken_back_by_what_comes_later(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    assert lane.told(explained=10) == {SEEN}
    lane.finds(DRIFT, **CHARTED)
    assert lane.told() == {SEEN, DRIFT}


def test_the_next_time_it_waits_anew(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    lane.step(explained=10)
    lane.over(SEEN)
    lane.step()
    lane.finds(SEEN, **CHARTED)
    assert lane.told() == set()


def test_a_chart_of_the_unread_waits_like_the_others_and_the_fixed_limit_does_not(
    lane: Lane,
) -> None:
    lane.finds(NO_READ, **CHARTED)
    assert lane.told() == set()
    lane.finds(NO_READ)
    assert lane.told() == {SEEN}


# --- answers without the suture ------------------------------------------------------------------


def test_answers_that_differ_without_the_suture_are_read_off_something_else(lane: Lane) -> None:
    lane.scattered = True
    lane.finds(BLIND, value=0.15, limit=0.2, window=10)
    told = lane.step()
    assert told[BLIND].suppressed_by == Situation.READ_ELSEWHERE
    context = told[CONTEXT]
    assert (context.beyond, context.suppressed_by) == (True, "")
    assert (context.value, context.limit) == pytest.approx((0.85, 0.8))
    assert context.window == 10


def test_answers_that_are_all_alike_need_no_picture(lane: Lane) -> None:
    lane.finds(BLIND, value=0.0, limit=0.2)
    assert lane.told() == {BLIND}


def test_a_smaller_effect_of_the_suture_alone_says_nothing_of_what_else_decides(
    lane: Lane,
) -> None:
    lane.scattered = True
    lane.finds(BLIND, **CHARTED)
    assert lane.told() == {BLIND}


def test_a_context_that_is_found_by_itself_keeps_its_own_numbers(lane: Lane) -> None:
    lane.scattered = True
    lane.finds(CONTEXT, value=0.7, limit=0.6)
    lane.finds(BLIND, value=0.1, limit=0.2)
    told = lane.step()
    assert (told[CONTEXT].value, told[CONTEXT].limit) == (0.7, 0.6)
    assert told[BLIND].suppressed_by


def test_other_pictures_explain_that_too(lane: Lane) -> None:
    lane.scattered, lane.look = True, CHANGED
    lane.step()
    lane.finds(BLIND, value=0.1, limit=0.2)
    assert lane.told() == {PICTURES}


@pytest.mark.parametrize(
    ("angles", "scattered"),
    [
        ([10.0] * 100, False),
        ([10.0, 100.0] * 10, True),
        ([10.0, 100.0] * 9, False),
        ([1.0, 179.0] * 50, False),
        ([i * 37.0 % 180.0 for i in range(100)], True),
        ([10.0] * 70 + [100.0] * 30, True),
        ([10.0] * 80 + [100.0] * 20, False),
    ],
)
def test_answers_differ_where_doubled_angles_do(angles: list[float], scattered: bool) -> None:
    newest = NewestAngles()
    for angle in angles:
        newest.add(angle)
    assert newest.scattered is scattered
