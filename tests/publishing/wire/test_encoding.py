"""The lexical form of payloads: what a schema cannot see."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.publishing.wire.encoding import (
    PayloadError,
    encode,
    format_float,
    number,
    whole,
)
from tests.publishing.lexical import check_lexically

FLOAT = re.compile(r"-?\d+\.\d+(e[+-]\d+)?")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_float_has_a_decimal_point_and_reads_back_as_itself(value: float) -> None:
    text = format_float(value)
    assert FLOAT.fullmatch(text), text
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-07, "1.0e-07"), (1e16, "1.0e+16"), (1.5e300, "1.5e+300"), (2.0, "2.0"), (-0.25, "-0.25")],
)
def test_an_exponent_follows_a_decimal_point(value: float, text: str) -> None:
    assert format_float(value) == text


scalars = (
    st.text()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.dictionaries(st.text(min_size=1), scalars))
def test_any_flat_payload_is_valid_json_that_reads_back(payload: dict[str, object]) -> None:
    encoded = encode(payload)  # type: ignore[arg-type]
    read = check_lexically(encoded)
    for key, value in payload.items():
        if isinstance(value, str):
            value = value.encode(errors="replace").decode()
        if key.encode(errors="replace").decode() == key:
            assert read[key] == value
            assert type(read[key]) is type(value)


@pytest.mark.parametrize(
    "value", [None, math.nan, math.inf, -math.inf, [1], {"a": 1}, 2**53, b"x", object()]
)
def test_what_is_no_flat_value_is_refused_with_its_key(value: object) -> None:
    with pytest.raises(PayloadError, match="speed"):
        encode({"speed": value})  # type: ignore[dict-item]


def test_text_is_cut_at_the_limit() -> None:
    assert len(json.loads(encode({"a": "x" * 10_000}))["a"]) == 4096


def test_a_lone_surrogate_costs_its_character_only() -> None:
    assert json.loads(encode({"a": "x\ud800y"})) == {"a": "x?y"}


def test_numbers_that_do_not_exist_become_what_the_caller_says() -> None:
    assert number(math.nan) == 0.0
    assert number(math.inf, absent=-1.0) == -1.0
    assert number(1.23456789, digits=2) == 1.23
    assert math.copysign(1.0, number(-0.0)) == 1.0
    assert whole(2**60) == 2**53 - 1
