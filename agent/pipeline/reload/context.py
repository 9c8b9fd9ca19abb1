"""What a reload is given: where the configuration comes from, and the running agent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Config
from agent.config.load import Loaded
from agent.observability.logging.logs import Logs
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline.build import Stages
from agent.records import MachineInfo
from agent.telemetry import Clock


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """``read`` reads the file anew, with the options of the command line, and checks it whole
    (``ConfigErrors``); it is given the configuration in force. None: there is no file."""

    read: Callable[[Config], Loaded] | None = None
    logs: Logs | None = None


@dataclass(frozen=True, slots=True)
class ReloadContext:
    """The running agent, as far as a reload concerns it. ``varieties`` are kept by lane."""

    stages: Stages
    telemetry: PrometheusTelemetry
    clock: Clock
    machine: Callable[[], MachineInfo]
    varieties: dict[str | None, str]
