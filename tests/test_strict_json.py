"""What other programs send as JSON: refused where two readers could take it for two things."""

from __future__ import annotations

import codecs
import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.strict_json import read_object

LIMIT = 65_536


def test_an_object_is_read_as_it_stands() -> None:
    read = read_object('{"a": 1, "b": "ü", "c": [true, null]}'.encode(), LIMIT)
    assert (dict(read.values), read.wrong) == ({"a": 1, "b": "ü", "c": [True, None]}, "")


@pytest.mark.parametrize(
    ("payload", "values", "named"),
    [
        (b'{"id": "x", "a": 1, "a": 2}', {"id": "x"}, "key 'a' twice"),
        (b'{"id": "x", "a": {"b": 1, "b": 1}}', {"id": "x", "a": {}}, "key 'b' twice"),
        (codecs.BOM_UTF8 + b'{"id": "x"}', {"id": "x"}, "byte order mark"),
        ('{"id": "x"}'.encode("utf-16"), {"id": "x"}, "UTF-16"),
        ('{"id": "x"}'.encode("utf-16-le"), {"id": "x"}, "UTF-16"),
        ('{"id": "x"}'.encode("utf-32-be"), {"id": "x"}, "UTF-32"),
        ('{"id": "ü"}'.encode("latin-1"), {}, "not JSON in UTF-8"),
        (b'{"id": "x"', {}, "not JSON"),
        (b"[" * 9000, {}, "not JSON"),
        (b'["id"]', {}, "not a JSON object"),
        (b"", {}, "not JSON"),
        (b" " * (LIMIT + 1), {}, f"longer than {LIMIT} bytes"),
    ],
)
def test_what_is_wrong_is_named_and_what_can_be_read_is_read(
    payload: bytes, values: dict[str, object], named: str
) -> None:
    read = read_object(payload, LIMIT)
    assert dict(read.values) == values
    assert named in read.wrong


def test_numbers_that_json_does_not_know_are_left_to_the_check_of_their_field() -> None:
    digits = "9" * 5000  # more than Python reads as a whole number
    read = read_object(f'{{"a": NaN, "b": -Infinity, "c": {digits}}}'.encode(), LIMIT)
    assert not read.wrong
    a, b, c = (read.values[key] for key in "abc")
    assert isinstance(a, float)
    assert math.isnan(a)
    assert (b, c) == (-math.inf, math.inf)


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-16")))
@hypothesis_settings(max_examples=300)
def test_nothing_that_arrives_raises(payload: bytes) -> None:
    read = read_object(payload, LIMIT)
    assert read.wrong or isinstance(read.values, dict)
