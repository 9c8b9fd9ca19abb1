"""Whether there is anything to judge by on one lane: readings, and explanations of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection

from agent import config
from agent.alarms.catalogue import Cause, Situation, suppression_reason
from agent.alarms.condition import Condition, Detail
from agent.alarms.machine import MachineWatch
from agent.alarms.text.language import Fact
from agent.records import MachineState

FIRST_EXPLANATION_S = 180.0
"""Until the first explanation the workers may be loading their model."""


class DataFlow:
    """Times of the newest data of one lane, and the condition of ``agent_no_data``.

    ``reading_mono`` is of the newest reading, empty cups included; ``explained_mono`` of the newest
    explanation that says something of the suture.
    """

    def __init__(self, name: str, limits: config.AlarmLimits) -> None:
        self.reading_mono = -math.inf
        self.explained_mono = -math.inf
        self._fruit_mono = -math.inf
        self._name = name
        self._limits = limits
        self._expected_mono = -math.inf  # since when there ought to be data
        self._flowing_mono: float | None = None  # since when fruit have come without a long gap
        self._failure = ""

    def configure(self, limits: config.AlarmLimits) -> None:
        """Judge by other limits from now on."""
        self._limits = limits

    def on_reading(self, captured_mono: float) -> None:
        """Take one reading, empty cups included."""
        self.reading_mono = max(self.reading_mono, captured_mono)

    def on_fruit(self, captured_mono: float) -> None:
        """Take one fruit."""
        self._fruit_mono = max(self._fruit_mono, captured_mono)
        if self._flowing_mono is None:
            self._flowing_mono = captured_mono

    def on_explanation(self, captured_mono: float) -> None:
        """Take one explanation that says something of the suture."""
        self.explained_mono = max(self.explained_mono, captured_mono)

    def on_failure(self, reason: str) -> None:
        """Remember why there is no explanation; empty: there is one."""
        self._failure = reason

    def tick(self, running: bool, now: float) -> None:
        """Data are expected from the start on, and anew whenever the machine has stood."""
        if self._expected_mono == -math.inf or not running:
            self._expected_mono, self._flowing_mono = now, None
        elif now - self._fruit_mono > self._limits.no_explanation_s:
            self._flowing_mono = None

    def fresh(self, stamp: float, now: float) -> bool:
        """Whether what was captured then still says something of now."""
        return now - stamp <= self._limits.no_explanation_s

    def condition(
        self,
        machine: MachineWatch,
        situations: Collection[Situation],
        explaining: bool,
        now: float,
    ) -> Condition:
        """No fruit for too long, or no explanation of them while workers explain."""
        limit_s = self._limits.no_explanation_s
        silent_s = now - max(self.reading_mono, self._expected_mono)
        known = machine.state is MachineState.RUNNING
        silence_limit_s = limit_s if known else max(limit_s, self._limits.unknown_silence_s)
        present = set(situations)
        value = 0.0
        detail: Detail | None = None
        if silent_s > silence_limit_s:
            value, detail = silent_s, Detail(Fact.NO_FRUIT, {"seconds": silent_s})
            present.discard(Situation.WORKERS_DEGRADED)  # they have no part in this
        elif explaining and self._flowing_mono is not None:
            newest = self.explained_mono
            if newest == -math.inf:
                limit_s = max(limit_s, FIRST_EXPLANATION_S)
            # Of empty cups there is nothing to explain: it is fruit that have gone unexplained.
            unexplained_s = self._fruit_mono - max(newest, self._flowing_mono, self._expected_mono)
            if unexplained_s > limit_s:
                value, detail = unexplained_s, self._unexplained(unexplained_s)
        return Condition(
            cause=Cause.AGENT_NO_DATA,
            subject=self._name,
            beyond=detail is not None,
            back=detail is None,
            value=value,
            limit=limit_s,
            detail=detail or "",
            suppressed_by=suppression_reason(Cause.AGENT_NO_DATA, present),
        )

    def _unexplained(self, seconds: float) -> Detail:
        if not self._failure:
            return Detail(Fact.NO_EXPLANATION, {"seconds": seconds})
        facts: dict[str, str | float] = {"seconds": seconds, "reason": self._failure}
        return Detail(Fact.NO_EXPLANATION_BECAUSE, facts)
