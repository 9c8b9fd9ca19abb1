"""The catalogue as Prometheus metrics, in a registry that is handed in.

A wrong call (unknown name, wrong labels, a number that is none) is a programming error. It raises
with ``strict``, which tests use. In production it must not end the live loop: nothing is recorded,
``telemetry_errors`` counts it, and the log names it once.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Mapping

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from agent.observability.loops import LoopAges
from agent.observability.quantiles import WindowQuantiles, WindowRate
from agent.observability.view import Percentiles
from agent.telemetry import BY_NAME, CATALOGUE, FORMERLY, Clock, Kind, Metric, check, log_event

logger = logging.getLogger(__name__)

PREFIX = "pitwatch_"
RATED = frozenset({"frames_segmented", "fruit", "jobs_completed"})
"""Counters whose rate of the last minute is kept for the page and the terminal."""
COMPUTED = frozenset({"loop_age_seconds"})
VALUES_MAX = {"camera": 256, "alarm": 256}
VALUES_MAX_DEFAULT = 64
VALUE_LENGTH_MAX = 120
OTHER = "other"
WRONG_CALL, CARDINALITY = "wrong_call", "cardinality"
EXEMPLAR_LENGTH_MAX = 110
"""OpenMetrics allows 128 characters for the names and values of one exemplar."""

Wrapped = Counter | Gauge | Histogram
Key = tuple[object, ...]


class _Series:
    """One child of one metric, with its window where it has one."""

    __slots__ = ("child", "labels", "lock", "rate", "values", "window")

    def __init__(self, metric: Metric, child: Wrapped, values: tuple[str, ...]) -> None:
        self.child = child
        self.values = values
        self.labels = dict(zip(metric.labels, values, strict=True))
        self.lock = threading.Lock()
        self.rate = WindowRate() if metric.name in RATED else None
        timed = metric.kind is Kind.HISTOGRAM and metric.name.endswith("_seconds")
        self.window = WindowQuantiles() if timed else None

    def value(self) -> float:
        """Return the value of a counter or gauge."""
        return float(next(iter(self.child.collect())).samples[0].value)

    def carries(self, labels: Mapping[str, str]) -> bool:
        """Return whether each of ``labels`` has that value here."""
        return all(self.labels.get(label) == value for label, value in labels.items())


class PrometheusTelemetry:
    """``agent.telemetry.Telemetry`` on one registry; safe to call from every thread.

    A label value is data and could be anything: beyond a number of different values per label the
    rest is counted under ``other``, so that no input can fill the memory of agent and Prometheus.
    """

    def __init__(self, registry: CollectorRegistry, clock: Clock, *, strict: bool = False) -> None:
        self.registry = registry
        self.loops = LoopAges(clock)
        self._clock = clock
        self._strict = strict
        # Guards the making of series, not their use. Nothing is logged under it: a log handler
        # counts its events here.
        self._lock = threading.Lock()
        # One more series for each counter and histogram, used by no query.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._metrics = {m.name: _make(m, registry) for m in CATALOGUE if m.name not in COMPUTED}
        self._series: dict[Kind, dict[Key, _Series]] = {kind: {} for kind in Kind}
        self._by_name: dict[str, dict[tuple[str, ...], _Series]] = {m.name: {} for m in CATALOGUE}
        self._values: dict[tuple[str, str], set[str]] = {}
        self._named: set[str] = set()
        registry.register(self.loops)
        ProcessCollector(registry=registry)
        for reason in (WRONG_CALL, CARDINALITY):  # so that 'none' is told apart from 'not known'
            self._find(Kind.COUNTER, "telemetry_errors", {"reason": reason})
        memory = self._find(Kind.GAUGE, "process_memory_bytes", {"process": "agent"}).child
        assert isinstance(memory, Gauge)
        memory.set_function(lambda: float(psutil.Process().memory_info().rss))

    # --- agent.telemetry.Telemetry ---------------------------------------------------------------

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add a finite, non-negative amount to a counter."""
        try:
            series = self._find(Kind.COUNTER, name, labels)
            series.child.inc(_finite(amount))  # type: ignore[union-attr]
            if series.rate is not None:
                with series.lock:
                    series.rate.add(amount, self._clock())
        except (KeyError, ValueError, TypeError) as error:
            self._refuse(name, error)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge; NaN and infinities mean 'not known' and withdraw the series."""
        if name in FORMERLY:
            self.gauge(FORMERLY[name], value, **labels)
        try:
            if math.isfinite(value):
                self._find(Kind.GAUGE, name, labels).child.set(value)  # type: ignore[union-attr]
            else:
                self._withdraw(check(name, Kind.GAUGE, labels), labels)
        except (KeyError, ValueError, TypeError) as error:
            self._refuse(name, error)

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        """Record one finite value; ``exemplar`` is a frame id of at most 110 characters."""
        try:
            series = self._find(Kind.HISTOGRAM, name, labels)
            tags = None
            if exemplar is not None and len(exemplar) <= EXEMPLAR_LENGTH_MAX:
                tags = {"frame_id": exemplar}
            series.child.observe(_finite(seconds), tags)  # type: ignore[union-attr]
            if series.window is not None:
                series.window.add(seconds, self._clock())
        except (KeyError, ValueError, TypeError) as error:
            self._refuse(name, error)

    def beat(self, loop: str, /) -> None:
        """Say that a loop of the parent has moved; the first beat registers it."""
        self.loops.beat(loop)

    # --- reading back ----------------------------------------------------------------------------

    def prime(self, lanes: Iterable[str]) -> None:
        """Let counters and histograms of each lane start at 0: a first rise from 0 is seen."""
        for lane in lanes:
            for metric in CATALOGUE:
                if metric.labels == ("camera",) and metric.kind is not Kind.GAUGE:
                    self._find(metric.kind, metric.name, {"camera": lane})

    def forget(self, label: str, value: str) -> None:
        """End every series that carries this value, such as those of a camera that is gone.

        Another one of that name begins at 0 again.
        """
        for name, found in self._by_name.items():
            for series in list(found.values()):
                if series.labels.get(label) == value:
                    self._withdraw(BY_NAME[name], series.labels)
        with self._lock:
            for (_, of), known in self._values.items():
                if of == label:
                    known.discard(value)

    def total(self, name: str, /, **labels: str) -> float:
        """Return the sum of a counter or gauge over all series that carry ``labels``."""
        return sum(self.breakdown(name, (), **labels).values())

    def breakdown(self, name: str, by: tuple[str, ...], /, **labels: str) -> dict[str, float]:
        """Return sums of a counter or gauge by the values of ``by``, joined with ``/``.

        >>> from time import monotonic
        >>> telemetry = PrometheusTelemetry(CollectorRegistry(), monotonic)
        >>> telemetry.count("frames_dropped", 2, camera="cam1", stage="capture", reason="expired")
        >>> telemetry.breakdown("frames_dropped", ("stage", "reason"), camera="cam1")
        {'capture/expired': 2.0}
        """
        sums: dict[str, float] = {}
        for series in list(self._by_name[name].values()):
            if series.carries(labels):
                key = "/".join(series.labels[label] for label in by)
                sums[key] = sums.get(key, 0.0) + series.value()
        return sums

    def quantiles(self, name: str, /, **labels: str) -> Percentiles:
        """Return p50, p95 and p99 of one ``_seconds`` histogram over the last minute."""
        series = self._existing(name, labels)
        if series is None or series.window is None:
            return Percentiles()
        return series.window.snapshot(self._clock())

    def per_second(self, name: str, /, **labels: str) -> float:
        """Return the rate of a ``RATED`` counter over the last minute, summed over all series
        that carry ``labels``; NaN while none is known."""
        now = self._clock()
        rates = []
        for series in list(self._by_name[name].values()):
            if series.rate is not None and series.carries(labels):
                with series.lock:
                    rates.append(series.rate.per_second(now))
        known = [rate for rate in rates if math.isfinite(rate)]
        return sum(known) if known else math.nan

    # --- series ----------------------------------------------------------------------------------

    def _existing(self, name: str, labels: Mapping[str, str]) -> _Series | None:
        metric = BY_NAME[name]
        return self._by_name[name].get(tuple(labels[label] for label in metric.labels))

    def _find(self, kind: Kind, name: str, labels: dict[str, str]) -> _Series:
        key = (name, *labels.items())
        series = self._series[kind].get(key)
        return series if series is not None else self._make_series(kind, key, name, labels)

    def _make_series(self, kind: Kind, key: Key, name: str, labels: dict[str, str]) -> _Series:
        metric = check(name, kind, labels)
        if name in COMPUTED:
            raise ValueError(f"{name} is computed at the scrape")
        asked = tuple(str(labels[label]) for label in metric.labels)
        with self._lock:
            pairs = zip(metric.labels, asked, strict=True)
            values = tuple(self._admit(metric, label, value) for label, value in pairs)
            series = self._by_name[name].get(values)
            if series is None:
                wrapped = self._metrics[name]
                child = wrapped.labels(*values) if metric.labels else wrapped
                series = self._by_name[name][values] = _Series(metric, child, values)
            if values == asked:
                self._series[kind][key] = series
        if values != asked:  # never kept under its own key, so that the keys stay bounded
            self._count_error(CARDINALITY)
            self._name_once(name, f"odd or too many values of a label: {asked}")
        return series

    def _admit(self, metric: Metric, label: str, value: str) -> str:
        known = self._values.setdefault((metric.name, label), {OTHER})
        if value not in known:
            room = len(known) <= VALUES_MAX.get(label, VALUES_MAX_DEFAULT)
            if not (room and len(value) <= VALUE_LENGTH_MAX and value.isprintable()):
                return OTHER
            known.add(value)
        return value

    def _withdraw(self, metric: Metric, labels: dict[str, str]) -> None:
        series = self._existing(metric.name, labels)
        if series is None:
            return
        if not metric.labels:
            assert isinstance(series.child, Gauge)
            series.child.set(math.nan)
            return
        with self._lock:
            self._metrics[metric.name].remove(*series.values)
            self._by_name[metric.name].pop(series.values, None)
            kept = self._series[metric.kind]
            for key in [key for key, value in kept.items() if value is series]:
                del kept[key]

    # --- wrong calls -----------------------------------------------------------------------------

    def _refuse(self, name: str, error: Exception) -> None:
        if self._strict:
            raise error
        self._count_error(WRONG_CALL)
        self._name_once(name, str(error))

    def _count_error(self, reason: str) -> None:
        errors = self._find(Kind.COUNTER, "telemetry_errors", {"reason": reason})
        errors.child.inc()  # type: ignore[union-attr]

    def _name_once(self, name: str, problem: str) -> None:
        if name in self._named or len(self._named) > len(CATALOGUE):
            return
        self._named.add(name)
        log_event(logger, logging.ERROR, "telemetry_refused", metric=name, problem=problem)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


def _make(metric: Metric, registry: CollectorRegistry) -> Wrapped:
    name = PREFIX + metric.name
    if metric.kind is Kind.COUNTER:
        return Counter(name, metric.help, metric.labels, registry=registry)
    if metric.kind is Kind.GAUGE:
        return Gauge(name, metric.help, metric.labels, registry=registry)
    return Histogram(name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
