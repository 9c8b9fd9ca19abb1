"""What the stages call once they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.observability.view import AgentView
from agent.pipeline.explain import Result
from agent.pipeline.live import FrameHandlers
from agent.records import Alarm, Command, CommandResult, MachineInfo, Selection


class Handlers(FrameHandlers, Protocol):
    """What the stages call once they run. No call waits, but those that store."""

    def on_result(self, result: Result, selection: Selection) -> None:
        """An explanation has ended, well or not."""

    def on_machine(self, machine: MachineInfo) -> None:
        """The machine, or an operator, says what it does."""

    def machine(self) -> MachineInfo:
        """Return what the machine said last."""

    def on_alarms(self, alarms: Sequence[Alarm]) -> None:
        """Alarms have changed: all that one tick made, in order."""

    def on_answer(self, command: Command, result: CommandResult) -> None:
        """A command was carried out or refused."""

    def on_tick(self) -> None:
        """Called several times a second by the thread of the alarms."""

    def view(self) -> AgentView:
        """Return the whole state of this moment."""
