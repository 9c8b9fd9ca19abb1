"""Reads a payload as the strictest subscriber would, and says what it could not take."""

from __future__ import annotations

import json
from typing import Any

FORBIDDEN = ("NaN", "Infinity", "-Infinity")


def check_lexically(payload: bytes) -> dict[str, Any]:
    """Assert the rules on the bytes of one JSON payload and return it read.

    One flat object; every number is a whole number or has a decimal point; no exponent without
    one; no null, NaN or Infinity; no key twice.
    """

    def no_constant(text: str) -> None:
        raise AssertionError(f"{text} in a payload")

    def floating(text: str) -> float:
        assert "." in text, f"float {text} without a decimal point"
        return float(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), f"a key twice in {keys}"
        return dict(pairs)

    read = json.loads(
        payload.decode("utf-8"),
        parse_constant=no_constant,
        parse_float=floating,
        object_pairs_hook=unique,
    )
    assert isinstance(read, dict)
    for key, value in read.items():
        assert isinstance(value, str | bool | int | float), f"{key} is {value!r}"
    return read
