"""What is known of a recorded picture as JSON, both ways. Pure."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agent.dataset.record import VERSION, OtherVersionError, Reason, Record, RecordError
from agent.strict_json import read_object

LIMIT_BYTES = 1 << 20


def facts_bytes(record: Record) -> bytes:
    """The text of a record. Numbers that are not finite become null."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    del values["folder"]
    values["captured_at"] = record.captured_at.isoformat(timespec="milliseconds")
    text = json.dumps(_plain({"version": VERSION} | values), indent=1, allow_nan=False)
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


_KINDS: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "id": str,
    "camera": str,
    "captured_at": str,
    "reasons": list,
    "model": str,
    "model_sha256": str,
    "variety": str,
    "lot": str,
    "classes": list,
    "reading": dict,
    "explanation": (dict, type(None)),
    "height": int,
    "width": int,
    "picture_sha256": str,
    "mask_sha256": str,
}


def parse_facts(path: Path, data: bytes) -> Record:
    """The record that a file of the folder ``path.parent`` tells of. ``RecordError``."""
    text = read_object(data, LIMIT_BYTES)
    if text.wrong:
        raise RecordError(path, text.wrong)
    found = text.values
    if found.get("version", VERSION) != VERSION:
        problem = f"version: {found['version']!r}, where this agent reads {VERSION}"
        raise OtherVersionError(path, problem)
    values: dict[str, Any] = dict(found)
    for key, kind in _KINDS.items():
        if key not in values:
            raise RecordError(path, f"{key}: is missing")
        if not isinstance(values[key], kind) or isinstance(values[key], bool):
            raise RecordError(path, f"{key}: {str(values[key])[:60]!r} is of another type")
    for key in [key for key in values if key not in _KINDS or key == "version"]:
        del values[key]  # of a later version that says that this one can read it
    if values["id"] != path.parent.name:
        raise RecordError(path, f"id: {values['id']!r} is not the name of its folder")
    try:
        at = datetime.fromisoformat(values["captured_at"])
        values["captured_at"] = at.astimezone(UTC)
        values["reasons"] = tuple(Reason(reason) for reason in values["reasons"])
    except (ValueError, OverflowError) as error:
        raise RecordError(path, str(error)) from error
    if at.tzinfo is None:
        raise RecordError(path, "captured_at: has no time zone")
    classes = tuple(values["classes"])
    if not classes or not all(isinstance(name, str) for name in classes):
        raise RecordError(path, "classes: not a list of names")
    if min(values["height"], values["width"]) < 1:
        raise RecordError(path, f"height, width: {values['height']} x {values['width']} pixels")
    return Record(**(values | {"classes": classes}), folder=path.parent)
