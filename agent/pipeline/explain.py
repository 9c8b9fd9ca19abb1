"""The explaining path: candidates to the scheduler, selections to the pool, results onwards."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable

from agent import config
from agent.ablation.pool.pool import AblationPool
from agent.records import Explanation, Frame, JobFailure, SegmentedFrame, Selection
from agent.sampling.scheduler import Scheduler
from agent.sampling.values import Candidate, Skipped
from agent.supervision.errands import Errands
from agent.supervision.waker import Waker
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

WAIT_S = 0.1
"""Longest sleep of the loop; a new candidate or a result wakes it earlier."""

SHUTDOWN = "shutdown"
"""The reason by which the pool ends what is under way when it is stopped."""

Result = Explanation | JobFailure


class ExplainLoop:
    """Joins the pure scheduler with the pool. ``offer`` is called from the live path: never waits.

    The books, per lane: selected = completed + dropped + in flight, where in flight is what
    ``_open`` holds. A selection that the pool does not take is given back to the scheduler and
    counted as dropped in stage ``pool``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        pool: AblationPool,
        on_result: Callable[[Result, Selection], None],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._scheduler = scheduler
        self._pool = pool
        self._on_result = on_result
        self._telemetry = telemetry
        self._clock = clock
        self._lock = threading.Lock()  # guards the scheduler, whose calls take microseconds
        self._waker = Waker()
        self.errands = Errands(self._waker.wake)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="explain", daemon=True)
        self._open: dict[str, tuple[Selection, float]] = {}  # by job id, with when submitted

    def start(self) -> None:
        self._thread.start()

    def offer(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        """Hand a segmented frame to the scheduler."""
        with self._lock:
            skipped = self._scheduler.offer(Candidate(frame, segmentation), self._clock())
        self._count_skipped(skipped)
        self._waker.wake()

    def request(self, lane: str) -> bool:
        """An operator asks for the next frame of ``lane``; False for an unknown one."""
        with self._lock:
            return self._scheduler.request(lane, self._clock())

    def set_period(self, period_s: float) -> None:
        """Change the period of the explanations until the next start."""
        with self._lock:
            self._scheduler.set_period(period_s)

    def raise_attention(self, lane: str, for_s: float) -> bool:
        """Follow ``lane`` up for ``for_s`` seconds; False for an unknown one."""
        with self._lock:
            now = self._clock()
            return self._scheduler.raise_attention(lane, now + for_s, now)

    def configure(self, settings: config.Sampling, *, new_period: bool) -> None:
        """Choose by other settings from now on; without ``new_period`` one that was set stays."""
        workers = self._pool.status().workers
        with self._lock:
            self._scheduler.configure(settings, workers, self._clock(), new_period=new_period)

    def exchange(self, pool: AblationPool, settings: config.Sampling, timeout_s: float) -> None:
        """Let other workers explain; an errand. Jobs under way end by reason ``shutdown``."""
        before = self._pool
        before.stop(timeout_s)
        self._collect()
        for selection, _ in list(self._open.values()):  # of a pool that has not ended in time
            self._end(_failed(selection, SHUTDOWN, "the workers were replaced"), busy_s=0.0)
        self._pool = pool
        self.configure(settings, new_period=False)

    def forget(self, lane: str) -> None:
        """Let go what waits of a lane that is gone; what is being explained ends as it does."""
        with self._lock:
            skipped = self._scheduler.forget(lane)
        self._count_skipped(skipped)

    def open_lanes(self) -> frozenset[str]:
        """Return the lanes of which something is being explained."""
        return frozenset(selection.frame.lane for selection, _ in list(self._open.values()))

    def stop(self, timeout_s: float) -> None:
        """End the loop and the pool; jobs in the workers end as failures by reason ``shutdown``."""
        self._stopping.set()
        self._waker.wake()
        if self._thread.is_alive():  # it may never have been started
            self._thread.join(timeout_s)
        self._pool.stop(timeout_s)
        self._collect()
        with self._lock:
            skipped = self._scheduler.flush()
        self._count_skipped(skipped)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._telemetry.beat("explain")
            self.errands.run()
            self._waker.wait(WAIT_S, self._pool.fileno())
            self._collect()
            self._dispatch()

    def _dispatch(self) -> None:
        now = self._clock()
        free = self._pool.free_slots()
        with self._lock:
            decision = self._scheduler.decide(now, free)
        self._count_skipped(decision.skipped)
        for lane in decision.unanswered:
            self._telemetry.count("explain_requests_unanswered", camera=lane)
            log_event(logger, logging.WARNING, "explain_request_unanswered", camera=lane)
        for selection in decision.selected:
            self._submit(selection)
        self._report_in_flight(selection.frame.lane for selection in decision.selected)

    def _submit(self, selection: Selection) -> None:
        lane = selection.frame.lane
        self._telemetry.count(
            "jobs_selected", camera=lane, **{"class": selection.sampling_class.value}
        )
        self._telemetry.observe(
            "queue_wait_seconds",
            max(0.0, self._clock() - selection.frame.captured_mono),
            stage="explanation",
        )
        self._open[selection.job_id] = (selection, self._clock())
        if not self._pool.submit(selection):
            self._end(_refused(selection), busy_s=0.0)

    def _collect(self) -> None:
        for result in self._pool.results():
            busy = result.seconds if isinstance(result, Explanation) else self._busy_s(result)
            self._end(result, busy)

    def _busy_s(self, failure: JobFailure) -> float:
        opened = self._open.get(failure.job_id)
        return max(0.0, self._clock() - opened[1]) if opened else 0.0

    def _end(self, result: Result, busy_s: float) -> None:
        opened = self._open.pop(result.job_id, None)
        if opened is None:
            # A job must end once: a second answer would unbalance the books, so it is only told.
            log_event(logger, logging.ERROR, "job_ended_twice", job=result.job_id)
            return
        now = self._clock()
        with self._lock:
            if isinstance(result, Explanation):
                self._scheduler.finished(result.job_id, busy_s, now)
            else:
                self._scheduler.failed(result.job_id, busy_s, now, result.reason)
        if isinstance(result, Explanation):
            self._count_explanation(result, now)
        else:
            self._telemetry.count(
                "jobs_dropped", camera=result.lane, stage="pool", reason=result.reason
            )
            if result.reason == SHUTDOWN:  # nothing has failed
                ends = self._stopping.is_set()
                why = "the agent stops" if ends else "the workers are replaced"
                log_event(logger, logging.INFO, "job_cancelled", job=result.job_id, reason=why)
            else:
                log_event(
                    logger,
                    logging.WARNING,
                    "job_failed",
                    job=result.job_id,
                    reason=result.reason,
                    detail=result.detail,
                )
        self._report_in_flight([result.lane])
        self._on_result(result, opened[0])

    def _count_explanation(self, explanation: Explanation, now: float) -> None:
        lane = explanation.lane
        count, observe, gauge = (
            self._telemetry.count,
            self._telemetry.observe,
            self._telemetry.gauge,
        )
        count("jobs_completed", camera=lane, rung=explanation.rung.value)
        for method, seconds in explanation.seconds_by_method.items():
            observe("ablation_seconds", seconds, method=method, exemplar=explanation.frame_id)
        observe(
            "explanation_wait_seconds",
            max(0.0, now - explanation.captured_mono),
            exemplar=explanation.frame_id,
            camera=lane,
        )
        gauge(
            "last_explanation_timestamp_seconds",
            explanation.captured_utc_ms / 1000.0,
            camera=lane,
        )
        for one in explanation.classes:
            if not one.explainable:
                continue
            labels = {"camera": lane, "class": one.class_name}
            for place, foreground, background, reliance in (
                (
                    "layer",
                    one.sensitivity_foreground,
                    one.sensitivity_background,
                    one.context_reliance,
                ),
                (
                    "input",
                    one.input_sensitivity_foreground,
                    one.input_sensitivity_background,
                    one.input_context_reliance,
                ),
            ):
                gauge("context_reliance_ratio", reliance, place=place, **labels)
                gauge("sensitivity_ratio", foreground, region="foreground", place=place, **labels)
                gauge("sensitivity_ratio", background, region="background", place=place, **labels)

    def _report_in_flight(self, lanes: Iterable[str]) -> None:
        open_by_lane = Counter(selection.frame.lane for selection, _ in self._open.values())
        for lane in set(lanes):
            self._telemetry.gauge("jobs_in_flight", open_by_lane[lane], camera=lane)

    def _count_skipped(self, skipped: Iterable[Skipped]) -> None:
        for one in skipped:
            self._telemetry.count("candidates_skipped", camera=one.lane, reason=one.reason.value)


def _refused(selection: Selection) -> JobFailure:
    return _failed(selection, "refused", "no worker was free")


def _failed(selection: Selection, reason: str, detail: str) -> JobFailure:
    return JobFailure(
        job_id=selection.job_id,
        lane=selection.frame.lane,
        frame_id=selection.frame.frame_id,
        sampling_class=selection.sampling_class,
        reason=reason,
        detail=detail,
    )
