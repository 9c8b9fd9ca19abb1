"""Drives the trial of a staged model, phase by phase: load, audit, shadow.

One thread calls ``step``; the live path calls ``offer``, which costs it a comparison while nothing
is wanted and never more than a counter and a reference.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.ablation.pool.shared_image import SharedImageError
from agent.pipeline.model_swap.messages import Audited, Loaded, Refused, Seen, Taken, TrialArgs
from agent.pipeline.model_swap.pace import ShadowPace
from agent.pipeline.model_swap.state import AuditLine, Phase, Staged, afresh, moved
from agent.records import Frame, NoReadReason, SegmentedFrame
from agent.supervision.child import ChildBusy, ChildGone
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

AUDIT_EVERY = 7
"""One fruit in so many is audited, so that they are no neighbours."""
LOST_MAX = 3
RETRY_S = 5.0
GAP_S = 5.0
LIVE_MAX = 1000
LOAD_S, AUDIT_S, LOOK_S = 300.0, 3600.0, 300.0
"""What each may take, at a priority that gets what others leave."""
UNSEEN = frozenset({NoReadReason.EMPTY, NoReadReason.IMAGE_QUALITY})
"""Pictures that say nothing of a model."""


class Trying(Protocol):
    """What ``TrialProcess`` is to the shadow."""

    def audit(self, frame: Frame) -> None: ...
    def look(self, frame: Frame, seen: SegmentedFrame, explain: bool) -> None: ...
    def receive(self) -> list[object]: ...
    def rss_bytes(self) -> int: ...
    def end(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """``check``: why what was loaded is of another kind than the live model, in words; empty where
    it is not."""

    every: int
    share: float
    time_s: float
    pictures_min: int
    explain_every: int
    memory_bytes: int
    check: Callable[[Loaded, Staged], str]
    launch: Callable[[TrialArgs], Trying]
    args: Callable[[Staged], TrialArgs]


class Shadow:
    """The trial of one staged model. ``staged`` is replaced with every step that changes it."""

    def __init__(
        self, staged: Staged, live_sha256: str, settings: ShadowSettings, telemetry: Telemetry,
        clock: Clock,
    ) -> None:  # fmt: skip
        self.staged = staged
        self._live_sha256 = live_sha256
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._pace = ShadowPace(settings.every, settings.share)
        self._process: Trying | None = None
        self._args: TrialArgs | None = None
        self._loaded = False
        self._wanted = ""  # which pictures are wanted now: none, "audit", or "shadow"
        self._slot: tuple[Frame, SegmentedFrame] | None = None
        self._live_explained: deque[tuple[float, float]] = deque(maxlen=LIVE_MAX)
        self._fruit = 0
        self._asked: tuple[float, float] | None = None  # since when, and for how long at most
        self._lost = 0
        self._retry_mono = float("-inf")
        self._stepped_mono = clock()

    @property
    def process(self) -> Trying | None:
        return self._process

    def offer(self, frame: Frame, seen: SegmentedFrame) -> bool:
        """A picture and what the live model made of it; whether it was taken."""
        wanted = self._wanted
        if not wanted or self._slot is not None or seen.reading.reason in UNSEEN:
            return False
        varieties = self.staged.varieties
        if varieties and frame.machine.variety not in (None, *varieties):
            return False
        if seen.model_sha256 != self._live_sha256:
            return False
        if wanted == "audit":
            self._fruit += 1
            if self._fruit % AUDIT_EVERY:
                return False
        elif not self._pace.wants(frame.lane, self._clock()):
            return False
        self._slot = (frame, seen)
        return True

    def explained(self, sensitivity: float, reliance: float) -> None:
        """One explanation of the live model, to compare with; from any thread."""
        self._live_explained.append((sensitivity, reliance))

    def step(self, now: float) -> None:
        """Start the process, hear it, hand it a picture: whatever is due."""
        passed_s, self._stepped_mono = now - self._stepped_mono, now
        if passed_s > GAP_S:  # a suspended machine: neither is the process late, nor was it tried
            self._excuse(passed_s)
            passed_s = 0.0
        try:
            self._follow()
            self._listen(now)
            self._feed(now)
        except (ChildGone, ChildBusy, OSError) as error:
            self._lose(str(error), now)
        if self.staged.phase is Phase.SHADOW:
            self._take_live()
            self._pass_time(max(0.0, passed_s))
        if self.staged.phase in (Phase.READY, Phase.REFUSED):
            self.end()

    def end(self) -> str:
        """End the process; the trial stays where it is."""
        self._wanted, self._slot, self._asked, self._loaded = "", None, None, False
        process, self._process = self._process, None
        return process.end() if process is not None else ""

    # --- the process -----------------------------------------------------------------------------

    def _follow(self) -> None:
        """End a process that was started with another configuration: it would compare a model of
        now with one of before."""
        if self._process is not None and self._settings.args(self.staged) != self._args:
            self.end()

    def _listen(self, now: float) -> None:
        if self._process is None:
            if now < self._retry_mono:
                return
            args = self._settings.args(self.staged)
            if self._args not in (None, args):
                self.staged = afresh(self.staged)
                known = {"reason": "the configuration changed"}
                log_event(logger, logging.INFO, "trial_begins_anew", **known)
            self._args = args
            self._process = self._settings.launch(args)
            self._asked = (now, LOAD_S)
        for message in self._process.receive():
            self._asked = None
            self._hear(message, now)
            if self.staged.phase is Phase.REFUSED:
                return
        if self._asked is not None and now - self._asked[0] > self._asked[1]:
            raise ChildGone(f"no answer in {self._asked[1]:g} s")
        if self._process.rss_bytes() > self._settings.memory_bytes:
            raise ChildGone(f"more than {self._settings.memory_bytes >> 20} MiB of memory")

    def _hear(self, message: object, now: float) -> None:
        if isinstance(message, Loaded):
            self._hear_loaded(message)
        elif isinstance(message, Refused):
            self._refuse(message.reason)
        elif isinstance(message, Taken):
            self._lost = 0
        elif isinstance(message, Audited):
            self._hear_audit(message)
        elif isinstance(message, Seen):
            self._hear_seen(message, now)
        self._want()

    def _hear_loaded(self, loaded: Loaded) -> None:
        self._loaded = True
        if self.staged.phase is not Phase.LOADING:
            return  # it goes on where it was before the process, or the agent, ended
        if wrong := self._settings.check(loaded, self.staged):
            self._refuse(wrong)
            return
        known = {"sha256": loaded.sha256, "name": loaded.name}
        chosen = self.staged.chosen.model_copy(update=known)
        self.staged = moved(self.staged, Phase.AUDIT, chosen=chosen)
        log_event(logger, logging.INFO, "model_loaded_beside", **known)

    def _hear_audit(self, found: Audited) -> None:
        self._lost = 0
        lines = tuple(
            AuditLine(name=f.name, value=f.value, limit=f.limit, passed=f.passed, text=f.text)
            for f in found.findings
        )
        costs = {"own_ms": found.own_ms, "live_ms": found.live_ms}
        self.staged = self.staged.model_copy(update={"audit": lines, **costs})
        failed = [line.text for line in lines if not line.passed]
        if failed:
            self._refuse("; ".join(failed))
            return
        self.staged = moved(self.staged, Phase.SHADOW)
        log_event(logger, logging.INFO, "model_in_shadow", sha256=self.staged.chosen.sha256[:12])

    def _hear_seen(self, seen: Seen, now: float) -> None:
        self._lost = 0
        self._pace.spent(seen.busy_s, now)
        tally = self.staged.tally
        compared = seen.compared
        self._telemetry.count("shadow_pictures", outcome="compared" if compared else "failed")
        self._telemetry.count("shadow_busy_seconds", seen.busy_s)
        if compared is None:
            log_event(logger, logging.WARNING, "shadow_failed", reason=seen.reason)
            tally = tally.plus_failed()
        else:
            tally = tally.plus(compared)
            for name, value in compared.dice.items():
                self._telemetry.gauge("shadow_dice_ratio", value, **{"class": name})
        self.staged = self.staged.model_copy(update={"tally": tally})

    def _want(self) -> None:
        """Ask for pictures while the process has nothing to do."""
        phases = {Phase.AUDIT: "audit", Phase.SHADOW: "shadow"}
        idle = self._loaded and self._asked is None
        self._wanted = phases.get(self.staged.phase, "") if idle else ""

    def _feed(self, now: float) -> None:
        slot, self._slot = self._slot, None
        if slot is None or self._process is None or not self._wanted:
            return
        frame, seen = slot
        try:
            if self._wanted == "audit":
                self._process.audit(frame)
                self._asked = (now, AUDIT_S)
            else:
                every = self._settings.explain_every
                explain = every > 0 and self.staged.tally.pictures % every == every - 1
                self._process.look(frame, seen, explain)
                self._asked = (now, LOOK_S)
        except SharedImageError as error:
            self._telemetry.count("shadow_pictures", outcome="failed")
            log_event(logger, logging.WARNING, "shadow_failed", reason=str(error))
        self._want()

    def _lose(self, why: str, now: float) -> None:
        """Another process is tried, a few times; what the shadow has seen is kept."""
        how = self.end()
        self._lost += 1
        self._retry_mono = now + RETRY_S
        words = f"{why} ({how})" if how else why
        log_event(logger, logging.WARNING, "trial_lost", reason=words, times=self._lost)
        if self._lost >= LOST_MAX:
            self._refuse(f"its process ended {LOST_MAX} times: {words}")

    # --- phases ----------------------------------------------------------------------------------

    def _refuse(self, why: str) -> None:
        self.staged = moved(self.staged, Phase.REFUSED, told=why[:1000])
        log_event(logger, logging.WARNING, "model_refused", file=self.staged.given, reason=why)

    def _take_live(self) -> None:
        if not self._live_explained:
            return
        tally = self.staged.tally
        while self._live_explained:
            tally = tally.plus_live(*self._live_explained.popleft())
        self.staged = self.staged.model_copy(update={"tally": tally})

    def _excuse(self, gap_s: float) -> None:
        if self._asked is not None:
            self._asked = (self._asked[0] + gap_s, self._asked[1])

    def _pass_time(self, seconds: float) -> None:
        staged = self.staged
        shadow_s = staged.shadow_s + seconds
        self.staged = staged = staged.model_copy(update={"shadow_s": shadow_s})
        enough = staged.tally.pictures >= self._settings.pictures_min
        if shadow_s >= self._settings.time_s and enough:
            self.staged = moved(staged, Phase.READY)
            log_event(logger, logging.INFO, "model_ready", sha256=staged.chosen.sha256[:12])
