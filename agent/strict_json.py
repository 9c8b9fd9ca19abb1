"""JSON objects of others, read strictly: in UTF-8 without a byte order mark, and no key twice.

Of two equal keys some readers take the first and some the last, so that sender and agent could mean
different things. What is wrong is told apart from what could be read all the same: an answer can
then name the message that it is about. NaN, Infinity and numbers of any length are read as floats,
for the check of their field to refuse. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

DIGITS_MAX = 400
"""More are beyond every float, and slow to read as a whole number."""


@dataclass(frozen=True, slots=True)
class JsonObject:
    """``wrong``: why it must not be used, empty for nothing. ``values``: what could be read, but
    for keys that stood twice."""

    values: Mapping[str, object] = field(default_factory=dict)
    wrong: str = ""


def read_object(payload: bytes, limit_bytes: int) -> JsonObject:
    """Read one JSON object of at most ``limit_bytes``; nothing that arrives raises."""
    if len(payload) > limit_bytes:
        return JsonObject(wrong=f"longer than {limit_bytes} bytes")
    wrong: list[str] = []
    encoding = json.detect_encoding(payload)
    if encoding == "utf-8-sig":
        wrong.append("begins with a byte order mark")
    elif encoding != "utf-8":
        wrong.append(f"in {encoding.upper()}, not in UTF-8")

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counts = Counter(key for key, _ in pairs)
        wrong.extend(f"key {key[:40]!r} twice" for key, count in counts.items() if count > 1)
        return {key: value for key, value in pairs if counts[key] == 1}

    try:
        parsed = json.loads(payload.decode(encoding), object_pairs_hook=once, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        return JsonObject(wrong="; ".join([*wrong, f"not JSON in UTF-8: {error}"]))
    if not isinstance(parsed, dict):
        return JsonObject(wrong="; ".join([*wrong, "not a JSON object"]))
    return JsonObject(parsed, "; ".join(wrong))


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= DIGITS_MAX else float(digits)
