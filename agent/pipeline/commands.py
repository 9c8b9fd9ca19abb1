"""Carries out what operators ask for: on the alarm book, the explanations, the machine's state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.alarms.lifecycle.commands import CommandResult, Outcome
from agent.alarms.lifecycle.manager import AlarmBook
from agent.records import Command, MachineInfo
from agent.storage.audit import AuditRow
from agent.storage.store import Store
from agent.telemetry import Clock


@dataclass(frozen=True, slots=True)
class Levers:
    """What commands move beside the alarms. ``explain``: false for a camera that there is not."""

    explain: Callable[[str], bool]
    sampling: Callable[[float], None]
    machine: Callable[[], MachineInfo]
    set_machine: Callable[[MachineInfo], None]


class Obey:
    """Every command is answered, and written down with its answer."""

    def __init__(
        self,
        book: AlarmBook,
        levers: Levers,
        store: Store,
        clock: Clock,
        utc_ms: Callable[[], int],
    ) -> None:
        self._book = book
        self._levers = levers
        self._store = store
        self._clock = clock
        self._utc_ms = utc_ms

    def __call__(self, command: Command) -> CommandResult:
        """Carry out one command; for the thread that owns the book."""
        if command.refusal is not None:
            return CommandResult(command.refusal, detail=command.detail)
        if self._store.audit.carried_out(command.command_id):
            return CommandResult(Outcome.ALREADY, detail="a command with this id was carried out")
        said = command.arguments
        match command.name:
            case "explain":
                done = self._levers.explain(str(said["camera"]))
                return _done() if done else _refused("no pictures of such a camera")
            case "sampling":
                self._levers.sampling(float(said["period_s"]))
                return _done()
            case "variety":
                lot = str(said["lot"]) or None
                machine = replace(
                    self._levers.machine(),
                    variety=str(said["variety"]),
                    lot=lot,
                    received_utc_ms=self._utc_ms(),
                )
                self._levers.set_machine(machine)
                return _done()
        return self._alarm(command)

    def _alarm(self, command: Command) -> CommandResult:
        now = (self._clock(), self._utc_ms())
        said, user, book = command.arguments, command.user, self._book
        alarm_id, event_id = str(said.get("alarm_id", "")), str(said.get("event_id", ""))
        match command.name:
            case "ack":
                return book.acknowledge(alarm_id, event_id, user, *now)
            case "comment":
                return book.comment(alarm_id, event_id, str(said["text"]), *now)
            case "shelve":
                return book.shelve(alarm_id, float(said["duration_s"]), user, *now)
            case "unshelve":
                return book.unshelve(alarm_id, user, *now)
            case "disable":
                return book.take_out_of_service(alarm_id, user, *now)
            case "enable":
                return book.put_into_service(alarm_id, user, *now)
        return _refused("no such command")

    def write_down(self, command: Command, result: CommandResult) -> None:
        """Add the command and its answer to the audit table."""
        self._store.audit.add(
            AuditRow(
                received_utc_ms=command.received_utc_ms,
                command=command.name,
                command_id=command.command_id,
                user=command.user,
                arguments=json.dumps(dict(command.arguments)),
                outcome=result.outcome.value,
                detail=result.detail,
            )
        )


def _done() -> CommandResult:
    return CommandResult(Outcome.DONE)


def _refused(why: str) -> CommandResult:
    return CommandResult(Outcome.REFUSED, detail=why)
