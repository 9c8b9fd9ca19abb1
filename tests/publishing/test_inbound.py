"""The machine's words as the broker delivers them: what is read, and what is too much."""

from __future__ import annotations

import json
from typing import Any

from agent.publishing.connection.events import Received
from agent.publishing.inbound import MACHINE_BURST, MACHINE_PER_S, Inbound, InboundHooks
from agent.records import MachineInfo, Origin
from tests.capture.support import Ledger
from tests.publishing import examples


class Words:
    def __init__(self) -> None:
        self.ledger, self.heard = Ledger(), list[MachineInfo]()
        hooks = InboundHooks(self.heard.append, lambda _c: None, lambda *_answer: None)
        self.now = 100.0
        settings = examples.settings()
        self.inbound = Inbound(settings, self.ledger, lambda: self.now, hooks)
        (self.topic,) = self.inbound.state_topics

    def say(self, *, retained: bool = False, arrived_mono: float = 0.0, **said: Any) -> None:
        payload = json.dumps({"state": "running"} | said).encode()
        event = Received(self.topic, payload, retained, arrived_mono=arrived_mono)
        assert self.inbound.received(event)

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
