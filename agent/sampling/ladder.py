"""The quality ladder: what each rung costs, and which one fits the time there is."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Rung

LADDER = (Rung.EXACT, Rung.PARTIAL, Rung.COARSE)
"""Best first."""

# Until a rung has been measured its cost is scaled from another one's. The shares only order the
# first few jobs; measurements replace them.
_RELATIVE = {Rung.EXACT: 1.0, Rung.PARTIAL: 0.5, Rung.COARSE: 0.25}
_FIRST_GUESS_S = 1.0
_WEIGHT = 0.2  # of a new measurement in the running estimate
_HALF_LIFE_S = 300.0  # of an estimate that no job has confirmed, so that a rung is tried again
_HEADROOM = 1.5  # a job that overruns its deadline costs a worker, so an estimate needs a margin
_KEPT = 1.1  # an elastic rung that ended within this much of its grant has kept to it


@dataclass(frozen=True, slots=True)
class Plan:
    """A rung and the worker-seconds to book for it."""

    rung: Rung
    compute_s: float


@dataclass(slots=True)
class _Estimate:
    seconds: float
    measured_mono: float


class CostEstimates:
    """Worker-seconds that each rung takes, as a running mean (exponentially weighted) over jobs.

    EXACT takes what it takes. PARTIAL and COARSE are elastic: they refine for as long as they are
    granted, so what is kept for them is the least they need.
    """

    def __init__(self) -> None:
        self._known: dict[Rung, _Estimate] = {}

    def measured(self, plan: Plan, seconds: float, now: float) -> None:
        """A job was finished after ``seconds`` of work."""
        known = self._known.get(plan.rung)
        if plan.rung is not Rung.EXACT and seconds <= plan.compute_s * _KEPT:
            # It filled its grant, which says only that it needs no more.
            seconds = min(seconds, self.seconds(plan.rung, now))
        if known is None:
            self._known[plan.rung] = _Estimate(seconds, now)
            return
        known.seconds += _WEIGHT * (seconds - known.seconds)
        known.measured_mono = now

    def overran(self, rung: Rung, seconds: float, now: float) -> None:
        """A job of this rung was ended unfinished after ``seconds``: it takes at least twice that.

        The factor makes sure that the rung no longer fits the same deadline.
        """
        self._known[rung] = _Estimate(max(2 * seconds, self.seconds(rung, now)), now)

    def seconds(self, rung: Rung, now: float) -> float:
        """Expected worker-seconds of one explanation; never less than that of a coarser rung."""
        own = self._aged(rung, now)
        if own is None:
            own = self._scaled(rung, now)
        coarser = LADDER[LADDER.index(rung) + 1 :]
        return max([own, *(aged for r in coarser if (aged := self._aged(r, now)) is not None)])

    def plan(self, share_s: float, left_s: float, now: float) -> Plan | None:
        """The best rung that fits ``share_s`` seconds with headroom; None when there is none.

        When no rung does, the coarsest is taken if it fits the whole time left, ``left_s``.
        """
        for rung in LADDER:
            least = self.seconds(rung, now)
            if least * _HEADROOM <= share_s:
                return Plan(rung, least if rung is Rung.EXACT else share_s / _HEADROOM)
        least = self.seconds(LADDER[-1], now)
        return Plan(LADDER[-1], least) if least * _HEADROOM <= left_s else None

    def _aged(self, rung: Rung, now: float) -> float | None:
        known = self._known.get(rung)
        if known is None:
            return None
        age_s = max(0.0, now - known.measured_mono)
        return float(known.seconds * 0.5 ** (age_s / _HALF_LIFE_S))

    def _scaled(self, rung: Rung, now: float) -> float:
        # The most hopeful guess, so that a rung is measured instead of guessed.
        guesses = (
            aged * _RELATIVE[rung] / _RELATIVE[other]
            for other in LADDER
            if (aged := self._aged(other, now)) is not None
        )
        return min(guesses, default=_FIRST_GUESS_S * _RELATIVE[rung])
