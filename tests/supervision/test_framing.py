"""Framing of messages and capping of output."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction import without_credentials
from agent.supervision.framing import LENGTH, MESSAGE_LIMIT_BYTES, Decoder, FramingError, encode
from agent.supervision.output import LINES_PER_POLL, OutputTail


@given(messages=st.lists(st.binary(max_size=200), max_size=10), cuts=st.lists(st.integers(1, 50)))
def test_messages_survive_any_cutting_of_the_stream(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode(message) for message in messages)
    decoder, received = Decoder(), []
    for cut in cuts:
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    received += decoder.feed(stream)
    assert received == messages


def test_an_absurd_length_is_an_error_and_not_an_allocation() -> None:
    with pytest.raises(FramingError):
        Decoder().feed(LENGTH.pack(MESSAGE_LIMIT_BYTES + 1))


def test_a_message_above_the_limit_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="above"):
        encode(bytes(MESSAGE_LIMIT_BYTES + 1))


def test_output_is_capped_per_poll_and_the_rest_counted() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    try:
        tail = OutputTail(read)
        assert tail.poll() == []
        os.write(write, b"".join(b"line %d\n" % n for n in range(25)) + b"unfinished")
        assert tail.poll() == [f"line {n}" for n in range(LINES_PER_POLL)]
        assert tail.dropped == 15
        assert tail.tail()[-1] == "line 24"
        os.write(write, b" now it is\n")
        assert tail.poll() == ["unfinished now it is"]
    finally:
        os.close(read)
        os.close(write)


def test_credentials_in_urls_are_masked() -> None:
    text = "a rtsp://u:p@ss/w@h/1 b http://token@h c rtsp://h/2 joe@example.org"
    assert without_credentials(text) == (
        "a rtsp://***@h/1 b http://***@h c rtsp://h/2 joe@example.org"
    )
