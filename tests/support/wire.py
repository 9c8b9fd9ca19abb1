"""Checks every JSON message that a test captures, as the strictest subscriber would.

``Observer`` feeds a ``Recorder`` and asks it at its end, so a test that watches the wire validates
all of it, whatever it was about: the schema of the topic, the lexical rules that no schema can see,
the size, and that neither the keys of a topic nor the types of their values ever change.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from agent.publishing.schemas import load_schema
from tests.publishing.lexical import check_lexically

MESSAGE_LIMIT_BYTES = 100 * 1024
BASE = re.compile(r"^[\w-]+/v1(?:/[A-Za-z0-9_-]{1,40}){5}/")
SCHEMAS: tuple[tuple[str, str], ...] = (
    (r"status", "status"),
    (r"meta", "meta"),
    (r"metric/[\w-]+/[\w-]+", "metric"),
    (r"fruit/[\w-]+", "fruit"),
    (r"explanation/[\w-]+", "explanation"),
    (r"cam/[\w-]+/[\w-]+/meta", "cam_meta"),
    (r"alarm/[\w-]+", "alarm"),
    (r"event/alarm", "event_alarm"),
    (r"cmd/result", "cmd_result"),
)
"""Topics of the agent below B. What others say (``machine``, ``cmd/...``) may be anything."""

PICTURES = re.compile(r"(?:cam/[\w-]+/[\w-]+|evidence/[\w-]+)/image")
PICTURE_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF")
OTHERS = re.compile(r"machine|cmd/(?!result$).+")


@functools.cache
def validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(load_schema(schema))


def schema_of(topic: str) -> str | None:
    """The schema of a topic's payload; None for pictures and for what is not the agent's.

    ``AssertionError`` for a topic below B that nobody has described.
    """
    below, found = BASE.subn("", topic)
    if not found or OTHERS.fullmatch(below) or PICTURES.fullmatch(below):
        return None
    for pattern, schema in SCHEMAS:
        if re.fullmatch(pattern, below):
            return schema
    raise AssertionError(f"{topic} is no topic of the table")


def check_message(topic: str, payload: bytes) -> dict[str, Any] | None:
    """Check one message; return it read where it is JSON of the agent."""
    if BASE.match(topic) or topic.startswith("spBv1.0/"):
        assert len(payload) <= MESSAGE_LIMIT_BYTES, f"{topic}: {len(payload)} bytes"
    schema = schema_of(topic)
    if schema is None:
        if PICTURES.fullmatch(BASE.sub("", topic)) and BASE.match(topic):
            assert payload.startswith(PICTURE_STARTS), f"{topic}: no picture"
        return None
    read = check_lexically(payload)
    validator(schema).validate(read)
    return read


@dataclass
class Recorder:
    """Sees every message of a test in order."""

    seen: int = 0
    _shapes: dict[str, dict[str, str]] = field(default_factory=dict)

    def see(self, topic: str, payload: bytes) -> None:
        """Check one message and compare its shape with the topic's first."""
        self.seen += 1
        read = check_message(topic, payload)
        if read is None:
            return
        shape = {key: type(value).__name__ for key, value in read.items()}
        before = self._shapes.setdefault(topic, shape)
        assert shape == before, f"{topic} has changed: {dict(before.items() ^ shape.items())}"
