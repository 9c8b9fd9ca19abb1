from __future__ import annotations

import pytest

from agent import config
from agent.records import Rung, SamplingClass
from agent.sampling.ladder import Plan
from agent.sampling.scheduler import Scheduler
from agent.sampling.values import Skipped, SkipReason
from tests.sampling.candidates import EMPTY, UNSURE, candidate


def scheduler(workers: int = 1, **settings: float) -> Scheduler:
    return Scheduler(config.Sampling(**settings), workers=workers)  # type: ignore[arg-type]


def test_the_first_ordinary_frame_is_the_first_periodic_explanation() -> None:
    s = scheduler()
    assert s.offer(candidate(frame_id="a"), 0.1) == []
    (selection,) = s.decide(0.2, free_slots=1).selected
    assert selection.frame.frame_id == "a"
    assert selection.sampling_class is SamplingClass.PERIODIC
    assert selection.rung is Rung.EXACT


def test_an_ordinary_frame_before_the_period_is_over_is_skipped_as_not_due() -> None:
    s = scheduler(period_s=2.0)
    s.offer(candidate(frame_id="a"), 0.0)
    s.decide(0.0, 1)
    assert s.offer(candidate(frame_id="b", captured_mono=1.9), 1.9) == [
        Skipped("cam1", "b", SkipReason.NOT_DUE)
    ]
    assert s.offer(candidate(frame_id="c", captured_mono=2.0), 2.0) == []


def test_the_newest_frame_takes_the_slot_and_the_older_one_is_counted() -> None:
    s = scheduler()
    s.offer(candidate(frame_id="a"), 0.0)
    assert s.offer(candidate(frame_id="b", captured_mono=0.2), 0.2) == [
        Skipped("cam1", "a", SkipReason.REPLACED, SamplingClass.PERIODIC)
    ]
    assert [j.frame.frame_id for j in s.decide(0.3, 1).selected] == ["b"]


def test_a_frame_that_waited_too_long_expires() -> None:
    s = scheduler(max_age_s=3.0)
    s.offer(candidate(frame_id="a"), 0.0)
    decision = s.decide(3.1, free_slots=1)
    assert decision.selected == ()
    assert decision.skipped == (Skipped("cam1", "a", SkipReason.EXPIRED, SamplingClass.PERIODIC),)


def test_a_frame_that_comes_too_late_never_takes_a_slot() -> None:
    s = scheduler(max_age_s=3.0)
    (skipped,) = s.offer(candidate(frame_id="a", captured_mono=0.0), 3.5)
    assert skipped.reason is SkipReason.EXPIRED


def test_an_empty_cup_is_not_explained_even_on_request() -> None:
    s = scheduler()
    s.offer(candidate(frame_id="a"), 0.0)
    assert s.request("cam1", 0.0)
    (skipped,) = s.offer(candidate(frame_id="b", **EMPTY), 0.1)
    assert skipped.reason is SkipReason.EMPTY
    s.offer(candidate(frame_id="c", captured_mono=0.2), 0.2)
    (selection,) = s.decide(0.2, 1).selected
    assert selection.sampling_class is SamplingClass.OPERATOR


def test_classes_go_by_priority() -> None:
    s = scheduler(workers=4)
    for camera in "abcd":
        s.offer(candidate(camera, f"{camera}0"), 0.0)
    s.decide(0.0, 4)
    s.request("b", 10.0)
    s.raise_attention("a", until=20.0, now=10.0)
    s.offer(candidate("d", "periodic", 10.0), 10.0)
    s.offer(candidate("c", "uncertain", 10.0, **UNSURE), 10.0)
    s.offer(candidate("b", "operator", 10.0), 10.0)
    s.offer(candidate("a", "alarm", 10.0), 10.0)
    assert [j.frame.frame_id for j in s.decide(10.0, 4).selected] == [
        "alarm",
        "operator",
        "uncertain",
        "periodic",
    ]


