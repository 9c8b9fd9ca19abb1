"""One log event as one line, key=value or JSON, and back.

Whatever a value holds, the line stays one line and parses back: text that is not a plain word is
quoted like a JSON string, with every character that could end a line escaped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from agent.redaction import HIDDEN, is_secret_name, redact

VALUE_LIMIT = 4096
"""Longest value in characters; the rest is cut."""

_PLAIN = re.compile(r"[\w.:/+@%~*,;()\[\]{}<>?!&|#^-]+", re.ASCII)
_ODD_IN_KEY = re.compile(r"[^A-Za-z0-9_.-]")
_PAIR = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)')

Value = str | int | float | bool | None


def clean(fields: Mapping[str, object]) -> dict[str, Value]:
    """Return the fields as they may be written: secrets hidden, odd types as text, long text cut.

    Numbers and booleans stay what they are; NaN and infinities become text, for JSON has none.
    """
    cleaned: dict[str, Value] = {}
    for name, value in fields.items():
        key = _ODD_IN_KEY.sub("_", name) or "_"
        cleaned[key] = HIDDEN if is_secret_name(name) else _value(value)
    return cleaned


def format_keyvalue(fields: Mapping[str, Value]) -> str:
    """Return ``a=1 b="two words"``; the keys must be those of ``clean``.

    >>> format_keyvalue({"event": "camera_lost", "cause": "no route", "attempts": 3})
    'event=camera_lost cause="no route" attempts=3'
    """
    return " ".join(f"{key}={_quoted(as_text(value))}" for key, value in fields.items())


def parse_keyvalue(line: str) -> dict[str, str]:
    """Return the fields of a line as text; ``ValueError`` for a line that is none."""
    fields: dict[str, str] = {}
    at = 0
    while at < len(line):
        match = _PAIR.match(line, at)
        if match is None:
            raise ValueError(f"no key=value at character {at} of {line!r}")
        raw = match[2]
        fields[match[1]] = json.loads(raw) if raw.startswith('"') else raw
        at = match.end()
    return fields


def format_json(fields: Mapping[str, Value]) -> str:
    """Return one JSON object on one line."""
    return _one_line(json.dumps(fields, ensure_ascii=False, allow_nan=False))


def as_text(value: Value) -> str:
    """Return a value as key=value shows it: true, false, none, numbers as Python prints them."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _value(value: object) -> Value:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    # Cut far beyond the limit first: redaction stays quick, and what it misses there is cut again.
    return _cut(redact(str(value)[: 4 * VALUE_LIMIT]))


def _cut(text: str) -> str:
    if len(text) <= VALUE_LIMIT:
        return text
    return f"{text[:VALUE_LIMIT]}... (cut)"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return _one_line(json.dumps(text, ensure_ascii=False))


def _one_line(quoted: str) -> str:
    """Escape what JSON leaves as it is and a terminal or a line reader does not."""
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)
