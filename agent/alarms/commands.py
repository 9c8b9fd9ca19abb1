"""What an operator's command came to."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.records import Alarm


class Outcome(enum.StrEnum):
    DONE = "done"
    ALREADY = "already"  # the same command was carried out before
    STALE = "stale"  # it names an occurrence that is not the newest one
    UNKNOWN = "unknown_alarm"
    REFUSED = "refused"  # out of range; ``detail`` says what is allowed


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer to one command, and the records that it made."""

    outcome: Outcome
    records: tuple[Alarm, ...] = ()
    detail: str = ""
