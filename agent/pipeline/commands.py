"""Operators' commands: to the alarm manager, the sampler of explanations, the machine's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from agent.alarms.lifecycle.manager import AlarmManager
from agent.nearest import unknown
from agent.records import Command, CommandOutcome, CommandResult, MachineInfo, Origin
from agent.storage.audit import AuditRow
from agent.storage.store import Store
from agent.telemetry import Clock

DETAIL_CHARS = 300


@dataclass(frozen=True, slots=True)
class CommandTargets:
    """What commands act on beside the alarms. ``explain`` returns false for a lane of which there
    are no pictures; ``lanes`` are the names of all, ``varieties`` those that have a reference."""

    explain: Callable[[str], bool]
    sampling: Callable[[float], None]
    machine: Callable[[], MachineInfo]
    set_machine: Callable[[MachineInfo], None]
    lanes: Collection[str] = ()
    varieties: Collection[str] = ()


class CommandHandler:
    """Every command is answered, and audited with its answer."""

    def __init__(
        self,
        manager: AlarmManager,
        targets: CommandTargets,
        store: Store,
        clock: Clock,
        utc_ms: Callable[[], int],
    ) -> None:
        self._manager = manager
        self._targets = targets
        self._store = store
        self._clock = clock
        self._utc_ms = utc_ms

    def change_lanes(self, lanes: Collection[str]) -> None:
        """Know these lanes from now on."""
        self._targets = replace(self._targets, lanes=tuple(lanes))

    def __call__(self, command: Command) -> CommandResult:
        """Carry out one command; called by the thread that owns the manager."""
        if command.refusal is not None:
            return CommandResult(command.refusal, detail=command.detail)
        if self._store.audit.carried_out(command.command_id):
            return CommandResult(
                CommandOutcome.ALREADY, detail="a command with this id was carried out"
            )
        arguments = command.arguments
        match command.name:
            case "explain":
                camera = str(arguments["camera"])
                if self._targets.explain(camera):
                    return _done()
                if camera in self._targets.lanes:
                    return _refused(f"{camera}: no pictures, or no workers to explain them")
                return _refused(unknown("camera", camera, self._targets.lanes)[:DETAIL_CHARS])
            case "sampling":
                self._targets.sampling(float(arguments["period_s"]))
                return _done()
            case "variety":
                lot = str(arguments["lot"]) or None
                machine = replace(
                    self._targets.machine(),
                    variety=str(arguments["variety"]),
                    lot=lot,
                    received_utc_ms=self._utc_ms(),
                    machine_timestamp_ms=0,
                    arrived_mono=self._clock(),
                    lane=None,
                    origin=Origin.OPERATOR,
                )
                self._targets.set_machine(machine)
                return CommandResult(CommandOutcome.DONE, detail=self._uncharted(machine.variety))
        return self._alarm(command)

    def set_varieties(self, varieties: Collection[str]) -> None:
        """Which varieties have a reference from now on."""
        self._targets = replace(self._targets, varieties=tuple(varieties))

    def _uncharted(self, variety: str | None) -> str:
        """What whoever announced a variety should know where nothing can be charted of it."""
        varieties = self._targets.varieties
        if variety is None or not varieties or variety in varieties:
            return ""
        hint = f"its charts are held: no reference; {unknown('variety', variety, varieties)}"
        return hint[:DETAIL_CHARS]

    def _alarm(self, command: Command) -> CommandResult:
        now = (self._clock(), self._utc_ms())
        arguments, user, manager = command.arguments, command.user, self._manager
        alarm_id, event_id = str(arguments.get("alarm_id", "")), str(arguments.get("event_id", ""))
        match command.name:
            case "ack":
                return manager.acknowledge(alarm_id, event_id, user, *now)
            case "comment":
                return manager.comment(alarm_id, event_id, str(arguments["text"]), *now)
            case "shelve":
                return manager.shelve(
                    alarm_id, float(arguments["duration_s"]), user, *now, event_id=event_id
                )
            case "unshelve":
                return manager.unshelve(alarm_id, user, *now, event_id=event_id)
            case "disable":
                return manager.take_out_of_service(alarm_id, user, *now)
            case "enable":
                return manager.put_into_service(alarm_id, user, *now)
        return _refused("no such command")

    def audit(self, command: Command, result: CommandResult) -> None:
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
                via=command.via,
            )
        )


def _done() -> CommandResult:
    return CommandResult(CommandOutcome.DONE)


def _refused(reason: str) -> CommandResult:
    return CommandResult(CommandOutcome.REFUSED, detail=reason)
