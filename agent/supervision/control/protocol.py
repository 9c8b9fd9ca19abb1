"""What goes over the control socket: one line of JSON each way. Pure.

Request ``{"command": "...", "arguments": {...}}``; answer ``{"ok": true, "result": {...}}``, or
``{"ok": false, "error": "..."}`` with the agent's own words.
"""

from __future__ import annotations

import json
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.strict_json import read_object

SOCKET = "control.sock"
REQUEST_LIMIT_BYTES = 64 * 1024
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
KEYS = {"command", "arguments"}


class ControlError(Exception):
    """A question that got no answer, or the agent's refusal, in words for a person."""


class NotRunningError(ControlError):
    """There is no agent that could answer."""


class RefusedError(ControlError):
    """The agent will not or cannot do it. Handlers raise it; ``str`` is the reason."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, by the kernel's word when it connected."""

    uid: int
    pid: int

    @property
    def who(self) -> str:
        """As the kernel and the machine's list of users know it: ``uid 1000 (name)``."""
        try:
            return f"uid {self.uid} ({pwd.getpwuid(self.uid).pw_name})"
        except KeyError:
            return f"uid {self.uid}"


@dataclass(frozen=True, slots=True)
class Request:
    """``arguments``: of JSON types; each handler checks its own."""

    command: str
    arguments: Mapping[str, object] = field(default_factory=dict)


def encode_request(request: Request) -> bytes:
    """One line. ``ControlError`` for one that is too long or holds what JSON cannot."""
    try:
        line = _line({"command": request.command, "arguments": dict(request.arguments)})
    except (TypeError, ValueError) as error:
        raise ControlError(f"{request.command}: cannot be sent: {error}") from error
    if len(line) > REQUEST_LIMIT_BYTES:
        raise ControlError(f"{request.command}: longer than {REQUEST_LIMIT_BYTES} bytes")
    return line


def decode_request(line: bytes) -> Request:
    """``ControlError`` says what is wrong with it."""
    read = read_object(line, REQUEST_LIMIT_BYTES)
    if read.wrong:
        raise ControlError(f"the request is {read.wrong}")
    command, arguments = read.values.get("command"), read.values.get("arguments", {})
    if not isinstance(command, str):
        raise ControlError("the request names no command")
    if not isinstance(arguments, dict):
        raise ControlError(f"{command[:40]}: its arguments are no object")
    if more := sorted(set(read.values) - KEYS):
        raise ControlError(f"{command[:40]}: unknown key {more[0][:40]!r}")
    return Request(command, arguments)


def encode_result(result: Mapping[str, object]) -> bytes:
    """One line. ``ValueError`` or ``TypeError`` for what JSON cannot hold or what is too long."""
    line = _line({"ok": True, "result": dict(result)})
    if len(line) > ANSWER_LIMIT_BYTES:
        raise ValueError(f"an answer of more than {ANSWER_LIMIT_BYTES} bytes")
    return line


def encode_error(words: str) -> bytes:
    return _line({"ok": False, "error": words[:4000]})


def decode_answer(line: bytes) -> dict[str, object]:
    """The result. ``RefusedError`` with the agent's words, ``ControlError``: no proper answer."""
    read = read_object(line, ANSWER_LIMIT_BYTES)
    if read.wrong:
        raise ControlError(f"the agent's answer is {read.wrong}")
    error, result = read.values.get("error"), read.values.get("result")
    if read.values.get("ok") is True and isinstance(result, dict):
        return result
    raise RefusedError(error) if isinstance(error, str) else ControlError("the answer says nothing")


def _line(values: Mapping[str, object]) -> bytes:
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode() + b"\n"
