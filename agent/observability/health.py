"""The two honest questions of an orchestrator, as pure functions.

Alive: every loop of the parent moves, whatever cameras, workers and broker do; restarting helps
when this fails. Ready: there is a model that has passed its self-test and a source that delivers;
restarting helps against neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.records import CameraState


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question; ``reasons`` is empty exactly when ``ok``."""

    ok: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What readiness depends on."""

    model_loaded: bool = False
    model_self_tested: bool = False
    cameras: Mapping[str, CameraState] | None = None  # by name; None: not started


def livez(ages_s: Mapping[str, float], limit_s: float) -> Verdict:
    """Judge the ages of the loops by name; no loop at all is not alive: nothing has started."""
    if not ages_s:
        return _verdict(["no loop has started"])
    return _verdict(
        [
            f"loop {name} has not moved for {age_s:.1f} s (limit {limit_s:g} s)"
            for name, age_s in sorted(ages_s.items())
            if age_s > limit_s
        ]
    )


def readyz(readiness: Readiness) -> Verdict:
    """Judge whether fruit can be read: model loaded and self-tested, one source live."""
    reasons = []
    if not readiness.model_loaded:
        reasons.append("the model is not loaded")
    elif not readiness.model_self_tested:
        reasons.append("the model has not passed its self-test")
    if readiness.cameras is None:
        reasons.append("capture has not started")
    elif CameraState.LIVE not in readiness.cameras.values():
        states = ", ".join(f"{name} {state}" for name, state in sorted(readiness.cameras.items()))
        reasons.append(f"no source is live: {states or 'none is configured'}")
    return _verdict(reasons)


def _verdict(reasons: list[str]) -> Verdict:
    return Verdict(ok=not reasons, reasons=tuple(reasons))
