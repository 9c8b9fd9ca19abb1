"""Ordinary production over thousands of days, from whole lots drawn with replacement. Seeded.

The windows of a lot are made once, as the running agent makes them, and then played through the
real charts lot after lot. Fixed rules, which look at the newest fruit and not at windows, are
judged on each lot with the one before it. Suppressed alarms count, and a cause that a rule and a
chart both raise counts twice: the count errs upwards.

Lots are drawn from populations that are themselves drawn from the recorded lots, so that the spread
between populations says how much depends on which lots happened to be recorded.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.charts.bank import ChartBank
from agent.alarms.charts.charted import CHARTED_CLASSES
from agent.alarms.charts.minutes import FruitMinutes, Point, explanation_minutes, on_chart_scale
from agent.alarms.charts.reference import Reference
from agent.alarms.signals.extract import of_suture
from agent.records import NoReadReason
from agent.scoring.baseline import Baseline, BaselineCharts, statistics, windows_of
from agent.scoring.bounds import poisson_upper
from agent.scoring.faults import Judges
from agent.scoring.protocol import Protocol
from agent.scoring.rebuilt import suture_of
from agent.scoring.recording import CLASSES, EXPLANATION_SIGNALS, FRUIT_SIGNALS, REASONS, Recording
from agent.scoring.replay import LineReplay, whole


@dataclass(slots=True)
class FalseAlarms:
    """Counted over ``days`` production days; ``by_population``: the days and alarms of each."""

    days: float = 0.0
    causes: Counter[str] = field(default_factory=Counter)
    softmax: int = 0
    by_population: list[tuple[float, int]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.causes.total()

    def add(self, other: FalseAlarms) -> None:
        """Count other days as well."""
        self.days += other.days
        self.causes.update(other.causes)
        self.softmax += other.softmax
        self.by_population += other.by_population

    def per_30_days(self) -> float:
        return 30.0 * self.count / self.days

    def upper_per_30_days(self) -> float:
        """Upper 95 % bound over the days replayed: Poisson, of the lots that were recorded."""
        return 30.0 * poisson_upper(self.count) / self.days

    def populations_upper_per_30_days(self) -> float:
        """95 % of the populations of lots have no more than this."""
        rates = [30.0 * count / days for days, count in self.by_population]
        return float(np.quantile(rates, 0.95))

    def softmax_upper_per_30_days(self) -> float:
        return 30.0 * poisson_upper(self.softmax) / self.days


@dataclass(frozen=True, slots=True, eq=False)
class Lot:
    """One ordinary lot: its windows in time order, and what the fixed rules look at."""

    variety: str
    seconds: float
    windows: tuple[tuple[Point, ...], ...]
    softmax: tuple[dict[int, float], ...]
    rules: Mapping[str, NDArray[np.float64]]


def prepared(recording: Recording, reference: Reference, baseline: Baseline) -> Lot:
    """A lot against its variety's reference."""
    return Lot(
        variety=reference.variety,
        seconds=recording.seconds,
        windows=tuple(windows(recording, reference)),
        softmax=tuple(
            statistics(window, baseline) for window in windows_of(recording, baseline.window_s)
        ),
        rules=_rule_values(recording),
    )


def windows(recording: Recording, reference: Reference) -> list[tuple[Point, ...]]:
    """The closed windows of a lot; one left open is dropped."""
    profile = reference.profile_array()
    fruit = FruitMinutes(reference.window_s)
    explained = explanation_minutes(reference.window_s)
    closed: list[list[Point]] = []
    empty = REASONS.index(NoReadReason.EMPTY)
    for index in np.flatnonzero(recording.reason != empty).tolist():
        values = dict(zip(FRUIT_SIGNALS, recording.values[index].tolist(), strict=True))
        angle = float(recording.angle_deg[index])
        now = float(recording.mono[index])
        closed.append(fruit.add(on_chart_scale(values), None if math.isnan(angle) else angle, now))
    for index, made in enumerate(recording.fruit.tolist()):
        if CLASSES[recording.sampled[index]] not in CHARTED_CLASSES:
            continue
        values = on_chart_scale(of_suture(suture_of(recording, index), profile))
        closed.append(explained.add(values, float(recording.mono[made])))
    closed += [fruit.tick(recording.seconds), explained.tick(recording.seconds)]
    found = [tuple(points) for points in closed if points]
    return sorted(found, key=lambda points: points[0].mono)


@dataclass(frozen=True, slots=True)
class Rule:
    """A fixed limit on the mean of the newest ``size`` values."""

    cause: Cause
    values: str
    size: int
    limit: float
    low: bool = False

    def rises(self, before: NDArray[np.float64], lot: NDArray[np.float64]) -> bool:
        """Whether the limit is crossed within ``lot``, which comes after ``before``."""
        x = np.concatenate((before[-self.size :], lot))
        if len(x) < self.size:
            return False
        sums = np.concatenate(([0.0], np.cumsum(x)))
        means = (sums[self.size :] - sums[: -self.size]) / self.size
        beyond = means < self.limit if self.low else means > self.limit
        fresh = beyond if len(before) < self.size else beyond[1:]
        earlier = np.concatenate(([False], beyond[:-1]))[-len(fresh) :] if len(fresh) else fresh
        return bool((fresh & ~earlier).any())


