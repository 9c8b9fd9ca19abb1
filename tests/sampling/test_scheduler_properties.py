"""What holds whatever happens: books, age, budget, cool-down, newest wins, no class is silenced."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent import config
from agent.records import SamplingClass, Selection
from agent.sampling.scheduler import Scheduler
from agent.sampling.values import Skipped, SkipReason
from tests.sampling.candidates import EMPTY, UNSURE, candidate

CAMERAS = ("a", "b", "c")
KINDS: tuple[dict[str, object], ...] = ({}, UNSURE, EMPTY)
URGENT = (SamplingClass.ALARM, SamplingClass.OPERATOR)
EPS = 1e-6


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(
        duty=st.floats(0.01, 1.0),
        window=st.floats(0.5, 30.0),
        borrow=st.floats(0.0, 20.0),
        cooldown=st.floats(0.0, 5.0),
        period=st.floats(0.1, 5.0),
        max_age=st.floats(0.1, 12.0),
        workers=st.integers(1, 4),
    )
    def start(
        self,
        duty: float,
        window: float,
        borrow: float,
        cooldown: float,
        period: float,
        max_age: float,
        workers: int,
    ) -> None:
        self.settings = config.Sampling(
            duty_cycle=duty,
            budget_window_s=window,
            borrow_s=borrow,
            cooldown_s=cooldown,
            period_s=period,
            max_age_s=max_age,
        )
        self.workers = workers
        self.scheduler = Scheduler(self.settings, workers=workers)
        self.rate = duty * workers
        self.now = 0.0
        self.offered: set[str] = set()
        self.ended: set[str] = set()
        self.running: dict[str, Selection] = {}
        self.largest_cost = 0.0
        # (time, worker-seconds booked and settled until then, overruns until then)
        self.marks: list[tuple[float, float, float]] = [(0.0, 0.0, 0.0)]
        self.last_selected = dict.fromkeys(CAMERAS, -1e9)
        self.last_of_class = dict.fromkeys(SamplingClass, 0.0)

    def end(self, frame_id: str) -> None:
        assert frame_id in self.offered
        assert frame_id not in self.ended, "an offer ended twice"
        self.ended.add(frame_id)

    def skip(self, skipped: list[Skipped] | tuple[Skipped, ...]) -> None:
        for one in skipped:
            self.end(one.frame_id)

    def spend(self, cost: float, overrun: float = 0.0) -> None:
        _, spent, overran = self.marks[-1]
        self.marks.append((self.now, spent + cost, overran + overrun))

    @rule(seconds=st.sampled_from((0.01, 0.214, 0.5, 2.0, 11.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(camera=st.sampled_from(CAMERAS), kind=st.sampled_from(KINDS), late=st.floats(0.0, 4.0))
    def a_frame_comes(self, camera: str, kind: dict[str, object], late: float) -> None:
        frame_id = f"f{len(self.offered)}"
        self.offered.add(frame_id)
        late = late if len(self.offered) % 5 == 0 else 0.01
        skipped = self.scheduler.offer(
            candidate(camera, frame_id, self.now - late, **kind), self.now
        )
        replaced = [one for one in skipped if one.reason is SkipReason.REPLACED]
        assert frame_id not in {one.frame_id for one in replaced}, "the newest one stays"
        assert all(one.lane == camera for one in replaced)
        self.skip(skipped)

    @rule(camera=st.sampled_from(CAMERAS))
    def an_operator_asks(self, camera: str) -> None:
        self.scheduler.request(camera, self.now)

    @rule(camera=st.sampled_from(CAMERAS), seconds=st.floats(0.1, 30.0))
    def an_alarm_is_raised(self, camera: str, seconds: float) -> None:
        self.scheduler.raise_attention(camera, self.now + seconds, self.now)

    @precondition(lambda self: len(self.running) < self.workers)
    @rule()
    def a_decision_is_taken(self) -> None:
        free = self.workers - len(self.running)
        decision = self.scheduler.decide(self.now, free)
        assert len(decision.selected) <= free
        for job in decision.selected:
            self.end(job.frame.frame_id)
            assert job.job_id not in self.running
            assert self.now - job.frame.captured_mono <= self.settings.max_age_s + EPS
            assert 0 <= job.compute_s <= job.deadline_s
            self.running[job.job_id] = job
            self.largest_cost = max(self.largest_cost, job.compute_s)
            self.spend(job.compute_s)
            self.check_cooldown(job)
        self.skip(decision.skipped)
        assert {s.reason for s in decision.skipped} <= {SkipReason.EXPIRED, SkipReason.DEADLINE}

    def check_cooldown(self, job: Selection) -> None:
        """A camera rests between two jobs, but for urgent classes and one that has starved.

        No class can have starved before so long after its own last job.
        """
        camera, sampling_class = job.frame.lane, job.sampling_class
        starved_after = max(5 * self.settings.period_s, 2 * self.settings.cooldown_s)
        starving = self.now - self.last_of_class[sampling_class] >= starved_after - EPS
        if sampling_class not in URGENT and not starving:
            assert self.now - self.last_selected[camera] >= self.settings.cooldown_s - EPS
        self.last_selected[camera] = self.last_of_class[sampling_class] = self.now

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 3), share=st.floats(0.0, 1.0), outcome=st.sampled_from("fxd"))
    def a_job_ends(self, which: int, share: float, outcome: str) -> None:
        job_id = sorted(self.running)[which % len(self.running)]
        job = self.running.pop(job_id)
        booked = job.compute_s
        busy = share * (job.deadline_s + 1.0)
        self.now = max(self.now, job.selected_mono + busy)
        self.spend(busy - booked, max(0.0, busy - booked))
        if outcome == "f":
            assert self.scheduler.finished(job_id, busy, self.now)
        else:
            reason = "deadline" if outcome == "d" else "crashed"
            assert self.scheduler.failed(job_id, busy, self.now, reason)
        assert not self.scheduler.finished(job_id, busy, self.now)

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        books = self.scheduler.books()
        assert books.offered == len(self.offered)
        assert books.offered == books.selected + sum(books.skipped.values()) + books.waiting
        assert books.selected == books.finished + books.failed + books.running
        assert books.running == len(self.running)
        assert len(self.offered) - len(self.ended) == books.waiting

    @invariant()
    def no_interval_costs_more_than_the_budget_and_its_debt(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        capacity = self.rate * self.settings.budget_window_s
        slack = max(self.settings.borrow_s, self.largest_cost - capacity)
        t1, spent1, over1 = self.marks[-1]
        for t0, spent0, over0 in self.marks:
            allowed = self.rate * (t1 - t0) + capacity + slack + (over1 - over0)
            assert spent1 - spent0 <= allowed + EPS

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        self.skip(self.scheduler.flush())
        assert self.ended == self.offered


SchedulerMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=50, deadline=None
)
TestSchedulerMachine = SchedulerMachine.TestCase


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(
    duty=st.floats(0.1, 1.0),
    cost=st.floats(0.05, 3.0),
    borrow=st.floats(0.0, 10.0),
    cooldown=st.floats(0.0, 2.0),
)
def test_no_class_is_silenced_by_a_flood_of_the_others(
    duty: float, cost: float, borrow: float, cooldown: float
) -> None:
    """Frames of all four classes all the time and one worker: each class has its turn."""
    period = 1.0
    s = Scheduler(
        config.Sampling(
            duty_cycle=duty, borrow_s=borrow, cooldown_s=cooldown, period_s=period, max_age_s=2.0
        )
    )
    for camera in ("alarm", "operator", "unsure", "plain"):
        s.offer(candidate(camera, camera), 0.0)
    s.raise_attention("alarm", 1e9, 0.0)
    last = dict.fromkeys(SamplingClass, 0.0)
    longest = dict.fromkeys(SamplingClass, 0.0)
    busy_until, running = 0.0, ""
    step = 0.1
    starved_after = max(5 * period, 2 * cooldown)
    # Then it may have to wait for the refill and the run of the one at work, of the three others
    # that starve as well, and of its own.
    bound = starved_after + 5 * (cost / duty + cost + 2 * step)
    ticks = int((2 * bound + 20) / step)
    for tick in range(ticks):
        now = tick * step
        for camera in ("alarm", "operator", "unsure", "plain"):
            kind = UNSURE if camera == "unsure" else {}
            if camera == "operator":
                s.request(camera, now)
            s.offer(candidate(camera, f"{camera}{tick}", now, **kind), now)
        if running and now >= busy_until:
            s.finished(running, cost, now)
            running = ""
        for job in s.decide(now, 0 if running else 1).selected:
            running, busy_until = job.job_id, now + cost
            longest[job.sampling_class] = max(
                longest[job.sampling_class], now - last[job.sampling_class]
            )
            last[job.sampling_class] = now
    for sampling_class in SamplingClass:
        silent = max(longest[sampling_class], ticks * step - last[sampling_class])
        assert silent <= bound, f"{sampling_class} was silent for {silent:.1f} s"
