"""What the HTTP server may ask of the agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView
from agent.records import CameraState, MachineInfo


@dataclass(frozen=True, slots=True)
class AppState:
    """The agent as the server sees it. Every callable but ``kept_evidence``, ``history`` and
    ``past_alarms``, which read the disk, answers from memory and within milliseconds.

    ``view``, ``on_machine`` and those that read the disk are called in a worker thread, ``view`` at
    most a few times a second however many look; ``kept_evidence`` gives content type and bytes of
    the picture behind an occurrence, None without one; ``history`` the last hours of a lane and
    ``past_alarms`` the newest occurrences of alarms, as JSON types. ``sources`` is called, and the
    ages of the loops are read, on the server's own loop, so neither must take a lock that another
    loop may hold for long: a stalled loop is just what they report.
    """

    view: Callable[[], AgentView]
    sources: Callable[[], Mapping[str, CameraState]]
    on_machine: Callable[[MachineInfo], None]
    newest: Newest
    telemetry: PrometheusTelemetry
    kept_evidence: Callable[[str], tuple[str, bytes] | None]
    history: Callable[[str], Mapping[str, object]] = lambda _lane: {}
    past_alarms: Callable[[], Mapping[str, object]] = dict
    descriptions: Mapping[str, object] = field(default_factory=dict)  # of topics, as JSON types
