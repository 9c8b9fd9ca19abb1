"""What an operator's command came to."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Alarm, CommandOutcome

Outcome = CommandOutcome


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer to one command, and the records that it made."""

    outcome: Outcome
    records: tuple[Alarm, ...] = ()
    detail: str = ""
