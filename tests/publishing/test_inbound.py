"""The machine's words as the broker delivers them: what is read, and what is too much."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.publishing.commands import BURST, REFUSED_EVERY_S
from agent.publishing.connection.events import Received, Rival
from agent.publishing.inbound import (
    MACHINE_BURST,
    MACHINE_PER_S,
    RETAINED_KNOWN_MAX,
    Inbound,
    InboundHooks,
)
from agent.publishing.status import StatusTopic
from agent.publishing.wire.composer import Composer
from agent.records import Command, CommandOutcome, MachineInfo, Origin
from tests.capture.support import Ledger
from tests.publishing import examples


class Words:
    def __init__(self) -> None:
        self.ledger, self.heard = Ledger(), list[MachineInfo]()
        self.commands, self.answers = list[Command](), list[tuple[str, CommandOutcome, str]]()
        self.replaced = 0
        hooks = InboundHooks(
            self.heard.append, self.commands.append, self.answer, self.status_replaced
        )
        self.now = 100.0
        settings = examples.settings()
        self.inbound = Inbound(settings, self.ledger, lambda: self.now, hooks)
        (self.topic,) = [one.topic for one in self.inbound.subscriptions if one.state]

    def say(self, *, retained: bool = False, arrived_mono: float = 0.0, **said: Any) -> None:
        payload = json.dumps({"state": "running"} | said).encode()
        event = Received(self.topic, payload, retained, arrived_mono=arrived_mono)
        assert self.inbound.received(event) is Rival.NONE

    def status_replaced(self) -> None:
        self.replaced += 1

    def see_status(self, **said: Any) -> Rival:
        topic = f"{examples.BASE}/status"
        return self.inbound.received(Received(topic, json.dumps(said).encode(), retained=True))

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        self.answers.append((command.command_id, outcome, detail))

    def ask(self, command_id: str, *, retained: bool = False) -> None:
        said = {"command_id": command_id, "issued_ms": examples.STAMP, "user": "anna"}
        said |= {"camera": "cam1"}
        topic = f"{examples.BASE}/cmd/explain"
        event = Received(topic, json.dumps(said).encode(), retained)
        assert self.inbound.received(event) is Rival.NONE

    def count(self, outcome: str) -> int:
        return self.ledger.counts["machine_messages", "mqtt", outcome]


def test_a_word_keeps_the_moment_at_which_it_was_read_off_the_socket() -> None:
    words = Words()
    words.say(arrived_mono=97.25, fruit_id="f1", timestamp_ms=5)
    words.say(retained=True, fruit_id="f0")
    first, stored = words.heard
    assert (first.arrived_mono, first.machine_timestamp_ms) == (97.25, 5)
    assert first.origin is Origin.MACHINE
    assert (stored.arrived_mono, stored.origin) == (100.0, Origin.STORED)


def test_an_id_of_ten_kilobytes_costs_itself_and_is_counted() -> None:
    words = Words()
    words.say(fruit_id="7" * 10_240, lot="L")
    (info,) = words.heard
    assert (info.fruit_id, info.lot) == (None, "L")
    assert (words.count("incomplete"), words.count("accepted")) == (1, 0)


def test_a_flood_is_counted_and_not_read_and_ends_with_itself() -> None:
    words = Words()
    for i in range(3000):
        words.now += 1 / 3000
        words.say(fruit_id=f"f{i}")
    assert len(words.heard) <= MACHINE_BURST + MACHINE_PER_S + 1
    assert words.count("accepted") + words.count("rate_limited") == 3000
    words.now += 1.0
    words.say(state="stopped")
    assert words.heard[-1].state == "stopped"


OURS = {"session": "session-1", "timestamp_ms": 1_000_000, "uptime_s": 100.0, "state": "running"}
YOUNGER = {"session": "other", "timestamp_ms": 1_000_500, "uptime_s": 5.0, "state": "lost"}
OLDER = YOUNGER | {"uptime_s": 500.0}


@pytest.mark.parametrize(("other", "verdict"), [(YOUNGER, Rival.YOUNGER), (OLDER, Rival.OLDER)])
def test_of_two_agents_with_one_id_the_one_that_was_there_first_stays(
    other: dict[str, Any], verdict: Rival
) -> None:
    words = Words()
    assert words.see_status(**other) is Rival.NONE, "left from before: we had said nothing yet"
    words.see_status(**OURS)
    assert words.see_status(**other) is verdict
    assert words.replaced == 1, "what is retained is not our word any more"


def test_two_that_started_at_the_same_moment_are_told_apart_by_their_sessions() -> None:
    start = {"timestamp_ms": 1_000_000, "uptime_s": 1.0, "state": "running"}
    verdicts = []
    for session in ("a-first", "z-last"):
        words = Words()
        words.see_status(**start, session="session-1")
        verdicts.append(words.see_status(**start, session=session))
    assert verdicts == [Rival.OLDER, Rival.YOUNGER]


def test_an_agent_that_stopped_in_order_is_no_rival_and_its_word_is_replaced_by_ours() -> None:
    words = Words()
    words.see_status(**OURS)
    assert words.see_status(**YOUNGER | {"state": "stopped"}) is Rival.NONE
    assert words.replaced == 1


@pytest.mark.parametrize("said", [{"session": "other"}, {"session": "other", "uptime_s": "x"}])
def test_one_that_does_not_say_when_it_started_is_not_fought_with(said: dict[str, Any]) -> None:
    words = Words()
    words.see_status(**OURS)
    assert words.see_status(**said) is Rival.OLDER


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"session": 5}', b"[" * 100_000])
def test_a_status_that_is_none_shows_nothing(payload: bytes) -> None:
    words = Words()
    words.see_status(**OURS)
    event = Received(f"{examples.BASE}/status", payload, retained=True)
    assert words.inbound.received(event) is Rival.NONE
    assert words.replaced == 0


def test_of_a_flood_of_commands_one_is_told_so_and_all_are_counted() -> None:
    words = Words()
    for i in range(BURST + 500):
        words.ask(f"c-{i}")
    assert len(words.commands) == BURST
    ((command_id, outcome, detail),) = words.answers
    assert (command_id, outcome) == (f"c-{BURST}", CommandOutcome.RATE_LIMITED)
    assert "one each 10 s is told" in detail
    # the answer counts the first
    assert words.ledger.counts["commands", "explain", "rate_limited"] == 499


def test_a_flood_that_goes_on_is_told_again_after_a_while() -> None:
    words = Words()
    for _ in range(2):
        for i in range(BURST + 50):
            words.ask(f"c-{i}")
        words.now += REFUSED_EVERY_S
    assert len(words.answers) == 2


def test_of_what_was_retained_below_cmd_one_is_answered_however_much_it_is_and_however_often() -> (
    None
):
    words = Words()
    for _connect in range(3):
        for i in range(5):
            words.ask(f"c-{i}", retained=True)
        words.now += 2 * REFUSED_EVERY_S
    assert [(c.command_id, c.refusal) for c in words.commands] == [("c-0", CommandOutcome.RETAINED)]
    assert words.ledger.counts["commands", "explain", "retained"] == 14
    words.ask("c-new", retained=True)
    assert [c.command_id for c in words.commands] == ["c-0", "c-new"]


def test_of_junk_without_end_only_so_much_is_answered() -> None:
    words = Words()
    for i in range(RETAINED_KNOWN_MAX + 20):
        words.ask(f"c-{i}", retained=True)
        words.now += REFUSED_EVERY_S
    assert len(words.commands) == RETAINED_KNOWN_MAX
    assert words.ledger.counts["commands", "explain", "retained"] == 20


def test_taking_a_retained_message_away_is_no_message() -> None:
    words = Words()
    for topic in (words.topic, f"{examples.BASE}/cmd/explain"):
        assert words.inbound.received(Received(topic, b"", True)) is Rival.NONE
        assert words.inbound.received(Received(topic, b"", False)) is Rival.NONE
    assert (words.heard, words.commands, words.answers) == ([], [], [])
    assert words.ledger.counts == {("machine_messages", "mqtt", "empty"): 2}


def test_another_that_answers_each_status_of_ours_is_answered_once_a_second() -> None:
    status = StatusTopic(Composer(examples.settings()), 10.0, lambda: 0.0)
    status.connected()
    sent = 0
    for i in range(1000):
        status.replaced()
        sent += status.due(5.0 + 0.01 * i) is not None
    assert 9 <= sent <= 11
    status.update("degraded", "no camera", 0)
    assert status.due(15.001) is not None, "what has changed does not wait"
