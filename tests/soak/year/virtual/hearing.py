"""Everything that an agent says in a while: metrics that move, events of its log, alarms."""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.observability.prometheus import PrometheusTelemetry

Labels = frozenset[tuple[str, str]]
Key = tuple[str, Labels]


def key_of(name: str, labels: Mapping[str, object]) -> Key:
    """A metric with its labels, as it is looked up."""
    return name, frozenset((label, str(value)) for label, value in labels.items())


@dataclass(slots=True)
class Heard:
    """Of one stretch of time. ``counted``: counters that rose; ``moved``: gauges that changed and
    histograms that were fed; ``logged``: events from warnings on, and all named ones."""

    counted: Counter[Key] = field(default_factory=Counter)
    moved: set[Key] = field(default_factory=set)
    logged: list[tuple[int, str, Mapping[str, str]]] = field(default_factory=list)


class Telemetry(PrometheusTelemetry):
    """The real one, which also remembers what it is told."""

    def hear(self) -> None:
        """Begin to remember anew."""
        self.heard = Heard()
        self._gauges: dict[Key, float] = getattr(self, "_gauges", {})
        self._hearing = getattr(self, "_hearing", threading.Lock())

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        super().count(name, amount, **labels)
        with self._hearing:
            self.heard.counted[key_of(name, labels)] += int(amount)

    def _count_error(self, reason: str) -> None:
        super()._count_error(reason)
        with self._hearing:
            self.heard.counted[key_of("telemetry_errors", {"reason": reason})] += 1

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        super().gauge(name, value, **labels)
        key = key_of(name, labels)
        with self._hearing:
            before = self._gauges.get(key, math.nan)
            if value != before and not (math.isnan(value) and math.isnan(before)):
                self._gauges[key] = value
                self.heard.moved.add(key)

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        super().observe(name, seconds, exemplar=exemplar, **labels)
        with self._hearing:
            self.heard.moved.add(key_of(name, labels))


class LogEar(logging.Handler):
    """Keeps the events of ``agent``'s loggers for ``telemetry.heard``."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__(logging.DEBUG)
        self._telemetry = telemetry

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        said = {name: str(value) for name, value in fields.items()}
        self._telemetry.heard.logged.append((record.levelno, record.getMessage(), said))
