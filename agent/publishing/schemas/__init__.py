"""JSON Schemas (draft 2020-12) of the payloads, one file each."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

COMMANDS = (
    "ack",
    "comment",
    "shelve",
    "unshelve",
    "disable",
    "enable",
    "explain",
    "sampling",
    "variety",
)
NAMES = (
    "status",
    "meta",
    "metric",
    "fruit",
    "explanation",
    "cam_meta",
    "alarm",
    "event_alarm",
    "machine",
    "cmd_result",
    *(f"cmd_{name}" for name in COMMANDS),
)


def schema_id(name: str) -> str:
    """Return the id under which a payload's schema is known."""
    return f"urn:pitwatch:v1:{name}"


def load_schemas() -> dict[str, dict[str, Any]]:
    """Read every schema, by the name of its payload."""
    return {name: load_schema(name) for name in NAMES}


def load_schema(name: str) -> dict[str, Any]:
    """Read one schema from the package."""
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
