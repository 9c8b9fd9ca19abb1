"""The judgement of one cause on one lane: the input of the life cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.records import Quality


@dataclass(frozen=True, slots=True)
class Detail:
    """What goes into a sentence beside the numbers, in no language yet: which ``fact`` (a
    ``language.Fact``), and its values by the names that the languages' patterns use."""

    fact: str
    values: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """The newest judgement of one cause on one lane.

    ``lane`` is ``agent`` for the agent as a whole, and a camera's name where the device is judged.
    ``beyond``: the condition is true; None: it is unknown, and the state holds. ``back``: it is
    false by more than the deadband, so that an active alarm may clear. ``samples`` counts the
    samples behind it and never falls; a delay in samples waits for it to rise. ``window`` is how
    many of them ``value`` is made of.

    ``suppressed_by`` is the reason of suppression by design; empty when there is none. ``detail``
    goes into the sentence; it is a str where the words are those of another program. ``frame_id``
    and ``captured_*`` are those of the newest frame that was judged.
    """

    cause: str
    lane: str
    beyond: bool | None
    back: bool = False
    value: float = 0.0
    limit: float = 0.0
    deadband: float = 0.0
    quality: Quality = Quality.GOOD
    samples: int = 0
    window: int = 0
    detail: Detail | str = ""
    suppressed_by: str = ""
    frame_id: str = ""
    model: str = ""
    captured_utc_ms: int = 0
    captured_mono: float = 0.0

    @property
    def alarm_id(self) -> str:
        return f"{self.cause}-{self.lane}"
