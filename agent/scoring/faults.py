"""Runs of a fault: ordinary production, then the fault, and who finds it when. Pure and seeded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent import config
from agent.alarms.catalogue import OF_EXPLANATIONS, Cause
from agent.alarms.charts.reference import Reference
from agent.scoring.baseline import Baseline, BaselineCharts
from agent.scoring.bounds import share_lower
from agent.scoring.protocol import Protocol, Trial
from agent.scoring.recording import Recording
from agent.scoring.replay import LineReplay, Piece, most_severe

MISSED = math.inf
"""The delay of what was not found in time: medians over all runs stay honest."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Who listens: the agent's alarms against these references, and the softmax tests."""

    alarms: config.Alarms
    references: Mapping[str, Reference]
    baseline: Baseline


@dataclass(frozen=True, slots=True)
class Run:
    """Delays in seconds from the onset, ``MISSED`` where nobody was told in time; ``fruit`` passed
    until then. ``causes``: all alarms of the first moment, the one at the top of the list first.
    ``explanations_s``: alarms that explanations alone raise, even while another hides them;
    ``softmax_s``: the tests on softmax outputs. ``early``: false alarms before the onset."""

    delay_s: float
    fruit: int
    causes: tuple[Cause, ...]
    explanations_s: float
    softmax_s: float
    early: int

    @property
    def detected(self) -> bool:
        return math.isfinite(self.delay_s)


@dataclass(frozen=True, slots=True)
class TrialScore:
    """All runs of one fault at one strength."""

    trial: Trial
    runs: tuple[Run, ...]

    @property
    def detected(self) -> int:
        return sum(run.detected for run in self.runs)

    @property
    def detected_share(self) -> float:
        return self.detected / len(self.runs)

    @property
    def detected_lower(self) -> float:
        """Lower 95 % bound of the share that is detected."""
        return share_lower(self.detected, len(self.runs))

    @property
    def delay_min(self) -> float:
        return median_min(run.delay_s for run in self.runs)

    @property
    def delay_fruit(self) -> float:
        """Median over the runs that were detected; NaN for none."""
        found = [run.fruit for run in self.runs if run.detected]
        return float(np.median(found)) if found else math.nan

    @property
    def explanations_min(self) -> float:
        return median_min(run.explanations_s for run in self.runs)

    @property
    def softmax_min(self) -> float:
        return median_min(run.softmax_s for run in self.runs)

    @property
    def first_cause(self) -> tuple[str, float]:
        """The cause that most often is at the top of the list, and in what share of the detected
        runs; empty for none."""
        counts = Counter(run.causes[0] for run in self.runs if run.detected)
        if not counts:
            return "", math.nan
        cause, count = min(counts.items(), key=lambda each: (-each[1], each[0]))
        return cause.value, count / self.detected

    @property
    def right_share(self) -> float:
        """In what share of the detected runs the alarm at the top of the list is a right one."""
        right = sum(run.causes[0] in self.trial.fault.right for run in self.runs if run.detected)
        return right / self.detected if self.detected else math.nan

    @property
    def verdict(self) -> str:
        """Explanations against the softmax tests, by the runs in which either was first."""
        return verdict(
            [run.explanations_s for run in self.runs], [run.softmax_s for run in self.runs]
        )


def median_min(delays_s: Iterable[float]) -> float:
    """Median in minutes; infinite where half of the runs were missed."""
    ordered = sorted(delays_s)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 120.0


def verdict(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """``earlier`` or ``later`` by the median delay of all runs, ``no earlier`` for a tie, and
    ``neither`` where both missed half of them."""
    mine, other = median_min(ours), median_min(theirs)
    if math.isinf(mine) and math.isinf(other):
        return "neither"
    if mine == other:
        return "no earlier"
    return "earlier" if mine < other else "later"


def score_trial(
    trial: Trial,
    ordinary: Sequence[Recording],
    faulty: Sequence[Recording],
    judges: Judges,
    protocol: Protocol,
) -> TrialScore:
    """Every run; the same seed gives the same runs."""
    number = list(protocol.faults).index(trial.name)
    runs = []
    for run in range(protocol.runs):
        rng = np.random.default_rng(
            [protocol.seeds.replay, number, round(trial.strength * 1e6), run]
        )
        before = before_onset(ordinary, protocol, rng)
        after = under_fault(faulty, protocol, rng)
        runs.append(play_run(before, after, judges))
    return TrialScore(trial, tuple(runs))


def before_onset(
    lots: Sequence[Recording], protocol: Protocol, rng: np.random.Generator
) -> list[Piece]:
    """Ordinary production up to the onset, which falls anywhere within a window of the charts."""
    left_s = (protocol.onset_min + float(rng.random())) * 60.0
    pieces = []
    while left_s > 0:
        lot = lots[int(rng.integers(len(lots)))]
        seconds = min(left_s, lot.seconds)
        pieces.append(Piece(lot, 0.0, seconds))
        left_s -= seconds
    return pieces


def under_fault(
    lots: Sequence[Recording], protocol: Protocol, rng: np.random.Generator
) -> Iterator[Piece]:
    """Minutes under the fault, drawn with replacement, for as long as patience lasts.

    Of all lots: the few minutes of one would be repeated so often that their chance deviation from
    what is usual looked like a fault. The protocol's control shows what is left of that.
    """
    minutes = [
        (lot, 60.0 * minute) for lot in lots for minute in range(max(1, int(lot.seconds // 60.0)))
    ]
    for _ in range(math.ceil(protocol.patience_min)):
        lot, start_s = minutes[int(rng.integers(len(minutes)))]
        yield Piece(lot, start_s, min(lot.seconds, start_s + 60.0))


def play_run(before: Iterable[Piece], after: Iterable[Piece], judges: Judges) -> Run:
    """One run; it ends when everybody has found the fault, or with the last piece."""
    replay = LineReplay(judges.alarms, judges.references)
    tests = BaselineCharts(judges.baseline)
    for piece in before:
        tests.play(piece, replay.now - piece.start_s)
        replay.play(piece)
    onset, passed = replay.now, replay.fruit
    early = sum(one.told for one in replay.raised)
    softmax_s = MISSED
    for piece in after:
        found = tests.play(piece, replay.now - piece.start_s)
        if found is not None:
            softmax_s = min(softmax_s, found - onset)
        replay.play(piece)
        explained = replay.first(onset, OF_EXPLANATIONS)
        if replay.first(onset) and explained and math.isfinite(softmax_s):
            break
    first, explained = replay.first(onset), replay.first(onset, OF_EXPLANATIONS)
    top = most_severe(first) if first else None
    rest = tuple(one.cause for one in first if one.cause != top)
    return Run(
        delay_s=first[0].mono - onset if first else MISSED,
        fruit=first[0].fruit - passed if first else replay.fruit - passed,
        causes=(top, *rest) if top is not None else (),
        explanations_s=explained[0].mono - onset if explained else MISSED,
        softmax_s=softmax_s,
        early=early,
    )
