"""The tags that a host may write to: one alarm's acknowledgement, shelving and comment. Pure.

Their text names the occurrence that is meant. A plain switch could not: the alarm may have come and
gone and come again between the operator's look and the node's, and the wrong one would be
acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.publishing.sparkplug.codec import Control

FOLDER = "Alarms"
WRITABLE = ("ack", "shelve", "comment")
"""Last level of the names, and the command that a text is for."""
ANSWER = "Commands/answer"
"""The node's tag that says what each write came to: one for all alarms, to keep births small."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a host has written to one tag. ``issued_ms``: its Unix time in ms, 0 without one."""

    alarm_id: str
    command: str
    text: str
    issued_ms: int


def tag_name(alarm_id: str, attribute: str) -> str:
    """Return the name of an alarm's tag; alarms are tags of the node."""
    return f"{FOLDER}/{alarm_id}/{attribute}"


def written(name: str, control: Control, writable: tuple[str, ...]) -> Written | None:
    """Return what was written to the tag of that name; None when it is none to write to."""
    folder, _, rest = name.partition("/")
    alarm_id, _, command = rest.partition("/")
    if folder != FOLDER or command not in writable:
        return None
    # What is no text is refused like text that makes no sense, so that it is answered.
    return Written(alarm_id, command, control.text or "", control.timestamp_ms)
