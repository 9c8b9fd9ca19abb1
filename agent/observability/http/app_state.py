"""What the HTTP server may ask of the agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.observability.newest import Newest
from agent.observability.page.words import Words, load_words
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView
from agent.records import CameraState, CommandOutcome, MachineInfo


@dataclass(frozen=True, slots=True)
class Acted:
    """What an operator's action came to; without an outcome the agent has not answered."""

    outcome: CommandOutcome | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AppState:
    """The agent as the server sees it. Every callable but ``kept_evidence``, ``history`` and
    ``past_alarms``, which read the disk, answers from memory and within milliseconds.

    ``view``, ``on_machine`` and those that read the disk are called in a worker thread, ``view`` at
    most a few times a second however many look; ``kept_evidence`` gives content type and bytes of
    the picture behind an occurrence, None without one; ``history`` the last hours of a lane and
    ``past_alarms`` the newest occurrences of alarms, as JSON types. ``act`` carries out one command
    of an operator (its name, its JSON, the address that asked), and waits for the alarms' thread
    for a few seconds at most. ``sources`` is called, and the
    ages of the loops are read, on the server's own loop, so neither must take a lock that another
    loop may hold for long: a stalled loop is just what they report.
    """

    view: Callable[[], AgentView]
    sources: Callable[[], Mapping[str, CameraState]]
    on_machine: Callable[[MachineInfo], None]
    newest: Newest
    telemetry: PrometheusTelemetry
    kept_evidence: Callable[[str], tuple[str, bytes] | None]
    act: Callable[[str, bytes, str], Acted] = lambda *_: Acted(None, "nobody takes actions")
    history: Callable[[str], Mapping[str, object]] = lambda _lane: {}
    past_alarms: Callable[[], Mapping[str, object]] = dict
    descriptions: Mapping[str, object] = field(default_factory=dict)  # of topics, as JSON types
    words: Words = field(default_factory=load_words)  # of the page