def test_within_a_class_the_lane_explained_longest_ago_goes_first() -> None:
    s = scheduler(workers=3)
    for camera, at in (("a", 2.0), ("b", 0.0), ("c", 1.0)):
        s.offer(candidate(camera, captured_mono=at), at)
        s.decide(at, 1)
    for camera in "abc":
        s.offer(candidate(camera, captured_mono=5.0), 5.0)
    assert [j.frame.lane for j in s.decide(5.0, 3).selected] == ["b", "c", "a"]


def test_the_cooldown_holds_back_all_but_alarms_and_operators() -> None:
    s = scheduler(cooldown_s=5.0, max_age_s=60.0, workers=4)
    s.offer(candidate(frame_id="a"), 0.0)
    s.decide(0.0, 1)
    s.offer(candidate(frame_id="b", captured_mono=1.0, **UNSURE), 1.0)
    assert s.decide(1.0, 1).selected == ()
    s.request("cam1", 2.0)
    s.offer(candidate(frame_id="c", captured_mono=2.0), 2.0)
    assert [j.frame.frame_id for j in s.decide(2.0, 1).selected] == ["c"]
    s.raise_attention("cam1", until=9.0, now=3.0)
    s.offer(candidate(frame_id="d", captured_mono=3.0), 3.0)
    assert [j.frame.frame_id for j in s.decide(3.0, 1).selected] == ["d"]
    assert s.decide(7.9, 1).selected == ()
    assert [j.frame.frame_id for j in s.decide(8.0, 1).selected] == ["b"]


def test_a_request_is_served_once() -> None:
    s = scheduler(workers=4)
    s.offer(candidate(frame_id="a"), 0.0)
    s.decide(0.0, 1)
    s.request("cam1", 0.1)
    s.offer(candidate(frame_id="b", captured_mono=0.2), 0.2)
    (selection,) = s.decide(0.2, 1).selected
    assert selection.sampling_class is SamplingClass.OPERATOR
    (skipped,) = s.offer(candidate(frame_id="c", captured_mono=0.3), 0.3)
    assert skipped.reason is SkipReason.NOT_DUE


def test_a_request_that_no_frame_answers_is_given_up_and_named_once() -> None:
    s = scheduler(deadline_s=10.0)
    s.offer(candidate(**EMPTY), 0.0)
    s.request("cam1", 0.0)
    assert s.decide(9.9, 1).unanswered == ()
    assert s.decide(10.1, 1).unanswered == ("cam1",)
    assert s.decide(10.2, 1).unanswered == ()
    s.offer(candidate(frame_id="late", captured_mono=10.3), 10.3)
    (selection,) = s.decide(10.3, 1).selected
    assert selection.sampling_class is SamplingClass.PERIODIC


def test_an_unknown_camera_can_be_neither_requested_nor_followed() -> None:
    s = scheduler()
    assert not s.request("nobody", 0.0)
    assert not s.raise_attention("nobody", 10.0, 0.0)


def test_attention_ends_at_its_time_and_a_shorter_one_does_not_cut_it() -> None:
    s = scheduler(workers=9)
    s.offer(candidate(), 0.0)
    s.raise_attention("cam1", until=5.0, now=0.0)
    s.raise_attention("cam1", until=3.0, now=0.0)
    s.decide(0.0, 1)
    s.offer(candidate(frame_id="b", captured_mono=4.9), 4.9)
    assert s.decide(4.9, 1).selected[0].sampling_class is SamplingClass.ALARM
    s.offer(candidate(frame_id="c", captured_mono=5.1), 5.1)
    assert s.decide(9.0, 1).selected == ()


def test_the_rung_follows_from_the_time_left_to_the_deadline() -> None:
    s = scheduler(deadline_s=10.0, max_age_s=9.9, duty_cycle=1.0, cooldown_s=0.0, period_s=0.1)
    s.offer(candidate(frame_id="a"), 0.0)
    s.finished(s.decide(0.0, 1).selected[0].job_id, 4.0, 4.0)  # EXACT takes 4 s
    rungs = []
    for number, waited in enumerate((4.0, 4.1, 7.1, 8.6)):
        at = 100.0 * (number + 1)
        s.offer(candidate(frame_id=f"b{number}", captured_mono=at), at)
        decision = s.decide(at + waited, 1)
        rungs.append(decision.selected[0].rung if decision.selected else decision.skipped[0].reason)
        for job in decision.selected:
            assert job.deadline_s == pytest.approx(10.0 - waited)
            s.failed(job.job_id, 0.0, at + waited, "rejected")
        # keep the estimate from fading between the turns
        s._costs.measured(Plan(Rung.EXACT, 4.0), 4.0, at + 99.0)
    assert rungs == [Rung.EXACT, Rung.PARTIAL, Rung.COARSE, SkipReason.DEADLINE]


