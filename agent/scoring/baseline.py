"""The tests to beat: two-sample tests on the network's softmax outputs, window by window.

Each output of the network (largest probability, entropy, probability of each class, as means over a
picture) of the fruit of one window is compared with that of ordinary production by the statistic of
Kolmogorov and Smirnov, as "Failing Loudly" (Rabanser et al., arXiv 1810.11953) does output by
output. They get the whole false-alarm budget and the same machinery as the signals of Pitwatch: the
statistic becomes a normal score by its rank among ordinary windows, and has the same three charts
with limits over lots. So what is compared is what is looked at, not how it is charted. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.alarms.charts.budget import CHARTS_A_SIDE, Budget
from agent.alarms.charts.charts import Limits, SideCharts
from agent.alarms.charts.lots import limits_for, spread_over_lots
from agent.alarms.charts.minutes import LEAST_FRUIT
from agent.alarms.charts.scores import LEAST, ConstantError, NormalScores, normal_scores
from agent.records import NoReadReason
from agent.scoring.errors import ScoringError
from agent.scoring.recording import REASONS, Recording
from agent.scoring.replay import Piece

SAMPLE = 4000
"""Of ordinary fruit: against so many the other sample's size is all that matters."""
_EMPTY = REASONS.index(NoReadReason.EMPTY)

Floats = NDArray[np.float64]


def ks_statistic(window: Floats, usual: Floats) -> float:
    """The largest distance of two empirical distribution functions, times sqrt(n m / (n + m)), so
    that its scale does not depend on the sizes. ``usual`` is sorted; NaN for an empty sample."""
    n, m = len(window), len(usual)
    if n == 0 or m == 0:
        return math.nan
    x = np.sort(window)
    both = np.concatenate((x, usual))
    apart = np.abs(
        np.searchsorted(x, both, "right") / n - np.searchsorted(usual, both, "right") / m
    )
    return float(apart.max()) * math.sqrt(n * m / (n + m))


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the network: its ordinary values, sorted, and how its statistic is charted."""

    usual: Floats
    scores: NormalScores
    limits: Limits


@dataclass(frozen=True, slots=True)
class Baseline:
    """All outputs that can be charted."""

    outputs: dict[int, Output]
    window_s: float


class BaselineCharts:
    """The charts of one lane; ``beyond`` once any of them is."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._sides = {
            column: SideCharts(output.limits) for column, output in baseline.outputs.items()
        }
        self._rows: list[NDArray[np.float32]] = []
        self._start: float | None = None

    @property
    def beyond(self) -> bool:
        return any(side.beyond for side in self._sides.values())

    def reset(self) -> None:
        """Start all charts anew: after a change of variety."""
        self._rows, self._start = [], None
        for side in self._sides.values():
            side.reset()

    def on_fruit(self, row: NDArray[np.float32], now: float) -> None:
        """Take one fruit's outputs, (S,); closes the window where it is over."""
        if self._start is None:
            self._start = now
        elif now >= self._start + self._baseline.window_s:
            if len(self._rows) >= LEAST_FRUIT:
                self.take(statistics(np.array(self._rows), self._baseline))
            self._rows, self._start = [], now
        self._rows.append(row)

    def take(self, window: dict[int, float]) -> None:
        """Take the statistics of one window, by output."""
        for column, value in window.items():
            self._sides[column].update(self._baseline.outputs[column].scores.score(value))

    def play(self, piece: Piece, shift: float) -> float | None:
        """Let a piece pass; the moment at which the charts went beyond, None if they did not."""
        for index in piece.fruit():
            if piece.recording.reason[index] == _EMPTY:
                continue
            now, before = float(piece.recording.mono[index]) + shift, self.beyond
            self.on_fruit(piece.recording.softmax[index], now)
            if self.beyond and not before:
                return now
        return None


def statistics(rows: NDArray[np.float32], baseline: Baseline) -> dict[int, float]:
    """Of the (n, S) outputs of one window, by output."""
    return {
        column: ks_statistic(_finite(rows[:, column]), output.usual)
        for column, output in baseline.outputs.items()
    }


def windows_of(recording: Recording, window_s: float) -> list[NDArray[np.float32]]:
    """The (n, S) outputs of each whole window of a lot that has enough fruit."""
    kept = recording.reason != _EMPTY
    number = (recording.mono[kept] // window_s).astype(np.int64)
    rows = recording.softmax[kept]
    whole = int(recording.seconds // window_s)
    found = [rows[number == index] for index in range(whole)]
    return [window for window in found if len(window) >= LEAST_FRUIT]


def learn(lots: Sequence[Recording], budget: Budget) -> Baseline:
    """From ordinary lots; each is compared with the others, never with itself.

    ``ScoringError`` for too few lots or windows.
    """
    windows = [windows_of(lot, budget.window_s) for lot in lots]
    count = sum(map(len, windows))
    if len(lots) < 2 or count < LEAST:
        raise ScoringError(
            f"the softmax tests need 2 lots and {LEAST} windows of {budget.window_s:g} s to learn "
            f"from: {len(lots)} lots with {count} windows; {max(0, LEAST - count)} windows more"
        )
    columns = range(windows[0][0].shape[1])
    run_length = budget.days * budget.margin * budget.points_a_day * len(columns) * CHARTS_A_SIDE
    outputs = {}
    for column in columns:
        values = [[_finite(window[:, column]) for window in lot] for lot in windows]
        apart = [
            np.array([ks_statistic(each, _usual(values, index)) for each in lot])
            for index, lot in enumerate(values)
        ]
        try:
            scores = normal_scores(np.concatenate(apart))
        except ConstantError:
            continue
        z = [np.array([scores.score(each) for each in lot]) for lot in apart]
        points = max(1, round(float(np.median([len(lot) for lot in z]))))
        limits = limits_for(run_length, spread_over_lots(z), points)
        outputs[column] = Output(_usual(values, None), scores, limits)
    return Baseline(outputs, budget.window_s)


def _usual(lots: Sequence[Sequence[Floats]], without: int | None) -> Floats:
    """Sorted values of all lots but one, at most ``SAMPLE`` of them, evenly spread over ranks."""
    rows = [window for index, lot in enumerate(lots) if index != without for window in lot]
    values = np.sort(np.concatenate(rows))
    if len(values) <= SAMPLE:
        return values
    return values[np.linspace(0, len(values) - 1, SAMPLE).round().astype(np.int64)]


def _finite(values: NDArray[np.float32]) -> Floats:
    return values[np.isfinite(values)].astype(np.float64)
