"""The thread that tries what is staged. The kernel ends the trial's process with it, so it alone
starts and ends one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.pipeline.model_swap import report
from agent.pipeline.model_swap.book import Book
from agent.pipeline.model_swap.shadow import Shadow, ShadowSettings
from agent.pipeline.model_swap.state import OPEN, Phase, Staged
from agent.records import SUTURE, Explanation, Frame, SegmentedFrame
from agent.supervision.waker import Waker
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

STEP_S = 0.25
SAVE_S = 15.0
"""How much of the shadow a kill costs."""
PAUSE_S = 5.0


class Trials:
    """``reached`` is told each new phase. ``offer`` and ``on_explanation`` never wait."""

    def __init__(
        self,
        book: Book,
        settings: ShadowSettings,
        reached: Callable[[str], None],
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._book = book
        self._settings = settings
        self._reached = reached
        self._telemetry = telemetry
        self._clock = clock
        self._shadow: Shadow | None = None
        self._live_sha256 = ""
        self._save_mono = 0.0
        self._waker = Waker()
        self._stopping = threading.Event()
        # Not a loop that /livez watches: it writes to a disk, which may hang without harm.
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something else is staged, or live."""
        self._waker.wake()

    def stop(self, timeout_s: float) -> None:
        """End the process; what the shadow has seen is kept."""
        self._stopping.set()
        self._waker.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def offer(self, frame: Frame, seen: SegmentedFrame) -> None:
        """A picture and what the live model made of it."""
        shadow = self._shadow
        if shadow is not None and shadow.offer(frame, seen):
            self._waker.wake()

    def on_explanation(self, explanation: Explanation) -> None:
        """One of the workers': the live model's sensitivities while another is in the shadow."""
        shadow = self._shadow
        of_live = explanation.model_sha256 == self._live_sha256
        if shadow is None or shadow.staged.phase is not Phase.SHADOW or not of_live:
            return
        for one in explanation.classes:
            if one.class_name == SUTURE and one.explainable:
                shadow.explained(one.input_sensitivity_foreground, one.input_context_reliance)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(self._clock())
            except Exception:  # a defect of the trial must not end it for good, nor the agent
                logger.exception("model_failed")
                self._stopping.wait(PAUSE_S)
            self._waker.wait(STEP_S if self._shadow is not None else PAUSE_S)
        if self._shadow is not None:
            self._shadow.end()
        self._book.save()

    def step(self, now: float) -> None:
        """One turn: the trial of what is staged now."""
        shadow = self._of(self._book.staged)
        if shadow is None:
            return
        before = shadow.staged
        shadow.step(now)
        moved = before.phase is not shadow.staged.phase
        saves = moved or now >= self._save_mono
        if saves:
            self._save_mono = now + SAVE_S
            self._write_page(shadow)
        if not self._book.step(before, shadow.staged):
            return
        if saves:
            self._book.save()
        if moved:
            phase = shadow.staged.phase
            if phase is Phase.REFUSED:
                self._telemetry.count("model_changes", action="refused")
            self._reached(str(phase))

    def _of(self, staged: Staged | None) -> Shadow | None:
        """The trial of this model: that under way, or another one."""
        shadow, live = self._shadow, self._book.live.model.sha256
        wanted = staged is not None and staged.phase in OPEN
        stale = shadow is not None and (shadow.staged is not staged or live != self._live_sha256)
        if shadow is not None and (stale or not wanted):
            shadow.end()
            self._shadow = shadow = None
        if shadow is None and wanted and staged is not None:
            self._live_sha256 = live
            shadow = Shadow(staged, live, self._settings, self._telemetry, self._clock)
            self._shadow = shadow
        return shadow

    def _write_page(self, shadow: Shadow) -> None:
        staged, folder = shadow.staged, self._book.folder
        if folder is None or not staged.audit:
            return
        try:
            page = report.write(folder, staged, self._book.live.chosen, self._settings)
        except OSError as error:
            log_event(logger, logging.WARNING, "model_report_not_written", reason=str(error))
            return
        shadow.staged = staged.model_copy(update={"report": str(page)})
