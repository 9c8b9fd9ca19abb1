"""How a condition becomes the sentence that an operator reads, in any language.

A language is one table (``english``, ``italian``), which has an ``AlarmText`` for every row of the
catalogue. Nothing else in the program holds words that an operator reads in an alarm.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.alarms.catalogue import AGENT, Cause, Definition
from agent.alarms.condition import Condition, Detail

NUMBERS = {"seconds": ".0f"}


class Fact(enum.StrEnum):
    """What a ``Detail`` can state; a language has a pattern for each."""

    CAMERA_STATE = "camera_state"
    SIGNAL = "signal"
    UNREADABLE = "unreadable"
    DARK = "dark"
    ONLY_DARK = "only_dark"
    UNREAD = "unread"
    OTHER_FRUIT = "other_fruit"
    READ_ELSEWHERE = "read_elsewhere"
    NO_FRUIT = "no_fruit"
    NO_EXPLANATION = "no_explanation"
    NO_EXPLANATION_BECAUSE = "no_explanation_because"
    WORKERS_SHORT = "workers_short"
    WORKERS_SHORT_BECAUSE = "workers_short_because"
    EXPLAINING_OFF = "explaining_off"
    SESSION_TAKEN = "session_taken"
    DISK_UNREACHED = "disk_unreached"
    DISK_HANGS = "disk_hangs"
    MODELS_DIFFER = "models_differ"


def signal_detail(signal: str, value: float, usual: tuple[float, float]) -> Detail:
    """A signal's mean, and what is usual for it."""
    low, high = usual
    return Detail(Fact.SIGNAL, {"signal": signal, "value": value, "low": low, "high": high})


@dataclass(frozen=True, slots=True)
class AlarmText:
    """``sentence`` is filled from the condition: ``{camera}``, ``{value}``, ``{limit}``,
    ``{window}``, ``{detail}``."""

    title: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """``ValueError`` where an alarm or a fact has no words.

    ``facts`` are filled from the values of a ``Detail``. ``findings`` are whole sentences, in place
    of the alarm's own, for what a diagnosis found. ``terms`` translates fixed words and reasons;
    what is not in it stays as it is, as words of other programs do.
    """

    alarms: Mapping[Cause, AlarmText]
    facts: Mapping[Fact, str]
    findings: Mapping[Fact, str]
    signals: Mapping[str, str]
    terms: Mapping[str, str] = field(default_factory=dict)
    normal: str
    cleared: str
    gone: str
    suppressed: str
    this_agent: str
    nothing_known: str
    unknown_share: str
    unknown_time: str
    decimal_point: str

    def __post_init__(self) -> None:
        missing = [*(set(Cause) - set(self.alarms)), *(set(Fact) - set(self.facts))]
        if missing:
            raise ValueError(f"no words for {', '.join(sorted(missing))}")

    def title(self, definition: Definition) -> str:
        """The alarm's name, as operators read it."""
        return self.alarms[definition.cause].title

    def sentence(self, definition: Definition, condition: Condition) -> str:
        """What an operator reads while the alarm is active."""
        fact = condition.detail.fact if isinstance(condition.detail, Detail) else ""
        pattern = self.findings.get(Fact(fact)) if fact else None
        return (pattern or self.alarms[definition.cause].sentence).format(
            camera=self._place(condition.subject),
            value=self._quantity(condition.value, definition.unit),
            limit=self._quantity(condition.limit, definition.unit),
            window=condition.window,
            detail=self.detail(condition.detail) or self.nothing_known,
        )

    def sentence_when_normal(self, definition: Definition, subject: str) -> str:
        """What an operator reads of an alarm that has not been active."""
        return self._about(self.normal, definition, subject)

    def sentence_when_cleared(self, definition: Definition, subject: str) -> str:
        """What an operator reads once it has been active and is not any more."""
        return self._about(self.cleared, definition, subject)

    def sentence_when_gone(self, definition: Definition, subject: str) -> str:
        """What an operator reads where the configuration no longer has what an alarm was about."""
        return self._about(self.gone, definition, subject)

    def _about(self, pattern: str, definition: Definition, subject: str) -> str:
        title = self.title(definition)
        return pattern.format(camera=self._place(subject), title=title[0].lower() + title[1:])

    def term(self, words: str) -> str:
        """A fixed word or reason in this language; ``words`` itself where there is no other."""
        return self.terms.get(words, words.replace("_", " "))

    def _place(self, subject: str) -> str:
        return self.this_agent if subject == AGENT else subject

    def detail(self, detail: Detail | str) -> str:
        """What is known beside the numbers; empty where nothing is."""
        if isinstance(detail, str):
            return self.terms.get(detail, detail)
        return self.facts[Fact(detail.fact)].format(
            **{name: self._shown(name, value) for name, value in detail.values.items()}
        )

    def _shown(self, name: str, value: str | float) -> str:
        if not isinstance(value, str):
            if name == "share":
                return self._quantity(value, "ratio")
            return self._number(f"{value:{NUMBERS.get(name, '.3g')}}")
        if name == "signal":
            return self.signals[value]
        return self.term(value) if name in ("state", "cause") else self.terms.get(value, value)

    def _number(self, text: str) -> str:
        return text.replace(".", self.decimal_point)

    def _quantity(self, value: float, unit: str) -> str:
        if not math.isfinite(value):
            return self.unknown_share if unit == "ratio" else self.unknown_time
        if unit == "ratio":
            share = 100 * value
            whole = value >= 0.1 or value == 0
            return self._number(f"{share:.0f} %" if whole else f"{share:.2g} %")
        if unit == "s" and value < 1:
            return f"{value * 1000:.0f} ms"
        return self._number(f"{value:.3g} {unit}".rstrip())
