"""The state of an alarm, and the commands that operators give."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class AlarmState(enum.StrEnum):
    """After ISA-18.2; ``active`` in the record is always the condition itself."""

    NORM = "NORM"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTN_UNACK = "RTN_UNACK"
    SHELVED = "SHELVED"
    SUPPRESSED = "SUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


class Quality(enum.StrEnum):
    """Quality of a value on the wire."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


UNEVENTFUL = frozenset({"initial", "quality"})
"""Values of ``Alarm.transition`` where nothing has happened: the state is said (anew), that is all.
They are no events: they carry the ``seq`` of the newest event, and nobody is told but by state."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The whole state of one alarm after one transition; 0 in a ``_ms`` field means 'not so'.

    The fields are named as on the wire. ``camera_id`` is what the alarm is about: a lane, a camera,
    or ``agent``.
    """

    alarm_id: str
    title: str
    source: str
    camera_id: str
    event_id: str
    state: AlarmState
    active: bool
    acked: bool
    shelved: bool
    suppressed: bool
    severity: int
    priority: str
    message: str
    value: float
    limit: float
    deadband: float
    unit: str
    quality: Quality
    count: int
    active_since_ms: int
    cleared_at_ms: int
    acked_at_ms: int
    shelved_until_ms: int
    acked_by: str
    comment: str
    evidence_topic: str
    evidence_url: str
    frame_id: str
    model: str
    on_delay_s: float
    off_delay_s: float
    timestamp_ms: int
    transition: str  # why this record was made: raised, cleared, acked, suppressed ...
    seq: int  # gapless per agent over the events of all alarms
    captured_mono: float = 0.0  # of the frame behind the transition; 0 when there is none
    suppressed_by: str = ""  # why it is suppressed, in words; part of ``message`` too
    quiet: bool = False  # of an occurrence that nobody was told of, which changes that only

    @property
    def is_event(self) -> bool:
        """Whether anything has happened that people are told of by more than the state."""
        return not (self.quiet or self.transition in UNEVENTFUL)


# --- commands ------------------------------------------------------------------------------------


class CommandOutcome(enum.StrEnum):
    """What an operator's command came to."""

    DONE = "done"
    ALREADY = "already"  # the same command was carried out before
    STALE = "stale"  # it names an occurrence that is not the newest one
    UNKNOWN = "unknown_alarm"
    REFUSED = "refused"  # out of range, or of something that is not there
    EXPIRED = "expired"
    RETAINED = "retained"
    INVALID = "invalid"
    NOT_ALLOWED = "not_allowed"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Command:
    """One command from a topic or a tag. With a ``refusal`` it is only to be answered.

    ``arguments`` are checked by the command's table; ``name`` is "other" for one that there is not.
    ``response_topic`` empty: the answer goes to the agent's own topic of results. ``tag``: the
    alarm whose Sparkplug tag was written, where the answer goes instead; empty for one of a topic.
    ``via``: from where it was asked, for the audit: mqtt, sparkplug, or the page and an address.
    """

    name: str
    command_id: str
    user: str
    arguments: Mapping[str, str | int | float]
    received_utc_ms: int
    response_topic: str = ""
    correlation: bytes = b""
    refusal: CommandOutcome | None = None
    detail: str = ""
    tag: str = ""
    via: str = "mqtt"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer to one command, and the records of the transitions that it made."""

    outcome: CommandOutcome
    records: tuple[Alarm, ...] = ()
    detail: str = ""
