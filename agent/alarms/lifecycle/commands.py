"""The outcome of an operator's command."""

from __future__ import annotations

from dataclasses import dataclass

from agent.records import Alarm, CommandOutcome

Outcome = CommandOutcome


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The answer to one command, and the records of the transitions that it made."""

    outcome: Outcome
    records: tuple[Alarm, ...] = ()
    detail: str = ""
