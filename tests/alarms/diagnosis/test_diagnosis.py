"""To which alarm a finding is attributed, on a fake clock, and what the manager makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent import config
from agent.alarms.catalogue import OF_EXPLANATIONS, Cause, Situation
from agent.alarms.charts.newest import PictureCheck
from agent.alarms.condition import Condition, Detail
from agent.alarms.diagnosis.diagnosis import Diagnosis
from agent.alarms.diagnosis.episodes import FINDINGS
from agent.alarms.diagnosis.observations import NewestAngles, Observations
from agent.alarms.diagnosis.pictures import BEFORE_S, TOGETHER_S
from agent.alarms.diagnosis.rules import CONFIRM_S
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.text.english import ENGLISH
from agent.alarms.text.language import Fact
from agent.records import AlarmState, Quality
from tests.alarms.support import condition, said, utc_ms

NO_READ, PICTURES = Cause.NO_READ_RATE, Cause.IMAGE_QUALITY
SEEN, DRIFT = Cause.SEGMENTATION_DEGRADED, Cause.EXPLANATION_DRIFT
CONTEXT, BLIND = Cause.BACKGROUND_RELIANCE, Cause.FOREGROUND_INSENSITIVE
ALL = (*FINDINGS, Cause.LATENCY_BUDGET)
FOLLOWING = tuple(cause for cause in FINDINGS if cause is not PICTURES)
FOCUS = Detail(Fact.SIGNAL, {"signal": "focus", "value": 1.0, "low": 2.0, "high": 3.0})
COLOUR = Detail(Fact.SIGNAL, {"signal": "chromaticity", "value": 0.6, "low": 1.0, "high": 1.2})
CHARTED = {"detail": COLOUR}  # a chart's finding, not a fixed limit's
USUAL = PictureCheck(1.0, FOCUS, 100, cups_as_usual=True)
CHANGED = PictureCheck(6.0, FOCUS, 100, value=1.0, limit=2.0, cups_as_usual=True)
FIRST_OTHER = PictureCheck(6.0, COLOUR, 100, other_colour=COLOUR, cups_as_usual=True, cups=20)
"""Fruit of another colour; the newest cups, which are as usual, may have passed before them."""
OTHER = replace(FIRST_OTHER, cups=25)


class Lane:
    """A diagnosis, its input, and a manager fed by it; a finding stays until it is over."""

    def __init__(self, **settings: object) -> None:
        self.diagnosis = Diagnosis()
        self.manager = AlarmManager(config.Alarms(**settings), "agent1", "s1")
        self.now, self.explained = 1000.0, 500
        self.pictures: PictureCheck | None = USUAL
        self.scattered, self.charting = False, True
        self.found = {cause: condition(False, cause) for cause in ALL}
        self.step()

    def finds(self, *causes: Cause, **changes: object) -> None:
        for cause in causes:
            self.found[cause] = condition(True, cause, **changes)

    def over(self, *causes: Cause) -> None:
        for cause in causes:
            self.found[cause] = condition(False, cause)

    def unknown(self, *causes: Cause) -> None:
        for cause in causes:
            self.found[cause] = condition(None, cause, quality=Quality.BAD)

    def step(self, seconds: float = 1.0, explained: int = 0) -> dict[Cause, Condition]:
        self.now += seconds
        self.explained += explained
        unavailable = {one for one in Cause if f"{one}-cam1" in self.manager.unavailable()}
        observations = Observations(
            self.pictures, self.scattered, self.explained, 10, 60.0, unavailable, self.charting
        )
        attributed = self.diagnosis.attribute(self.found.values(), observations, self.now)
        assert [one.cause for one in attributed] == list(self.found)
        for one in attributed:
            self.manager.update(one, self.now, utc_ms(self.now))
        self.manager.tick(self.now, utc_ms(self.now))
        return {Cause(one.cause): one for one in attributed}

    def settle(self, seconds: int = 6, explained: int = 0) -> dict[Cause, Condition]:
        """Second by second; by default for longer than any on-delay."""
        self.step(1.0, explained)
        for _ in range(seconds - 1):
            self.step()
        return self.step(0.0)

    def annunciated(self, seconds: int = 6, explained: int = 0) -> set[Cause]:
        """The causes whose alarms are annunciated after that."""
        return {
            cause
            for cause, one in self.settle(seconds, explained).items()
            if one.beyond and not one.suppressed_by
        }

    def rung(self, seconds: int) -> set[Cause]:
        """The causes that rang in so many seconds to come."""
        rang: set[Cause] = set()
        for _ in range(seconds):
            before = self.ringing()
            self.step()
            rang |= self.ringing() - before
        return rang

    def ringing(self) -> set[Cause]:
        """What an operator has on the list, acknowledged or not."""
        shown = (AlarmState.UNACK, AlarmState.ACKED)
        return {
            Cause(one.alarm_id.removesuffix("-cam1"))
            for one in self.manager.current()
            if one.state in shown
        }

    def acknowledge(self) -> None:
        for one in self.manager.current():
            self.manager.acknowledge(one.alarm_id, one.event_id, "", self.now, utc_ms(self.now))


@pytest.fixture
def lane() -> Lane:
    return Lane()


@pytest.fixture
def changed(lane: Lane) -> Lane:
    """The pictures have just become unusual."""
    lane.pictures = CHANGED
    lane.step()
    return lane


@pytest.fixture
def other(lane: Lane) -> Lane:
    """Other fruit have come, and five empty cups among them."""
    lane.pictures = FIRST_OTHER
    lane.step()
    lane.pictures = OTHER
    return lane


def test_nothing_found_is_nothing_raised_whatever_the_pictures_are(lane: Lane) -> None:
    for pictures in (None, USUAL, CHANGED, OTHER):
        lane.pictures, lane.scattered = pictures, True
        assert all(attributed == lane.found[cause] for cause, attributed in lane.step().items())


def test_without_a_check_of_the_pictures_every_finding_is_raised_as_itself(lane: Lane) -> None:
    lane.pictures, lane.charting = None, False
    lane.finds(*ALL)
    # what was so before: what follows from pictures that are bad by their own rule
    assert lane.annunciated() == set(ALL) - {SEEN, DRIFT}


def test_what_the_agent_suppressed_already_stays_so_for_that_reason(changed: Lane) -> None:
    changed.finds(NO_READ, suppressed_by="the machine is not running")
    assert changed.step()[NO_READ].suppressed_by == "the machine is not running"


# --- other pictures ------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", FOLLOWING)
def test_a_finding_that_begins_with_other_pictures_is_attributed_to_them(
    changed: Lane, cause: Cause
) -> None:
    changed.finds(cause, **CHARTED)
    attributed = changed.settle()
    assert attributed[cause].suppressed_by in (Situation.PICTURES_CHANGED, Situation.IMAGE_QUALITY)
    pictures = attributed[PICTURES]
    assert (pictures.beyond, pictures.back, pictures.suppressed_by) == (True, False, "")
    assert said(pictures) == "sharpness 1, usually 2 to 3"
    assert (pictures.value, pictures.limit, pictures.window) == (1.0, 2.0, 100)


def test_a_late_reading_is_no_matter_of_pictures(changed: Lane) -> None:
    changed.finds(Cause.LATENCY_BUDGET)
    assert changed.annunciated() == {Cause.LATENCY_BUDGET}


def test_a_finding_that_begins_long_after_the_pictures_changed_has_a_cause_of_its_own(
    changed: Lane,
) -> None:
    changed.finds(PICTURES)
    changed.settle(int(TOGETHER_S) + 1)
    changed.finds(CONTEXT, NO_READ)
    assert changed.annunciated() == {PICTURES, CONTEXT, NO_READ}


def test_a_finding_of_long_before_the_pictures_changed_has_too(lane: Lane) -> None:
    lane.finds(CONTEXT)
    lane.settle(int(BEFORE_S) + 1)
    lane.pictures = CHANGED
    assert lane.annunciated() == {CONTEXT}


@pytest.mark.parametrize("cause", [CONTEXT, NO_READ])
def test_a_finding_a_little_quicker_than_the_pictures_belongs_to_it(
    lane: Lane, cause: Cause
) -> None:
    lane.finds(cause)
    lane.step()
    lane.pictures = CHANGED
    assert lane.annunciated() == {PICTURES}


def test_a_little_unusual_pictures_do_not_become_unusual(lane: Lane) -> None:
    lane.pictures = replace(CHANGED, score=3.5)
    lane.step()
    lane.finds(CONTEXT)
    assert lane.annunciated() == {CONTEXT}


def test_once_unusual_they_are_so_until_they_are_clearly_usual(changed: Lane) -> None:
    changed.pictures = replace(CHANGED, score=3.5)
    changed.finds(CONTEXT)
    assert changed.annunciated() == {PICTURES}


def test_pictures_that_nobody_can_judge_take_no_finding_over(changed: Lane) -> None:
    changed.unknown(PICTURES)
    changed.finds(CONTEXT)
    assert changed.annunciated() == {CONTEXT}


def test_mending_rings_nothing_while_the_last_windows_pass(changed: Lane) -> None:
    changed.finds(PICTURES, CONTEXT, SEEN, DRIFT, NO_READ)
    assert changed.rung(600) == {PICTURES}
    changed.pictures = USUAL  # mended; each recovers when its own window is over
    for cause in (NO_READ, CONTEXT, PICTURES, SEEN, DRIFT):
        assert changed.rung(120) == set()
        changed.over(cause)
    assert changed.rung(80) == set()
    assert changed.ringing() == set()


def test_a_dip_into_the_deadband_changes_nothing(changed: Lane) -> None:
    changed.finds(PICTURES, NO_READ)
    assert changed.rung(400) == {PICTURES}
    changed.found[NO_READ] = replace(condition(False, NO_READ), back=False)
    assert changed.rung(2) == set()
    changed.finds(NO_READ)
    assert changed.rung(100) == set()
    assert changed.ringing() == {PICTURES}


def test_a_stop_of_the_machine_changes_nothing(changed: Lane) -> None:
    changed.finds(CONTEXT, SEEN)
    assert changed.rung(100) == {PICTURES}
    changed.pictures = None
    changed.unknown(*FINDINGS)
    assert changed.rung(3600) == set()
    changed.over(PICTURES)
    changed.pictures = CHANGED
    changed.finds(CONTEXT, SEEN)
    assert changed.rung(60) == set()
    assert changed.ringing() == {PICTURES}


def test_a_change_that_no_chart_of_the_pictures_sees_explains_nothing_for_long(
    changed: Lane,
) -> None:
    changed.finds(CONTEXT)
    assert changed.rung(int(CONFIRM_S) - 10) == {PICTURES}
    assert changed.rung(20) == {CONTEXT}


def test_one_that_the_charts_see_explains_it_as_long_as_they_do(changed: Lane) -> None:
    changed.finds(CONTEXT, PICTURES)
    assert changed.rung(2000) == {PICTURES}
    changed.over(PICTURES)
    assert changed.rung(int(CONFIRM_S) - 10) == set()
    assert changed.rung(20) == {CONTEXT}


def test_pictures_that_are_unusual_from_the_start_may_have_been_so_for_weeks(lane: Lane) -> None:
    lane.diagnosis = Diagnosis()  # the agent has just started
    lane.pictures = None
    lane.unknown(*FINDINGS)
    lane.settle(20)
    lane.pictures = CHANGED
    lane.finds(CONTEXT, PICTURES)
    assert lane.rung(60) == {CONTEXT, PICTURES}


def test_what_grows_from_a_small_shift_to_a_gross_one_much_later_is_raised_as_itself(
    changed: Lane,
) -> None:
    changed.finds(CONTEXT, PICTURES, **CHARTED)
    assert changed.rung(int(TOGETHER_S) + 10) == {PICTURES}
    changed.finds(CONTEXT, value=0.95, limit=0.6)
    assert changed.rung(5) == {CONTEXT}


def test_a_finding_that_does_not_last_for_its_on_delay_rings_nothing(lane: Lane) -> None:
    lane.finds(NO_READ)
    lane.settle(3)
    lane.over(NO_READ)
    assert lane.rung(60) == set()


def test_before_the_pictures_are_checked_a_finding_waits_for_a_window_at_most(lane: Lane) -> None:
    lane.pictures = None
    lane.finds(NO_READ)
    assert lane.annunciated(30) == set()
    lane.pictures = USUAL
    assert lane.annunciated(1) == {SEEN}
    lane = Lane()
    lane.pictures = None
    lane.finds(NO_READ)
    lane.step()
    assert lane.annunciated(59) == set()
    assert lane.annunciated(2) == {NO_READ}


# --- other fruit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("finding", [SEEN, NO_READ])
def test_a_network_that_fails_at_other_fruit_is_announced_with_their_colour(
    other: Lane, finding: Cause
) -> None:
    other.finds(PICTURES, DRIFT, finding, **CHARTED)
    assert other.annunciated() == {SEEN}
    attributed = other.step()
    assert attributed[SEEN].detail == Detail(Fact.OTHER_FRUIT, COLOUR.values)
    assert attributed[SEEN].quality is Quality.GOOD
    assert attributed[PICTURES].suppressed_by == Situation.OTHER_FRUIT


def test_other_fruit_that_the_network_copes_with_are_raised_as_pictures_after_a_window(
    other: Lane,
) -> None:
    other.finds(PICTURES, **CHARTED)
    first = other.settle()[PICTURES]
    assert (first.beyond, first.quality) == (None, Quality.UNCERTAIN)
    assert other.annunciated(53) == set()
    assert other.annunciated(2) == {PICTURES}


def test_other_fruit_hide_no_network_that_looks_at_the_background(other: Lane) -> None:
    other.finds(SEEN, CONTEXT, **CHARTED)
    assert other.annunciated() == {SEEN, CONTEXT}


def test_until_enough_cups_have_passed_nobody_is_sent_anywhere(lane: Lane) -> None:
    lane.pictures = FIRST_OTHER
    lane.finds(PICTURES, SEEN, NO_READ, CONTEXT, **CHARTED)
    attributed = lane.settle()
    assert all(attributed[cause].beyond is None for cause in (PICTURES, SEEN, NO_READ, CONTEXT))
    lane.pictures = replace(FIRST_OTHER, cups=24)
    assert lane.annunciated() == set()
    lane.pictures = replace(FIRST_OTHER, cups=25)
    assert lane.annunciated() == {SEEN, CONTEXT}


def test_where_too_few_cups_pass_within_a_window_it_is_the_camera_for_good(lane: Lane) -> None:
    lane.pictures = FIRST_OTHER
    lane.finds(PICTURES, SEEN, **CHARTED)
    assert lane.annunciated(58) == set()
    assert lane.rung(10) == {PICTURES}
    lane.pictures = OTHER
    assert lane.rung(100) == set()
    assert lane.ringing() == {PICTURES}


def test_cups_that_turn_out_coloured_too_are_the_camera_at_once(lane: Lane) -> None:
    lane.pictures = FIRST_OTHER
    lane.finds(PICTURES, SEEN, **CHARTED)
    assert lane.annunciated() == set()
    lane.pictures = replace(FIRST_OTHER, cups=22, cups_as_usual=False)
    assert lane.annunciated() == {PICTURES}


def test_a_colour_that_comes_and_goes_rings_once(other: Lane) -> None:
    other.finds(PICTURES, SEEN, **CHARTED)
    assert other.rung(10) == {SEEN}
    for _ in range(50):
        other.pictures = replace(OTHER, other_colour=None, cups_as_usual=False)
        assert other.rung(1) == set()
        other.pictures = OTHER
        assert other.rung(1) == set()


@pytest.mark.long
def test_pictures_that_cannot_be_read_are_no_matter_of_the_fruit(other: Lane) -> None:
    other.finds(PICTURES, SEEN, **CHARTED)
    assert other.rung(3600) == {SEEN}
    other.finds(PICTURES, value=0.4, limit=0.2, detail=Detail(Fact.UNREADABLE, {"share": 0.4}))
    assert PICTURES in other.rung(10)


def test_a_lens_that_goes_out_of_focus_later_is_no_matter_of_the_fruit(other: Lane) -> None:
    other.finds(PICTURES, SEEN, **CHARTED)
    assert other.rung(600) == {SEEN}
    other.pictures = CHANGED
    assert other.rung(int(CONFIRM_S) - 10) == set()
    assert other.rung(20) == {PICTURES}


def test_a_network_that_copes_again_with_other_fruit_can_ring_again(other: Lane) -> None:
    other.finds(PICTURES, SEEN, **CHARTED)
    assert other.rung(600) == {SEEN}
    other.over(SEEN)
    assert other.rung(int(CONFIRM_S) + 60) == {PICTURES}
    assert SEEN not in other.ringing()
    other.pictures = USUAL
    other.over(PICTURES)
    other.rung(60)
    other.finds(SEEN, **CHARTED)
    assert other.rung(70) == {SEEN}


def test_too_few_cups_say_nothing_of_the_light(lane: Lane) -> None:
    lane.pictures = replace(FIRST_OTHER, cups_as_usual=None)
    lane.finds(PICTURES, SEEN, **CHARTED)
    assert lane.annunciated(58) == set()
    assert lane.rung(10) == {PICTURES}


def test_usual_fruit_that_come_back_ring_nothing(other: Lane) -> None:
    other.finds(PICTURES, SEEN, **CHARTED)
    assert other.rung(600) == {SEEN}
    other.pictures = USUAL
    assert other.rung(240) == set()
    other.over(SEEN)
    assert other.rung(60) == set()
    other.over(PICTURES)
    assert other.rung(60) == set()
    assert other.ringing() == set()


# --- pictures as usual ---------------------------------------------------------------------------


def test_fruit_that_go_unread_in_usual_pictures_are_the_networks_matter(lane: Lane) -> None:
    lane.finds(NO_READ, value=0.9, limit=0.2, window=280)
    attributed = lane.settle()
    assert attributed[NO_READ].suppressed_by == Situation.PICTURES_AS_USUAL
    seen = attributed[SEEN]
    assert (seen.beyond, seen.back, seen.suppressed_by) == (True, False, "")
    assert said(seen) == "90 % of the fruit get no angle although their pictures are as usual"
    assert (seen.value, seen.limit, seen.window) == (pytest.approx(4.5), 1.0, 280)


def test_it_stays_so_until_the_share_is_back_by_its_deadband(lane: Lane) -> None:
    lane.finds(NO_READ)
    assert lane.annunciated() == {SEEN}
    lane.found[NO_READ] = replace(condition(False, NO_READ), back=False)
    assert lane.rung(100) == set()
    assert lane.ringing() == {SEEN}
    lane.over(NO_READ)
    lane.rung(40)
    assert lane.ringing() == set()


def test_when_nobody_can_say_any_more_it_says_nothing_either(lane: Lane) -> None:
    lane.finds(NO_READ, value=0.9)
    assert lane.rung(10) == {SEEN}
    lane.pictures = None
    lane.unknown(*FINDINGS)
    attributed = lane.step()[SEEN]
    assert attributed.beyond is None
    assert lane.ringing() == {SEEN}  # the state holds


def test_pictures_that_a_chart_still_finds_bad_are_not_usual(lane: Lane) -> None:
    lane.finds(PICTURES, NO_READ)
    assert lane.annunciated() == {PICTURES, NO_READ}


def test_an_alarm_that_rang_for_something_else_before_rings_for_nothing_new(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    assert lane.rung(70) == {SEEN}
    lane.acknowledge()
    lane.rung(int(TOGETHER_S))
    lane.finds(NO_READ, value=0.9)
    assert lane.rung(10) == {NO_READ}


def test_a_network_that_sees_less_waits_for_explanations(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    first = lane.settle()[SEEN]
    assert (first.beyond, first.back, first.quality) == (None, False, Quality.UNCERTAIN)
    assert lane.annunciated(explained=9) == set()
    assert lane.annunciated(explained=1) == {SEEN}


def test_it_waits_no_longer_than_a_window(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    assert lane.annunciated(59) == set()
    assert lane.annunciated(2) == {SEEN}


@pytest.mark.parametrize("cause", OF_EXPLANATIONS)
def test_what_the_explanations_find_meanwhile_is_announced_instead(
    lane: Lane, cause: Cause
) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.step()
    lane.finds(cause, **CHARTED)
    assert lane.annunciated(explained=30) == {cause}
    attributed = lane.settle(200)[SEEN]
    assert (attributed.beyond, attributed.suppressed_by) == (True, Situation.EXPLANATIONS_SAY)


@pytest.mark.parametrize("cause", OF_EXPLANATIONS)
def test_when_the_explanations_are_back_for_long_it_is_raised_all_the_same(
    lane: Lane, cause: Cause
) -> None:
    lane.finds(SEEN, cause, **CHARTED)
    assert lane.rung(300) == {cause}
    lane.over(cause)
    assert lane.rung(int(CONFIRM_S) - 10) == set()
    assert lane.rung(20) == {SEEN}


@pytest.mark.parametrize("cause", OF_EXPLANATIONS)
def test_a_mended_model_rings_nothing_more(lane: Lane, cause: Cause) -> None:
    lane.finds(SEEN, cause, **CHARTED)
    assert lane.rung(300) == {cause}
    lane.over(cause)
    assert lane.rung(400) == set()
    lane.over(SEEN)
    assert lane.rung(100) == set()
    assert lane.ringing() == set()


@pytest.mark.parametrize("cause", OF_EXPLANATIONS)
def test_what_they_have_said_for_long_is_no_cause_of_what_begins_now(
    lane: Lane, cause: Cause
) -> None:
    lane.finds(cause, **CHARTED)
    assert lane.rung(4000) == {cause}
    lane.finds(SEEN, **CHARTED)
    assert lane.rung(70) == {SEEN}


def test_what_is_raised_already_is_not_taken_back_by_what_comes_later(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.settle()
    assert lane.annunciated(explained=10) == {SEEN}
    lane.finds(DRIFT, **CHARTED)
    assert lane.annunciated() == {SEEN, DRIFT}


def test_the_next_time_it_waits_anew(lane: Lane) -> None:
    lane.finds(SEEN, **CHARTED)
    lane.settle()
    lane.settle(explained=10)
    lane.over(SEEN)
    lane.rung(40)
    lane.finds(SEEN, **CHARTED)
    assert lane.annunciated() == set()


def test_what_comes_back_before_its_alarm_has_cleared_is_the_same_finding(changed: Lane) -> None:
    changed.finds(CONTEXT, PICTURES)
    assert changed.rung(400) == {PICTURES}
    changed.over(CONTEXT)
    changed.rung(20)
    changed.finds(CONTEXT)
    assert changed.rung(40) == set()


def test_a_chart_of_the_unread_waits_like_the_others_and_the_fixed_limit_does_not(
    lane: Lane,
) -> None:
    lane.finds(NO_READ, **CHARTED)
    assert lane.annunciated() == set()
    lane.finds(NO_READ)
    assert lane.annunciated() == {SEEN}


# --- answers without the suture ------------------------------------------------------------------


def test_answers_that_differ_without_the_suture_are_read_off_something_else(lane: Lane) -> None:
    lane.scattered = True
    lane.finds(BLIND, value=0.15, limit=0.2, window=10)
    attributed = lane.settle()
    assert attributed[BLIND].suppressed_by == Situation.READ_ELSEWHERE
    context = attributed[CONTEXT]
    assert (context.beyond, context.suppressed_by) == (True, "")
    assert (context.value, context.limit) == pytest.approx((0.85, 0.8))
    assert said(context) == "85 % of the answer stays when the suture is hidden"
    assert context.window == 10


def test_answers_that_are_all_alike_need_no_picture(lane: Lane) -> None:
    lane.finds(BLIND, value=0.0, limit=0.2)
    assert lane.annunciated() == {BLIND}


def test_answers_that_are_sometimes_alike_ring_once(lane: Lane) -> None:
    lane.finds(BLIND, value=0.1, limit=0.2)
    assert lane.rung(7) == {BLIND}
    for scattered in (True, False) * 50:
        lane.scattered = scattered
        assert lane.rung(1) == set()


def test_a_smaller_effect_of_the_suture_alone_says_nothing_of_what_else_decides(
    lane: Lane,
) -> None:
    lane.scattered = True
    lane.finds(BLIND, **CHARTED)
    assert lane.annunciated() == {BLIND}


def test_a_context_that_is_found_by_itself_keeps_its_own_numbers(lane: Lane) -> None:
    lane.scattered = True
    lane.finds(CONTEXT, value=0.7, limit=0.6)
    lane.finds(BLIND, value=0.1, limit=0.2)
    attributed = lane.settle()
    assert (attributed[CONTEXT].value, attributed[CONTEXT].limit) == (0.7, 0.6)
    assert attributed[BLIND].suppressed_by


def test_a_context_that_nobody_can_judge_rings_for_nothing(lane: Lane) -> None:
    lane.scattered = True
    lane.unknown(CONTEXT)
    lane.finds(BLIND, value=0.1, limit=0.2)
    assert lane.annunciated() == {BLIND}


def test_what_is_attributed_to_an_announcing_alarm_stays_there(lane: Lane) -> None:
    lane.scattered = True
    lane.finds(SEEN, **CHARTED)
    lane.finds(BLIND, value=0.1, limit=0.2)
    assert lane.rung(2000) == {CONTEXT}


def test_other_pictures_explain_that_too(changed: Lane) -> None:
    changed.scattered = True
    changed.finds(BLIND, value=0.1, limit=0.2)
    assert changed.annunciated() == {PICTURES}


# --- alarms that are shelved or out of service ---------------------------------------------------


@pytest.mark.parametrize(
    ("unavailable_alarm", "pictures", "finding"),
    [
        (PICTURES, CHANGED, CONTEXT),
        (PICTURES, CHANGED, NO_READ),
        (SEEN, USUAL, NO_READ),
        (SEEN, OTHER, PICTURES),
        (CONTEXT, USUAL, BLIND),
    ],
)
def test_nothing_is_attributed_to_an_alarm_that_is_out_of_service(
    unavailable_alarm: Cause, pictures: PictureCheck, finding: Cause
) -> None:
    lane = Lane(out_of_service=(unavailable_alarm.value,))
    lane.scattered = True
    lane.pictures = replace(pictures, cups=20)
    lane.step()
    lane.pictures = pictures
    lane.finds(finding, *((NO_READ,) if pictures is OTHER else ()), value=0.1, limit=0.2)
    assert finding in lane.rung(10)


def test_nor_is_what_the_network_sees_less_of_hidden_behind_one(lane: Lane) -> None:
    unavailable_alarm = Lane(out_of_service=(DRIFT.value, PICTURES.value))
    unavailable_alarm.finds(SEEN, DRIFT, **CHARTED)
    assert unavailable_alarm.rung(70) == {SEEN}
    unavailable_alarm.finds(PICTURES, **CHARTED)
    assert SEEN in unavailable_alarm.ringing()
    unavailable_alarm.rung(10)
    assert SEEN in unavailable_alarm.ringing()


@pytest.mark.parametrize("scattered", [True, False])
def test_a_finding_that_is_out_of_service_rings_under_no_other_name(scattered: bool) -> None:
    lane = Lane(out_of_service=(NO_READ.value, BLIND.value))
    lane.scattered = scattered
    lane.finds(NO_READ, BLIND, value=0.1, limit=0.2)
    assert lane.rung(70) == set()


def test_shelving_the_announcing_alarm_raises_what_it_announced(changed: Lane) -> None:
    changed.finds(CONTEXT, PICTURES)
    assert changed.rung(10) == {PICTURES}
    changed.manager.shelve(f"{PICTURES}-cam1", 3600.0, "", changed.now, utc_ms(changed.now))
    assert changed.rung(3) == {CONTEXT}


# --- words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "detail", "cause", "words"),
    [
        (Fact.UNREAD, {"share": 0.9}, SEEN, "90 % of the fruit get no angle although"),
        (Fact.OTHER_FRUIT, COLOUR.values, SEEN, "compare lot and variety"),
        (Fact.READ_ELSEWHERE, {"share": 0.85}, CONTEXT, "85 % of the answer stays"),
    ],
)
def test_what_was_found_has_a_sentence_of_its_own(
    fact: Fact, detail: dict[str, str | float], cause: Cause, words: str
) -> None:
    found = condition(True, cause, window=280, detail=Detail(fact, detail))
    lane = Lane()
    lane.manager.update(found, 2000.0, utc_ms(2000.0))
    (message,) = (one.message for one in lane.manager.current() if one.alarm_id == found.alarm_id)
    assert words in message
    assert fact in ENGLISH.findings


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
        ([i * 37.0 % 180.0 for i in range(100)] + [None] * 81, False),
    ],
)
def test_answers_differ_where_doubled_angles_do(
    angles: list[float | None], scattered: bool
) -> None:
    newest = NewestAngles()
    for angle in angles:
        newest.add(angle)
    assert newest.scattered is scattered
