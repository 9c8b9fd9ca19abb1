"""What an operator may ask for on ``B/cmd/...``, checked before anything acts on it. Pure.

A command is one flat JSON object: ``command_id`` (the asker's own, never used twice), ``issued_ms``
(Unix time in ms), ``user``, and what the command needs; nothing else. Whatever is wrong with it,
the asker is answered with an outcome and a sentence. What is retained is refused: it would be
carried out again at every connect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.config import Commands
from agent.publishing.connection.events import Received
from agent.records import Command, CommandOutcome
from agent.strict_json import read_object
from agent.token_bucket import TokenBucket
from agent.unix_time import meant_ms

MESSAGE_LIMIT_BYTES = 4096
BURST = 20
REFUSED_EVERY_S = 10.0
"""Of commands over the rate, and of retained ones, one is answered so often: answers to all of them
would be a flood of our own."""
RESPONSE_TOPIC_LIMIT = 200
RESULT = "result"
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_ALARM_ID = re.compile(r"[A-Za-z0-9_-]{1,120}")
_CAMERA = re.compile(r"[A-Za-z0-9_-]{1,40}")
_LATER_MS = 2**53 - 1


class CommandError(ValueError):
    """Something about a command that its asker has to change; the text names the key."""


def _text(longest: int, *, empty: bool = False) -> Callable[[object], str]:
    def check(value: object) -> str:
        printable = isinstance(value, str) and value.isprintable() and len(value) <= longest
        if not printable or not (empty or value):
            least = 0 if empty else 1
            raise CommandError(f"must be printable text of {least} to {longest} characters")
        assert isinstance(value, str)
        return value

    return check


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise CommandError(f"must match {pattern.pattern}")
        return value

    return check


def _seconds(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CommandError(f"must be a number from {low:g} to {high:g}")
        if not low <= value <= high:
            hint = "; in milliseconds? seconds are meant" if high < value <= 1000 * high else ""
            raise CommandError(f"must be a number from {low:g} to {high:g}{hint}")
        return float(value)

    return check


def _whole(value: object) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not 0 <= value <= _LATER_MS:  # type: ignore[operator]
        raise CommandError("must be a whole number of milliseconds")
    assert isinstance(value, int | float)
    return int(value)


Check = Callable[[object], str | int | float]
COMMON: Mapping[str, Check] = {
    "command_id": _matching(_ID),
    "issued_ms": _whole,
    "user": _text(60),
}
_ALARM: Mapping[str, Check] = {"alarm_id": _matching(_ALARM_ID)}
_OCCURRENCE: Mapping[str, Check] = {**_ALARM, "event_id": _matching(_ID)}
FIELDS: Mapping[str, Mapping[str, Check]] = {
    "ack": _OCCURRENCE,
    "comment": {**_OCCURRENCE, "text": _text(200, empty=True)},
    "shelve": {**_ALARM, "duration_s": _seconds(1, 86_400)},
    "unshelve": _ALARM,
    "disable": _ALARM,
    "enable": _ALARM,
    "explain": {"camera": _matching(_CAMERA)},
    "sampling": {"period_s": _seconds(0.1, 86_400)},
    "variety": {"variety": _text(64), "lot": _text(64, empty=True)},
}
"""Every command and what it needs beside ``COMMON``; every key is required."""
OPTIONAL: Mapping[str, Mapping[str, Check]] = {
    name: {"event_id": _matching(_ID)} for name in ("shelve", "unshelve")
}
"""What a command may name besides: the occurrence, which must then be the newest."""


def parse(name: str, payload: bytes) -> tuple[Mapping[str, str | int | float], str]:
    """Return what a payload holds and what is wrong with it (empty: nothing).

    What could be read is returned even then, so that the answer names the command it belongs to.
    """
    read = read_object(payload, MESSAGE_LIMIT_BYTES)
    optional = OPTIONAL.get(name, {})
    fields = {**COMMON, **FIELDS[name], **optional}
    values: dict[str, str | int | float] = {}
    wrong = [f"unknown key {key[:40]!r}" for key in read.values if key not in fields]
    for key, check in fields.items():
        if key not in read.values:
            if key not in optional:
                wrong.append(f"{key} is missing")
            continue
        try:
            values[key] = check(read.values[key])
        except CommandError as error:
            wrong.append(f"{key} {error}")
    return values, (read.wrong or "; ".join(wrong))[:300]


def answers_to_refused(now: float) -> TokenBucket:
    """Return who says which of the commands that are refused for one reason is answered."""
    return TokenBucket(1.0 / REFUSED_EVERY_S, 1.0, now)


@dataclass(frozen=True, slots=True)
class Moment:
    """Monotonic seconds and Unix milliseconds of one moment."""

    mono: float
    utc_ms: int


class CommandReader:
    """Turns what arrives below ``B/cmd/`` into commands; ``refusal`` says why one is none."""

    def __init__(self, settings: Commands, base: str) -> None:
        self._settings = settings
        self._base = base
        self._prefix = f"{base}/cmd/"
        self._bucket = TokenBucket(settings.per_s, BURST, now=0.0)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics of every command that there is, allowed or not."""
        return tuple(self._prefix + name for name in FIELDS)

    def concerns(self, topic: str) -> bool:
        """Whether a topic is that of a command, rather than of our own answers."""
        return topic.startswith(self._prefix) and topic != self._prefix + RESULT

    def read(self, event: Received, now: Moment) -> Command:
        """Return the command; one with a ``refusal`` must not be carried out."""
        name = event.topic.removeprefix(self._prefix)
        known = name in FIELDS
        values, wrong = parse(name, event.payload) if known else ({}, "")
        refusal, detail = self._refusal(name, event, values, wrong, now)
        arguments = {key: value for key, value in values.items() if key not in COMMON}
        return Command(
            name=name if known else "other",
            command_id=str(values.get("command_id", "")),
            user=str(values.get("user", "")),
            arguments=arguments,
            received_utc_ms=now.utc_ms,
            response_topic=self._response_topic(event.response_topic),
            correlation=event.correlation,
            refusal=refusal,
            detail=detail,
        )

    def _refusal(
        self,
        name: str,
        event: Received,
        values: Mapping[str, str | int | float],
        wrong: str,
        now: Moment,
    ) -> tuple[CommandOutcome | None, str]:
        if event.retained:  # before the rate: those of a connect must not use it up
            return CommandOutcome.RETAINED, "a retained command would come again at every connect"
        if not self._bucket.take(now.mono):
            return CommandOutcome.RATE_LIMITED, f"more than {self._settings.per_s:g} a second"
        if name not in FIELDS:
            return CommandOutcome.INVALID, f"no such command; there are {', '.join(FIELDS)}"
        if wrong:
            return CommandOutcome.INVALID, wrong
        if name not in self._settings.allow:
            return CommandOutcome.NOT_ALLOWED, "not in commands.allow of this agent"
        issued_ms = int(values["issued_ms"])
        age_s = (now.utc_ms - issued_ms) / 1000
        unit = meant_ms(issued_ms, now.utc_ms)
        hint = f"; issued_ms {unit}" if unit else ""
        if age_s > self._settings.max_age_s:
            return CommandOutcome.EXPIRED, f"issued {age_s:.0f} s ago{hint}"
        if age_s < -self._settings.max_age_s:
            ahead = f"issued_ms is {-age_s:.0f} s ahead of this computer"
            return CommandOutcome.INVALID, f"{ahead}{hint}"
        return None, ""

    def _response_topic(self, topic: str) -> str:
        """Return where to answer: never where others expect what this agent says of itself."""
        wild = any(sign in topic for sign in "+#\0")
        inside = topic == self._base or topic.startswith((f"{self._base}/", "$", "spBv1.0/"))
        if not topic or wild or inside or len(topic) > RESPONSE_TOPIC_LIMIT:
            return ""
        return topic
