"""The two honest questions of an orchestrator, as pure functions.

Alive: every loop of the parent moves, whatever cameras, workers and broker do; restarting helps
when this fails. Ready: a source delivers; restarting does not help against that. The model is no
question: an agent whose model has not passed its self-test does not start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.records import CameraState


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question: yes, or the reasons why not."""

    reasons: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.reasons


def livez(ages_s: Mapping[str, float], limit_s: float) -> Verdict:
    """Judge the ages of the loops by name; no loop at all is not alive: nothing has started."""
    if not ages_s:
        return Verdict(("no loop has started",))
    return Verdict(
        tuple(
            f"loop {name} has not moved for {age_s:.1f} s (limit {limit_s:g} s)"
            for name, age_s in sorted(ages_s.items())
            if age_s > limit_s
        )
    )


def readyz(sources: Mapping[str, CameraState]) -> Verdict:
    """Judge whether fruit can be read, by the states of the sources: one is live."""
    if CameraState.LIVE in sources.values():
        return Verdict()
    states = ", ".join(f"{name} {state}" for name, state in sorted(sources.items()))
    return Verdict((f"no source is live: {states or 'none is configured'}",))
