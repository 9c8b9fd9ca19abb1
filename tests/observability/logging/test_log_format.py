"""One event is one line, and the line parses back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.observability.logging.log_format import (
    VALUE_LIMIT,
    as_text,
    clean,
    format_json,
    format_keyvalue,
    parse_keyvalue,
)

KEYS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)  # fmt: skip


@given(st.dictionaries(KEYS, VALUES))
@example({"a": "two\nlines", "b": 'quo"te', "c": "\\", "d": "", "e": "=", "f": "\u2028\x85\x1b[0m"})
@example({"a": "\ud800", "b": "🍑 µ °", "c": " lead", "d": '"', "e": "\\n", "f": "x" * 300})
def test_a_line_parses_back_to_what_was_formatted(fields: dict[str, object]) -> None:
    line = format_keyvalue(fields)
    assert parse_keyvalue(line) == {key: as_text(value) for key, value in fields.items()}
    assert len(line.splitlines()) <= 1
    assert line.isprintable()


@given(st.dictionaries(KEYS, VALUES))
def test_a_json_line_parses_back_with_its_types(fields: dict[str, object]) -> None:
    line = format_json(fields)
    assert json.loads(line) == fields
    assert line.isprintable()


def test_plain_words_are_not_quoted_and_others_are() -> None:
    assert (
        format_keyvalue({"event": "camera_lost", "cause": "no route", "url": "rtsp://h:554/x"})
        == 'event=camera_lost cause="no route" url=rtsp://h:554/x'
    )


@pytest.mark.parametrize("line", ["word", "a=1 b", 'a="open', 'a=b"c', "=1", "a=1 =2"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no key=value"):
        parse_keyvalue(line)


def test_cleaning_hides_secrets_names_odd_values_and_cuts_long_ones() -> None:
    cleaned = clean(
        {
            "password": "s3cret",
            "source": "rtsp://a:s3cret@h/x",
            "settings": {"token": "s3cret"},
            "path": Path("/var/lib"),
            "angle": math.nan,
            "odd key": True,
            "text": "x" * 100_000,
        }
    )
    assert "s3cret" not in str(cleaned)
    assert cleaned["path"] == "/var/lib"
    assert cleaned["angle"] == "nan"
    assert cleaned["odd_key"] is True
    assert len(str(cleaned["text"])) < VALUE_LIMIT + 20
    assert json.loads(format_json(cleaned)) == cleaned


def test_a_url_that_is_cut_in_its_password_shows_none_of_it() -> None:
    text = "x" * (VALUE_LIMIT - 20) + " rtsp://user:" + "s3cret" * 20 + "@host"
    assert "s3cret" not in str(clean({"text": text})["text"])