def rules_of(limits: config.AlarmLimits) -> tuple[Rule, ...]:
    """The fixed limits on a lane's fruit and explanations."""
    fruit, explained = limits.fruit_window, limits.explanations_window
    return (
        Rule(Cause.NO_READ_RATE, "no_read", fruit, limits.no_read_rate),
        Rule(Cause.IMAGE_QUALITY, "unusable", fruit, limits.image_quality),
        Rule(Cause.BACKGROUND_RELIANCE, "reliance", explained, limits.background_reliance),
        Rule(
            Cause.FOREGROUND_INSENSITIVE,
            "sensitivity",
            explained,
            limits.foreground_sensitivity,
            low=True,
        ),
    )


def _rule_values(recording: Recording) -> dict[str, NDArray[np.float64]]:
    fruit = recording.reason != REASONS.index(NoReadReason.EMPTY)
    unusable = recording.reason[fruit] == REASONS.index(NoReadReason.IMAGE_QUALITY)

    def explained(name: str) -> NDArray[np.float64]:
        values = recording.explained[:, EXPLANATION_SIGNALS.index(name)].astype(np.float64)
        return values[np.isfinite(values)]

    return {
        "no_read": np.isnan(recording.angle_deg[fruit]).astype(np.float64),
        "unusable": unusable.astype(np.float64),
        "reliance": explained("reliance_input"),
        "sensitivity": explained("foreground_input"),
    }


class _Lane:
    """Charts of every variety; one is at work."""

    def __init__(
        self, references: Mapping[str, Reference], baselines: Mapping[str, Baseline]
    ) -> None:
        self._charts = {name: ChartBank(one) for name, one in references.items()}
        self._tests = {name: BaselineCharts(one) for name, one in baselines.items()}
        self._before: Lot | None = None

    def play(self, lot: Lot, rules: Sequence[Rule], found: FalseAlarms) -> None:
        """Let a lot pass, and count what it raises."""
        charts, tests = self._charts[lot.variety], self._tests[lot.variety]
        if self._before is not None and self._before.variety != lot.variety:
            charts.reset()
            tests.reset()
        beyond = charts.beyond()
        for points in lot.windows:
            charts.take(points)
            now = charts.beyond()
            found.causes.update(cause.value for cause in now - beyond)
            beyond = now
        for window in lot.softmax:
            before = tests.beyond
            tests.take(window)
            found.softmax += tests.beyond and not before
        none = np.zeros(0)
        for rule in rules:
            earlier = self._before.rules[rule.values] if self._before is not None else none
            if rule.rises(earlier, lot.rules[rule.values]):
                found.causes[rule.cause.value] += 1
        self._before = lot


def replay_population(
    number: int,
    lots: Mapping[str, Sequence[Lot]],
    references: Mapping[str, Reference],
    baselines: Mapping[str, Baseline],
    protocol: Protocol,
    limits: config.AlarmLimits,
) -> FalseAlarms:
    """This population's share of the days; ``number`` decides which lots it has."""
    rng = np.random.default_rng([protocol.seeds.replay, 1000, number])
    drawn = {
        name: [rows[int(i)] for i in rng.integers(len(rows), size=len(rows))]
        for name, rows in lots.items()
    }
    found, rules, lane = FalseAlarms(), rules_of(limits), _Lane(references, baselines)
    for lot in _lots_in_turn(drawn, protocol.days / protocol.populations, protocol, rng):
        lane.play(lot, rules, found)
        found.days += lot.seconds / 3600.0 / protocol.hours_a_day
    found.by_population.append((found.days, found.count))
    return found


def _lots_in_turn(
    lots: Mapping[str, Sequence[Lot]], days: float, protocol: Protocol, rng: np.random.Generator
) -> list[Lot]:
    """Lots for so many days: ``variety_lots`` of one variety, then of the next."""
    names, chosen, seconds = list(lots), list[Lot](), 0.0
    while seconds < days * protocol.hours_a_day * 3600.0:
        rows = lots[names[len(chosen) // protocol.variety_lots % len(names)]]
        chosen.append(rows[int(rng.integers(len(rows)))])
        seconds += chosen[-1].seconds
    return chosen


def replay_shift(
    lots: Mapping[str, Sequence[Recording]], judges: Judges, protocol: Protocol, shift: int
) -> Counter[str]:
    """Alarms that somebody was told of in one shift of ordinary lots, fruit by fruit, with its
    changes of variety."""
    rng = np.random.default_rng([protocol.seeds.replay, 2000, shift])
    replay = LineReplay(judges.alarms, judges.references)
    names, played, running = list(lots), 0, ""
    while replay.now < protocol.hours_a_day * 3600.0:
        variety = names[played // protocol.variety_lots % len(names)]
        if running and variety != running:
            replay.change_over(variety, protocol.change_over_s)
        rows = lots[variety]
        replay.play(whole(rows[int(rng.integers(len(rows)))]))
        running, played = variety, played + 1
    return Counter(one.cause.value for one in replay.raised if one.told)
