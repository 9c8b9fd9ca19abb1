"""Commands that a Sparkplug host has written to tags: checked exactly as those of ``B/cmd/...``.

The text is the JSON object of the command on its topic. What the tag and the message say already
may be left out: ``alarm_id``, ``issued_ms`` (the time of the metric) and ``command_id`` (made from
both and the text, so that a message that comes twice is carried out once).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent.config import Commands
from agent.publishing.commands import MESSAGE_LIMIT_BYTES, CommandReader, Moment, answers_to_refused
from agent.publishing.connection.events import Received
from agent.publishing.sparkplug.writes import Written
from agent.records import Command, CommandOutcome
from agent.telemetry import Clock, Telemetry


@dataclass(frozen=True, slots=True)
class TagHooks:
    """Who is called. ``answer`` is for commands over the rate, which go to nobody else."""

    command: Callable[[Command], None]
    answer: Callable[[Command, CommandOutcome, str], None]


class TagCommands:
    """Turns what was written into commands; for the thread of the node's session."""

    def __init__(
        self,
        settings: Commands,
        telemetry: Telemetry,
        clock: Clock,
        utc_ms: Callable[[], int],
        hooks: TagHooks,
    ) -> None:
        self._reader = CommandReader(settings, base="")
        self._telemetry = telemetry
        self._over_rate = answers_to_refused(clock())
        self._clock = clock
        self._utc_ms = utc_ms
        self._hooks = hooks

    def written(self, write: Written) -> None:
        """Take what a host has written to one tag."""
        command = self.read(write)
        if command.refusal is not CommandOutcome.RATE_LIMITED:
            self._hooks.command(command)
        elif self._over_rate.take(self._clock()):
            self._hooks.answer(command, command.refusal, command.detail)
        else:
            self._telemetry.count("commands", command=command.name, outcome=command.refusal)

    def read(self, write: Written) -> Command:
        """Return the command; one with a ``refusal`` must not be carried out."""
        name, payload = _payload(write)
        event = Received(f"/cmd/{name}", payload, retained=False)
        command = self._reader.read(event, Moment(self._clock(), self._utc_ms()))
        if command.refusal is None and "event_id" not in command.arguments:
            command = replace(command, refusal=CommandOutcome.INVALID, detail="event_id is missing")
        return replace(command, tag=write.alarm_id, via="sparkplug")


class _Object(list[tuple[str, Any]]):
    """A JSON object as its pairs, for a key may stand in it twice."""


def _payload(write: Written) -> tuple[str, bytes]:
    """Return which command it is, and the text with what it left out; as it is where it is none."""
    as_it_is = write.command, write.text.encode()
    if len(as_it_is[1]) > MESSAGE_LIMIT_BYTES:
        return as_it_is
    try:
        pairs = json.loads(write.text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return as_it_is
    if not isinstance(pairs, _Object):
        return as_it_is
    said = dict(pairs)
    command = write.command
    if command == "shelve" and said.get("duration_s") == 0 and said["duration_s"] is not False:
        command = "unshelve"
        pairs = _Object(pair for pair in pairs if pair[0] != "duration_s")
    if said.get("alarm_id") != write.alarm_id:  # another one becomes a key that stands there twice
        pairs.append(("alarm_id", write.alarm_id))
    if write.issued_ms:
        digest = hashlib.sha256(f"{write.alarm_id}/{write.command} {write.text}".encode())
        pairs += [
            (key, value)
            for key, value in (
                ("command_id", f"tag-{write.issued_ms}-{digest.hexdigest()[:16]}"),
                ("issued_ms", write.issued_ms),
            )
            if key not in said
        ]
    return command, _text(pairs).encode()


def _text(pairs: Any) -> str:
    """Write JSON again, pair by pair: what stood there twice does so still."""
    if isinstance(pairs, _Object):
        inside = ",".join(f"{json.dumps(key)}:{_text(value)}" for key, value in pairs)
        return f"{{{inside}}}"
    if isinstance(pairs, list):
        return f"[{','.join(map(_text, pairs))}]"
    return json.dumps(pairs)
