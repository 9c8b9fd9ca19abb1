"""Flat JSON as the simplest SCADA client needs it: one object of text, booleans, whole numbers and
floats, where a float is always recognisable as one.

Some clients take a tag's type from the first value: ``1`` would make a whole number of a float for
ever. Some parsers accept an exponent only after a decimal point. Null, NaN and Infinity do not
exist on the wire: a client that meets null keeps the old value on its screen as if it were valid.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

Scalar = str | bool | int | float
Flat = dict[str, Scalar]

INTEGER_MAX = 2**53 - 1
"""Above this a client that reads numbers as doubles sees another number."""

TEXT_LIMIT = 4096
"""Characters of one value; the rest is cut off."""

_NAME = re.compile(r"[^A-Za-z0-9_-]+")


class PayloadError(ValueError):
    """A value that has no place on the wire: a programming error in the builder of the payload."""


def encode(payload: Mapping[str, Scalar]) -> bytes:
    """Return one UTF-8 JSON object; ``PayloadError`` names the key that is not a flat value."""
    pairs = (f"{json.dumps(key)}:{_scalar(key, value)}" for key, value in payload.items())
    return ("{" + ",".join(pairs) + "}").encode(errors="replace")


def _scalar(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(str(value)[:TEXT_LIMIT], ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise PayloadError(f"{key}: {value} is beyond what a double holds exactly")
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return format_float(value)
    raise PayloadError(f"{key}: {value!r} is no text, boolean, whole number or finite float")


def format_float(value: float) -> str:
    """Return the shortest text that reads back as ``value`` and holds a decimal point."""
    text = repr(float(value))
    mantissa, exponent, power = text.partition("e")
    return text if "." in mantissa else f"{mantissa}.0{exponent}{power}"


def number(value: float, absent: float = 0.0, digits: int = 6) -> float:
    """Return a finite float with at most ``digits`` decimals; ``absent`` for NaN and infinity."""
    return round(float(value), digits) + 0.0 if math.isfinite(value) else absent


def whole(value: int) -> int:
    """Return a whole number held within what a double holds exactly."""
    return max(-INTEGER_MAX, min(INTEGER_MAX, int(value)))


def name(text: str) -> str:
    """Return ``text`` as (part of) a key: what is not ``A-Z a-z 0-9 _ -`` becomes ``_``."""
    return _NAME.sub("_", text)
