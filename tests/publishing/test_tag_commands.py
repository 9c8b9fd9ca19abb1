"""Commands that are written to tags: the checks of the JSON commands, and the occurrence named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.config import Commands
from agent.publishing.commands import BURST, MESSAGE_LIMIT_BYTES
from agent.publishing.sparkplug.writes import WRITABLE, Written
from agent.publishing.tag_commands import TagCommands, TagHooks
from agent.records import Command, CommandOutcome
from tests.publishing.examples import STAMP, Books

ALARM = "camera_lost-cam1"
OUTCOMES = CommandOutcome


class Desk:
    """Where commands and answers come to."""

    def __init__(self, **settings: Any) -> None:
        self.commands: list[Command] = []
        self.answers: list[tuple[Command, CommandOutcome, str]] = []
        self.books = Books()
        self.tags = TagCommands(
            Commands(**settings),
            self.books,
            lambda: 1000.0,
            lambda: STAMP,
            TagHooks(self.commands.append, lambda *answer: self.answers.append(answer)),
        )

    def write(self, command: str, said: Any, issued_ms: int = STAMP) -> Command:
        text = said if isinstance(said, str) else json.dumps(said)
        self.tags.written(Written(ALARM, command, text, issued_ms))
        return self.commands[-1]


@pytest.mark.parametrize(
    ("tag", "said", "name", "arguments"),
    [
        ("ack", {}, "ack", {}),
        ("comment", {"text": "cable replaced"}, "comment", {"text": "cable replaced"}),
        ("shelve", {"duration_s": 600}, "shelve", {"duration_s": 600.0}),
        ("shelve", {"duration_s": 0}, "unshelve", {}),
        ("shelve", {"duration_s": 0.0}, "unshelve", {}),
        ("ack", {"alarm_id": ALARM}, "ack", {}),
    ],
)
def test_a_text_is_the_command_of_its_tag(
    tag: str, said: dict[str, Any], name: str, arguments: dict[str, Any]
) -> None:
    command = Desk().write(tag, {"event_id": "s1-4", "user": "anna", **said})
    assert (command.refusal, command.detail) == (None, "")
    assert (command.name, command.user, command.tag) == (name, "anna", ALARM)
    assert dict(command.arguments) == {"alarm_id": ALARM, "event_id": "s1-4", **arguments}


@pytest.mark.parametrize(
    ("tag", "said", "outcome", "named"),
    [
        ("ack", "", OUTCOMES.INVALID, "JSON"),
        ("ack", "s1-4", OUTCOMES.INVALID, "JSON"),
        ("ack", "true", OUTCOMES.INVALID, "JSON"),
        ("ack", '["s1-4"]', OUTCOMES.INVALID, "JSON"),
        ("ack", '{"event_id": "s1-4", "user": "a"', OUTCOMES.INVALID, "JSON"),
        ("ack", "[" * 4000, OUTCOMES.INVALID, "JSON"),
        ("ack", '{"event_id": "s1-4", "user": "a", "user": "b"}', OUTCOMES.INVALID, ""),
        ("shelve", '{"event_id": "s1-4", "user": "a", "duration_s": NaN}', OUTCOMES.INVALID, ""),
        ("ack", " " * MESSAGE_LIMIT_BYTES + "{}", OUTCOMES.INVALID, str(MESSAGE_LIMIT_BYTES)),
        ("ack", {"user": "anna"}, OUTCOMES.INVALID, "event_id"),
        ("ack", {"event_id": "", "user": "anna"}, OUTCOMES.INVALID, "event_id"),
        ("ack", {"event_id": "s1-4"}, OUTCOMES.INVALID, "user"),
        ("ack", {"event_id": "s1-4", "user": "anna", "x": 1}, OUTCOMES.INVALID, "x"),
        ("ack", {"event_id": "s1-4", "user": "anna", "x": [{"y": 1}]}, OUTCOMES.INVALID, "x"),
        ("shelve", {"user": "anna", "duration_s": 60}, OUTCOMES.INVALID, "event_id is missing"),
        ("shelve", {"user": "anna", "duration_s": 0}, OUTCOMES.INVALID, "event_id is missing"),
        ("shelve", {"event_id": "s1-4", "user": "anna"}, OUTCOMES.INVALID, "duration_s"),
        ("shelve", {"event_id": "s1-4", "duration_s": False}, OUTCOMES.INVALID, "duration_s"),
        ("shelve", {"event_id": "s1-4", "duration_s": -1}, OUTCOMES.INVALID, "duration_s"),
        ("ack", {"event_id": "s1-4", "user": "anna", "alarm_id": "another"}, OUTCOMES.INVALID, ""),
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused_and_told_why(
    tag: str, said: Any, outcome: CommandOutcome, named: str
) -> None:
    command = Desk().write(tag, said)
    assert command.refusal is outcome
    assert named in command.detail
    assert command.tag == ALARM, "it is answered where it was written"


def test_the_time_of_the_metric_is_that_of_the_command() -> None:
    said = {"event_id": "s1-4", "user": "anna"}
    assert Desk().write("ack", said, STAMP - 61_000).refusal is OUTCOMES.EXPIRED
    ahead = Desk().write("ack", said, STAMP + 61_000)
    assert (ahead.refusal, "ahead" in ahead.detail) == (OUTCOMES.INVALID, True)
    timeless = Desk().write("ack", said, 0)
    assert (timeless.refusal, "issued_ms" in timeless.detail) == (OUTCOMES.INVALID, True)
    own = Desk().write("ack", {**said, "command_id": "c-1", "issued_ms": STAMP}, 0)
    assert (own.refusal, own.command_id) == (None, "c-1")


def test_the_same_write_has_the_same_id_and_another_one_another() -> None:
    desk, said = Desk(), {"event_id": "s1-4", "user": "anna"}
    first = desk.write("ack", said).command_id
    assert desk.write("ack", said).command_id == first
    others = [
        desk.write("ack", said, STAMP + 1),
        desk.write("ack", {**said, "user": "bea"}),
        desk.write("shelve", {**said, "duration_s": 60}),
    ]
    assert len({first, *(command.command_id for command in others)}) == 4


def test_only_what_the_configuration_allows_is_carried_out() -> None:
    desk = Desk(allow=["ack", "shelve"])
    said = {"event_id": "s1-4", "user": "anna"}
    assert desk.write("ack", said).refusal is None
    assert desk.write("comment", {**said, "text": ""}).refusal is OUTCOMES.NOT_ALLOWED
    assert desk.write("shelve", {**said, "duration_s": 0}).refusal is OUTCOMES.NOT_ALLOWED


def test_a_flood_is_answered_once_and_goes_no_further() -> None:
    desk = Desk()
    for _ in range(BURST + 5):
        desk.write("ack", {"event_id": "s1-4", "user": "anna"})
    assert len(desk.commands) == BURST
    ((command, outcome, _),) = desk.answers
    assert (command.tag, outcome) == (ALARM, OUTCOMES.RATE_LIMITED)
    assert desk.books.total("commands", "ack", "rate_limited") == 4, "and the one that is answered"


@given(st.sampled_from(WRITABLE), st.text(max_size=60), st.integers(0, 2**64 - 1))
@hypothesis_settings(max_examples=200, deadline=None)
def test_no_text_does_anything_but_a_command_or_a_refusal(
    tag: str, said: str, issued_ms: int
) -> None:
    assert Desk(per_s=1000).write(tag, said, issued_ms).refusal is not None
