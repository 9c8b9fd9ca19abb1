"""Dataclasses as JSON that every parser takes: no NaN, no infinities, no enums."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


def jsonable(value: object) -> Json:
    """Return ``value`` as plain JSON types; a number that is not finite becomes None.

    Takes dataclasses, mappings, sequences, enums, strings, numbers, booleans and None;
    ``TypeError`` for anything else.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [jsonable(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def dumps(value: object) -> bytes:
    """Return UTF-8 JSON of ``jsonable(value)``."""
    return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False).encode()
