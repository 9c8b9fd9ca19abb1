"""What operators do on the page: checked, carried out, audited as commands of ``B/cmd/...``."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from agent.config import Commands, Config
from agent.observability.http.app_state import Acted
from agent.publishing.commands import CommandReader, Moment
from agent.publishing.connection.events import Received
from agent.records import Command, CommandOutcome, CommandResult
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

ACTIONS = ("ack", "comment", "shelve", "unshelve", "explain")
"""Commands that the page may give, where ``commands.allow`` has them."""
ANSWER_S = 3.5
"""Longer than a disk that hangs is waited for, shorter than the client waits."""
STOPS = "the agent stops"
LATE = f"not carried out within {ANSWER_S:g} s, and may be yet"


def page_actions(config: Config) -> tuple[str, ...]:
    """Return what may be done on the page by who has the token; empty without one."""
    if not (config.http.enabled and config.http.page and config.http.actions.token):
        return ()
    return tuple(name for name in ACTIONS if name in config.commands.allow)


@dataclass(slots=True)
class _Waiting:
    """One action under way."""

    done: threading.Event = field(default_factory=threading.Event)
    result: CommandResult | None = None


class PageActions:
    """Hands actions to the thread of the alarms and waits for its answer; from any thread.

    A token bucket of its own, of ``commands.per_s``: a flood at the broker locks nobody out here.
    """

    def __init__(
        self,
        settings: Commands,
        post: Callable[[Command], None],
        telemetry: Telemetry,
        clock: Clock,
        utc_ms: Callable[[], int],
    ) -> None:
        self._reader = CommandReader(settings, base="")
        self._post = post
        self._telemetry = telemetry
        self._clock = clock
        self._utc_ms = utc_ms
        self._lock = threading.Lock()
        self._waiting: dict[bytes, _Waiting] = {}
        self._ended = False

    def configure(self, settings: Commands) -> None:
        """Take commands by other settings from now on."""
        with self._lock:
            self._reader = CommandReader(settings, base="")

    def act(self, name: str, body: bytes, address: str) -> Acted:
        """Carry out one action: its name, its JSON object as on the topic, and who asks."""
        number, mine = secrets.token_bytes(8), _Waiting()
        with self._lock:
            if self._ended:
                return Acted(None, STOPS)
            moment = Moment(self._clock(), self._utc_ms())
            command = self._reader.read(Received(f"/cmd/{name}", body, retained=False), moment)
            command = replace(command, correlation=number, via=f"page {address}")
            if command.refusal is CommandOutcome.RATE_LIMITED:  # never more work than the rate
                self._count(command, command.refusal)
                return Acted(command.refusal, command.detail)
            if command.refusal is None and name not in ACTIONS:
                not_here = "not from the page"
                command = replace(command, refusal=CommandOutcome.NOT_ALLOWED, detail=not_here)
            self._waiting[number] = mine
        self._post(command)
        mine.done.wait(ANSWER_S)
        with self._lock:
            self._waiting.pop(number, None)
        if mine.result is None:
            return Acted(None, LATE)
        return Acted(mine.result.outcome, mine.result.detail)

    def answered(self, command: Command, result: CommandResult, *, counted: bool) -> None:
        """A command has its answer, which is committed; ``counted``: as commands are."""
        with self._lock:
            mine = self._waiting.get(command.correlation)
        if not command.via.startswith("page "):
            return
        if not counted:
            self._count(command, result.outcome)
        log_event(
            logger,
            logging.INFO,
            "page_action",
            command=command.name,
            user=command.user,
            via=command.via,
            outcome=result.outcome.value,
            detail=result.detail,
        )
        if mine is not None:
            mine.result = result
            mine.done.set()

    def end(self) -> None:
        """The agent stops: what was handed over is answered still, and nothing more is taken."""
        with self._lock:
            self._ended = True

    def _count(self, command: Command, outcome: CommandOutcome) -> None:
        self._telemetry.count("commands", command=command.name, outcome=outcome)
