"""Which frames are explained: four classes, newest-wins slots, a compute budget, a quality ladder.

Pure: no thread, no clock, no lock. Every call takes ``now`` (monotonic seconds, never going back)
and is made from one thread. See README.md beside this file for the rules in words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent import config
from agent.records import SamplingClass, Selection
from agent.sampling.budget import ComputeBudget
from agent.sampling.ladder import CostEstimates, Plan
from agent.sampling.uncertain import is_uncertain, nothing_to_explain
from agent.sampling.values import Books, Candidate, Decision, Skipped, SkipReason

PRIORITY = tuple(SamplingClass)
"""Highest first: alarm, operator, uncertain, periodic."""

_URGENT = frozenset({SamplingClass.ALARM, SamplingClass.OPERATOR})

# A class that has waited this many periods goes first once, so that a flood of a higher class slows
# the lower ones down but never silences them.
_STARVED_PERIODS = 5
_STARVED_COOLDOWNS = 2


@dataclass(slots=True)
class _LaneState:
    """What the scheduler remembers of one lane."""

    waiting: dict[SamplingClass, Candidate] = field(default_factory=dict)
    due_mono: float = -math.inf  # of the next periodic explanation
    selected_mono: float = -math.inf
    attention_until: float = -math.inf
    requested_mono: float | None = None


class Scheduler:
    """Chooses frames for explanation; one per agent, over all of its lanes.

    ``workers`` is the number of slots of the pool: the budget is ``duty_cycle`` of their time.
    """

    def __init__(self, settings: config.Sampling, *, workers: int = 1, now: float = 0.0) -> None:
        self._settings = settings
        rate = settings.duty_cycle * max(1, workers)
        self._budget = ComputeBudget(rate, rate * settings.budget_window_s, settings.borrow_s, now)
        self._costs = CostEstimates()
        self._lanes: dict[str, _LaneState] = {}
        self._running: dict[str, Plan] = {}
        self._owed_since: dict[SamplingClass, float] = {}
        self._starved_after_s = _starved_after_s(settings)
        self._now = now
        self._offered = 0
        self._finished = 0
        self._failed = 0
        self._selected = 0
        self._skipped: Counter[SkipReason] = Counter()

    # --- events ----------------------------------------------------------------------------------

    def offer(self, candidate: Candidate, now: float) -> list[Skipped]:
        """Put a segmented frame into its lane's slot.

        Returns the frames that this ends: the candidate itself when it is not wanted, or the older
        one whose place it takes.
        """
        self._offered += 1
        frame = candidate.frame
        state = self._lanes.setdefault(frame.lane, _LaneState())
        reason = nothing_to_explain(candidate.segmentation)
        if reason is None and now - frame.captured_mono > self._settings.max_age_s:
            reason = SkipReason.EXPIRED
        if reason is not None:
            return [self._skip(candidate, reason)]
        sampling_class = self._classify(candidate, state, now)
        if sampling_class is None:
            return [self._skip(candidate, SkipReason.NOT_DUE)]
        self._owed_since.setdefault(sampling_class, now)
        older = state.waiting.get(sampling_class)
        state.waiting[sampling_class] = candidate
        return [] if older is None else [self._skip(older, SkipReason.REPLACED, sampling_class)]

    def request(self, lane: str, now: float) -> bool:
        """An operator asks for the next explainable frame of ``lane``.

        The request stands until a frame is selected for it, at most ``deadline_s``. False when no
        frame of that lane was ever offered.
        """
        state = self._lanes.get(lane)
        if state is None:
            return False
        state.requested_mono = now
        return True

    def configure(
        self, settings: config.Sampling, workers: int, now: float, *, new_period: bool
    ) -> None:
        """Choose by other settings from now on; what waits and runs goes on.

        The budget is not filled up by it. Without ``new_period`` one that was set stays.
        """
        if not new_period:
            settings = settings.model_copy(update={"period_s": self._settings.period_s})
        rate, level = settings.duty_cycle * max(1, workers), self._budget.level(now)
        self._budget = ComputeBudget(rate, rate * settings.budget_window_s, settings.borrow_s, now)
        self._budget.spend(max(0.0, self._budget.capacity - level), now)
        self._settings = settings
        self._starved_after_s = _starved_after_s(settings)
        for state in self._lanes.values():  # a wish that was long must not hold back a shorter one
            state.due_mono = min(state.due_mono, now + settings.period_s)

    def forget(self, lane: str) -> list[Skipped]:
        """Let go what waits of a lane that is no more."""
        state = self._lanes.pop(lane, None)
        waiting = state.waiting.items() if state is not None else ()
        return [self._skip(one, SkipReason.SHUTDOWN, of) for of, one in waiting]

    def set_period(self, period_s: float) -> None:
        """Explain a frame of each lane every so many seconds from now on, as the budget allows."""
        self._settings = self._settings.model_copy(update={"period_s": period_s})

    def raise_attention(self, lane: str, until: float, now: float) -> bool:
        """Follow ``lane`` up until the time ``until``: its frames become the alarm class.

        False when no frame of that lane was ever offered. A shorter time never cuts a longer one.
        """
        state = self._lanes.get(lane)
        if state is None:
            return False
        state.attention_until = max(state.attention_until, until)
        return True

    def finished(self, job_id: str, busy_s: float, now: float) -> bool:
        """A job gave its explanation after ``busy_s`` worker-seconds; False for an unknown job."""
        job = self._running.pop(job_id, None)
        if job is None:
            return False
        self._finished += 1
        self._budget.spend(busy_s - job.compute_s, now)
        self._costs.measured(job, busy_s, now)
        return True

    def failed(self, job_id: str, busy_s: float, now: float, reason: str = "") -> bool:
        """A job ended without one; ``deadline`` teaches the ladder that the rung takes longer.

        A job that the pool did not take is told here with 0 seconds, which gives back its booking.
        """
        job = self._running.pop(job_id, None)
        if job is None:
            return False
        self._failed += 1
        self._budget.spend(busy_s - job.compute_s, now)
        if reason == "deadline":
            self._costs.overran(job.rung, busy_s, now)
        return True

    # --- decisions -------------------------------------------------------------------------------

    def decide(self, now: float, free_slots: int) -> Decision:
        """Let go what is too old, then choose at most ``free_slots`` jobs within the budget."""
        self._now = now
        skipped = self._expire(now)
        unanswered = self._give_up_requests(now)
        selected: list[Selection] = []
        while len(selected) < free_slots:
            turn = self._best(now)
            if turn is None:
                break
            sampling_class, lane = turn
            candidate = self._lanes[lane].waiting[sampling_class]
            plan = self._plan(sampling_class, candidate, free_slots - len(selected), now)
            if plan is None:
                del self._lanes[lane].waiting[sampling_class]
                skipped.append(self._skip(candidate, SkipReason.DEADLINE, sampling_class))
                continue
            borrow = sampling_class in _URGENT or self._starved(sampling_class, now)
            if not self._budget.covers(plan.compute_s, now, borrow=borrow):
                break  # nobody of a lower rank may nibble at what this one is waiting for
            selected.append(self._select(sampling_class, lane, plan, now))
        return Decision(tuple(selected), tuple(skipped), unanswered)

    def flush(self) -> list[Skipped]:
        """Let everything that waits go, at the end."""
        return [
            self._skip(lane.waiting.pop(sampling_class), SkipReason.SHUTDOWN, sampling_class)
            for lane in self._lanes.values()
            for sampling_class in tuple(lane.waiting)
        ]

    def books(self) -> Books:
        """What became of every offer so far."""
        return Books(
            offered=self._offered,
            selected=self._selected,
            waiting=sum(len(lane.waiting) for lane in self._lanes.values()),
            running=len(self._running),
            finished=self._finished,
            failed=self._failed,
            skipped=dict(self._skipped),
            budget_s=self._budget.level(self._now),
        )

    # --- rules -----------------------------------------------------------------------------------

    def _classify(
        self, candidate: Candidate, state: _LaneState, now: float
    ) -> SamplingClass | None:
        # A request is for one frame and is served first even where an alarm follows the same lane.
        if state.requested_mono is not None:
            return SamplingClass.OPERATOR
        if now < state.attention_until:
            return SamplingClass.ALARM
        if is_uncertain(candidate.segmentation, self._settings):
            return SamplingClass.UNCERTAIN
        return SamplingClass.PERIODIC if now >= state.due_mono else None

    def _expire(self, now: float) -> list[Skipped]:
        skipped = []
        for lane in self._lanes.values():
            for sampling_class, candidate in tuple(lane.waiting.items()):
                if now - candidate.frame.captured_mono > self._settings.max_age_s:
                    del lane.waiting[sampling_class]
                    skipped.append(self._skip(candidate, SkipReason.EXPIRED, sampling_class))
        return skipped

    def _give_up_requests(self, now: float) -> tuple[str, ...]:
        given_up = []
        for name, lane in self._lanes.items():
            asked = lane.requested_mono
            if asked is None or SamplingClass.OPERATOR in lane.waiting:
                continue
            if now - asked > self._settings.deadline_s:
                lane.requested_mono = None
                given_up.append(name)
        return tuple(given_up)

    def _starved(self, sampling_class: SamplingClass, now: float) -> bool:
        owed = self._owed_since.get(sampling_class)
        return owed is not None and now - owed >= self._starved_after_s

    def _eligible(self, now: float) -> Iterator[tuple[SamplingClass, str]]:
        for lane, state in self._lanes.items():
            cooled = now - state.selected_mono >= self._settings.cooldown_s
            for sampling_class in state.waiting:
                if cooled or sampling_class in _URGENT or self._starved(sampling_class, now):
                    yield sampling_class, lane

    def _rank(self, sampling_class: SamplingClass, now: float) -> tuple[float, int]:
        if self._starved(sampling_class, now):
            return self._owed_since[sampling_class], -1
        return math.inf, PRIORITY.index(sampling_class)

    def _best(self, now: float) -> tuple[SamplingClass, str] | None:
        """Starved classes first, then by rank; within one the lane explained longest ago."""
        return min(
            self._eligible(now),
            key=lambda turn: (
                self._rank(turn[0], now),
                self._lanes[turn[1]].selected_mono,
                turn[1],
            ),
            default=None,
        )

    def _rivals(self, sampling_class: SamplingClass, now: float) -> int:
        """How many may start now with this one's rank or a higher one, itself included."""
        rank = self._rank(sampling_class, now)
        return sum(self._rank(other, now) <= rank for other, _ in self._eligible(now))

    def _plan(
        self, sampling_class: SamplingClass, candidate: Candidate, slots: int, now: float
    ) -> Plan | None:
        """The best rung at which all that may start now would be done in this one's time."""
        left_s = self._left_s(candidate, now)
        turns = math.ceil(self._rivals(sampling_class, now) / slots)
        return self._costs.plan(left_s / turns, left_s, now)

    def _left_s(self, candidate: Candidate, now: float) -> float:
        # An explanation is due so long after the picture, however long that has waited for it.
        return candidate.frame.captured_mono + self._settings.deadline_s - now

    def _select(
        self, sampling_class: SamplingClass, lane: str, plan: Plan, now: float
    ) -> Selection:
        state = self._lanes[lane]
        candidate = state.waiting.pop(sampling_class)
        self._selected += 1
        state.selected_mono = now
        if sampling_class is SamplingClass.OPERATOR:
            state.requested_mono = None
        elif sampling_class is SamplingClass.PERIODIC:
            on_time = state.due_mono + self._settings.period_s
            # Keeping the phase makes the mean period the wish; a longer delay is not caught up.
            state.due_mono = on_time if on_time > now else now + self._settings.period_s
        if any(sampling_class in other.waiting for other in self._lanes.values()):
            self._owed_since[sampling_class] = now
        else:
            del self._owed_since[sampling_class]
        self._budget.spend(plan.compute_s, now)
        job_id = f"{candidate.frame.frame_id}.{self._selected}"
        self._running[job_id] = plan
        return Selection(
            job_id=job_id,
            frame=candidate.frame,
            segmentation=candidate.segmentation,
            sampling_class=sampling_class,
            rung=plan.rung,
            selected_mono=now,
            deadline_s=self._left_s(candidate, now),
            compute_s=plan.compute_s,
        )

    def _skip(
        self,
        candidate: Candidate,
        reason: SkipReason,
        sampling_class: SamplingClass | None = None,
    ) -> Skipped:
        self._skipped[reason] += 1
        frame = candidate.frame
        return Skipped(frame.lane, frame.frame_id, reason, sampling_class)


def _starved_after_s(settings: config.Sampling) -> float:
    return max(_STARVED_PERIODS * settings.period_s, _STARVED_COOLDOWNS * settings.cooldown_s)
