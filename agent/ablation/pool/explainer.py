"""From an order to an explanation: the engine run within its time, and the pictures for people."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from agent import config
from agent.ablation.core.errors import AblationError, LateError
from agent.ablation.engine import Engine
from agent.ablation.overlay import card_ranges, colour_range, render_overlay
from agent.ablation.pool.messages import Order
from agent.ablation.result import EngineResult
from agent.ablation.run.batching import Progress
from agent.ablation.studies.studies import CROSS_CHECKS
from agent.records import Explanation, Overlay, Rung, SamplingClass
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

ENGINE_SHARE = 0.8
"""Of the time left to the deadline: the rest is for overlays and the way back."""
TRIAL_SHARE = 0.2
"""Of the time left, after which an exact explanation must look as if it would be done in time."""


class Explainer:
    """One engine and its settings; ``phase`` is told what the work is at.

    ``overlay_ranges`` are the line's own colour ranges, where it has been commissioned.
    """

    def __init__(
        self,
        engine: Engine,
        settings: config.Ablation,
        phase: Callable[[str], None],
        clock: Clock,
        overlay_ranges: Mapping[str, float] | None = None,
    ) -> None:
        self._overlay_ranges = overlay_ranges
        self._engine = engine
        self._settings = settings
        self._phase = phase
        self._clock = clock
        self._until_study = settings.study_every

    def answer(
        self, order: Order, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> Explanation:
        """Explain one picture, (H, W, 3) uint8 BGR with its (H, W) bool aperture, and draw it.

        ``LateError`` past the order's deadline; the engine's errors for everything else.
        """
        started = self._clock()
        found = self._explain(order, image, aperture)
        self._phase("overlay")
        drawing = self._clock()
        overlays = self._overlays(image, found)
        ended = self._clock()
        model = self._engine.model
        return Explanation(
            job_id=order.job_id,
            lane=order.lane,
            frame_id=order.frame_id,
            captured_utc_ms=order.captured_utc_ms,
            captured_mono=order.captured_mono,
            sampling_class=order.sampling_class,
            rung=found.rung,
            method=found.method,
            layer=found.layer,
            score=found.score,
            baseline=found.baseline,
            model_name=model.name,
            model_sha256=model.sha256,
            classes=found.classes,
            overlays=overlays,
            left_out=found.left_out,
            seconds=ended - started,
            seconds_by_method={**found.seconds_by_method, "overlay": ended - drawing},
            region_threshold=found.region_threshold,
            region_source=found.region_source,
        )

    def _explain(
        self, order: Order, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> EngineResult:
        """At the rung of the order, or partial where exact turns out to take too long.

        ``LateError`` when the deadline passes all the same: the pool need not kill for it.
        """
        started = self._clock()
        left_s = ENGINE_SHARE * (order.deadline_mono - started)

        def hopeful(done: int, total: int) -> None:
            self._phase(f"{done}/{total}")
            spent_s = self._clock() - started
            late = spent_s > TRIAL_SHARE * left_s and spent_s * total > left_s * done
            if late and done < total:
                raise LateError(f"{done} of {total} steps after {spent_s:.1f} s")

        def in_time(done: int, total: int) -> None:
            self._phase(f"{done}/{total}")
            if self._clock() > order.deadline_mono and done < total:
                raise LateError(f"{done} of {total} steps at the deadline")

        rung = order.rung
        if rung is Rung.EXACT:
            with contextlib.suppress(LateError):
                if self._is_due(order):
                    try:
                        return self._studied(order, image, aperture, hopeful)
                    except AblationError as error:
                        # This layer may have no room for a cross-check. What stands against the
                        # explanation itself is raised again below.
                        known = {"lane": order.lane, "error": str(error)}
                        log_event(logger, logging.WARNING, "cross_checks_refused", **known)
                return self._engine.explain(image, aperture, rung=rung, progress=hopeful)
            rung = Rung.PARTIAL
        return self._engine.explain(
            image, aperture, rung=rung, deadline_s=self._grant_s(order), progress=in_time
        )

    def _is_due(self, order: Order) -> bool:
        """Whether this explanation is the one in so many that gets the costly cross-checks. Nobody
        waits for a periodic one."""
        if self._settings.study_every == 0 or order.sampling_class is not SamplingClass.PERIODIC:
            return False
        self._until_study -= 1
        if self._until_study > 0:
            return False
        self._until_study = self._settings.study_every
        return True

    def _studied(
        self,
        order: Order,
        image: NDArray[np.uint8],
        aperture: NDArray[np.bool_] | None,
        progress: Progress,
    ) -> EngineResult:
        """Exact, with as many cross-checks as end before the deadline."""
        last_mono = order.deadline_mono - (1 - ENGINE_SHARE) * (order.deadline_mono - self._clock())

        def tick(study: str) -> None:
            self._phase(study)
            if self._clock() > last_mono:
                raise LateError(f"{study}: no time is left")

        return self._engine.explain(
            image,
            aperture,
            rung=Rung.EXACT,
            progress=progress,
            studies=CROSS_CHECKS,
            tick=tick,
        )

    def _grant_s(self, order: Order) -> float:
        left_s = ENGINE_SHARE * (order.deadline_mono - self._clock())
        elastic = order.rung is not Rung.EXACT and order.compute_s > 0
        return min(order.compute_s, left_s) if elastic else left_s

    def _overlays(self, image: NDArray[np.uint8], found: EngineResult) -> tuple[Overlay, ...]:
        model, settings = self._engine.model, self._settings
        reference = self._overlay_ranges or card_ranges(model.card, found)
        return tuple(
            render_overlay(
                image,
                one,
                colour_range(one, settings.overlay_range, reference),
                found.mask == model.classes.index(one.class_name),
                settings.overlay_quality,
            )
            for one in found.classes
        )
