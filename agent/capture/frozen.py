"""Tells a frozen picture from a standing scene. Pure.

Two measures. Identical: every pixel the same, which no sensor gives twice, whatever it looks at.
Near-identical: the same but for what an encoder changes when it sends one picture again and again;
a standing scene in a strongly compressed stream looks like that too, so it counts only while
something must be moving before the camera.

A picture that shows nothing (dark, covered, saturated) is neither: a sensor clips it to the same
value everywhere, the camera works, and restarting it would not bring the lamp back.
"""

from __future__ import annotations

import enum

from agent.capture.fingerprint import Fingerprint
from agent.records import STANDING, CaptureMode, MachineState

LEAST_FRAMES = 3
NEAR_GREY_LEVELS = 0.5
"""Mean absolute difference of sampled pixels. Measured on 256x256 at 15 Hz through x264, MPEG-4 and
Motion JPEG of 0.8 to 2 Mbit/s: one picture again and again 0 to 0.16, a live sensor with noise of
0.7 grey levels at least 0.7. At 0.3 Mbit/s the encoder's own noise is 1.0: not told apart."""
NOTICE_MARGIN_S = 0.25
"""The verdict must stand when ``after_s`` is over, so it falls on the picture before that."""


class Verdict(enum.Enum):
    """What the newest pictures say; the two kinds of frozen are causes in the state table."""

    CHANGING = "changing"
    IDENTICAL = "identical"
    NEAR_IDENTICAL = "near_identical"


def judged(live: bool, mode: CaptureMode, machine: MachineState) -> frozenset[Verdict]:
    """Say which kinds of frozen count now.

    Nothing of a source that is no sensor (a file may hold one picture for long) and nothing while
    the machine stands. Near-identical: while the machine is said to run, or of a triggered camera,
    whose every picture is another fruit.
    """
    if not live or machine in STANDING:
        return frozenset()
    moving = machine is MachineState.RUNNING or mode is CaptureMode.TRIGGERED
    return frozenset({Verdict.IDENTICAL, Verdict.NEAR_IDENTICAL} if moving else {Verdict.IDENTICAL})


class FrozenDetector:
    """Fed with every picture; outlives sessions, so a reconnect does not clear the verdict."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._identical = _Run()
        self._near = _Run()
        self.verdict = Verdict.CHANGING

    def feed(
        self, mono: float, seen: Fingerprint, count: frozenset[Verdict], period_s: float
    ) -> Verdict:
        """Take the picture captured at ``mono``; return the verdict after it."""
        same = self._identical.anchor is not None and self._identical.anchor.digest == seen.digest
        self._identical.feed(mono, seen, same and Verdict.IDENTICAL in count and not seen.blank)
        anchor = self._near.anchor
        near = anchor is not None and anchor.difference(seen) < NEAR_GREY_LEVELS
        self._near.feed(mono, seen, near and Verdict.NEAR_IDENTICAL in count and not seen.blank)
        needed_s = self._after_s - max(period_s, NOTICE_MARGIN_S)
        if self._identical.holds(needed_s):
            self.verdict = Verdict.IDENTICAL
        elif self._near.holds(needed_s):
            self.verdict = Verdict.NEAR_IDENTICAL
        else:
            self.verdict = Verdict.CHANGING
        return self.verdict


class _Run:
    """Pictures in a row that equal the first of them."""

    def __init__(self) -> None:
        self.anchor: Fingerprint | None = None
        self._begin = 0.0
        self._end = 0.0
        self._frames = 0

    def feed(self, mono: float, seen: Fingerprint, same: bool) -> None:
        if not same:
            self.anchor, self._begin, self._frames = seen, mono, 0
        self._end = mono
        self._frames += 1

    def holds(self, needed_s: float) -> bool:
        return self._frames >= LEAST_FRAMES and self._end - self._begin >= needed_s