def test_a_queue_of_rivals_lowers_the_rung_before_anything_is_dropped() -> None:
    s = scheduler(deadline_s=10.0, duty_cycle=1.0, cooldown_s=0.0, period_s=0.1)
    s.offer(candidate("a"), 0.0)
    s.finished(s.decide(0.0, 1).selected[0].job_id, 2.0, 2.0)  # EXACT takes 2 s
    for camera in "abcd":
        s.offer(candidate(camera, f"{camera}1", 20.0), 20.0)
    (first,) = s.decide(20.0, free_slots=1).selected
    assert first.rung is Rung.PARTIAL  # four of them in 10 s: 2.5 s each, 1.5 times headroom
    s2 = scheduler(workers=4, deadline_s=10.0, duty_cycle=1.0)
    for camera in "abcd":
        s2.offer(candidate(camera, f"{camera}1", 20.0), 20.0)
    assert {j.rung for j in s2.decide(20.0, free_slots=4).selected} == {Rung.EXACT}


def test_the_budget_holds_ordinary_frames_back_until_it_has_refilled() -> None:
    s = scheduler(
        duty_cycle=0.5, budget_window_s=2.0, cooldown_s=0.0, period_s=2.0, max_age_s=60, borrow_s=5
    )
    s.offer(candidate(frame_id="a"), 0.0)
    (job,) = s.decide(0.0, 1).selected
    s.finished(job.job_id, 3.0, 3.0)  # booked at 1, and the bucket was full again by then
    assert s.decide(3.0, 0).selected == ()
    assert s.books().budget_s == pytest.approx(1.0 - 2.0)
    s.offer(candidate(frame_id="b", captured_mono=3.0), 3.0)
    assert s.decide(6.9, 1).selected == ()  # 0.95: a cost above the capacity needs a full bucket
    assert [j.frame.frame_id for j in s.decide(7.0, 1).selected] == ["b"]


def test_an_alarm_borrows_only_up_to_the_stated_debt() -> None:
    s = scheduler(duty_cycle=0.1, budget_window_s=10.0, borrow_s=5.0, period_s=1000.0)
    s.offer(candidate(frame_id="first"), 0.0)
    s.finished(s.decide(0.0, 1).selected[0].job_id, 1.0, 1.0)
    s.raise_attention("cam1", 1e9, 1.0)
    done = 0
    for i in range(20):
        at = 1.0 + i * 0.01
        s.offer(candidate(frame_id=f"a{i}", captured_mono=at), at)
        for job in s.decide(at, 1).selected:
            s.finished(job.job_id, 1.0, at)
            done += 1
    assert done == 5
    assert s.books().budget_s >= -5.0


def test_a_job_that_the_pool_did_not_take_gives_its_booking_back() -> None:
    s = scheduler()
    s.offer(candidate(), 0.0)
    before = s.books().budget_s
    (job,) = s.decide(0.0, 1).selected
    assert s.books().budget_s == pytest.approx(before - 1.0)
    assert s.failed(job.job_id, 0.0, 0.0, "rejected")
    assert s.books().budget_s == pytest.approx(before)
    assert not s.failed(job.job_id, 0.0, 0.0)
    assert not s.finished("never heard of", 1.0, 0.0)


def test_flush_lets_everything_go_and_closes_the_books() -> None:
    s = scheduler()
    s.offer(candidate("a", "a"), 0.0)
    s.offer(candidate("b", "b", **UNSURE), 0.0)
    assert {(x.frame_id, x.reason) for x in s.flush()} == {
        ("a", SkipReason.SHUTDOWN),
        ("b", SkipReason.SHUTDOWN),
    }
    books = s.books()
    assert books.waiting == 0
    assert books.offered == books.selected + sum(books.skipped.values())
