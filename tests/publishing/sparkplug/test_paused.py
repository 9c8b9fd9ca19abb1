"""A broker that is stopped in its tracks: its sockets stay open and nothing is answered."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent.publishing.connection import connection
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.sparkplug.rig import Listener, SparkplugRig, sparkplug
from tests.support import wait_until
from tests.support.mosquitto import Observer, mosquitto

pytestmark = pytest.mark.needs_mosquitto

KEEPALIVE_S = 5


def say(rig: SparkplugRig, seq: int) -> None:
    stamp = examples.STAMP + seq
    rig.publisher.fruit(examples.fruit(seq=seq, captured_utc_ms=stamp), "cam1")
    rig.publisher.metric("cam1", "fps", float(seq), Quality.GOOD, stamp)
    rig.publisher.alarm(examples.alarm(timestamp_ms=stamp))


@pytest.mark.long
def test_a_broker_that_is_paused_is_missed_and_told_all_again_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1.0)
    with (
        mosquitto(tmp_path) as broker,
        Observer(broker.port, "spBv1.0/#") as observer,
        sparkplug(broker.url, keepalive_s=KEEPALIVE_S) as rig,
    ):
        listener = Listener(observer)
        host = listener.wait(lambda h: h.online and h.devices.get("cam1"), "born")
        before = host.bdseq
        broker.freeze()
        began = time.monotonic()
        for seq in range(1, 101):
            say(rig, seq)
        assert time.monotonic() - began < 2, "who hands values over waits for nobody"
        wait_until(lambda: not rig.publisher.link().connected, 4 * KEEPALIVE_S, "missed")
        assert time.monotonic() - began < 3 * KEEPALIVE_S
        assert rig.links[-1].reason == "silent"
        rig.wait_count(1, "broker_connects", "no_answer")
        beats = rig.books.beats
        wait_until(lambda: rig.books.beats > beats + 2, 5, "the loop still moves")
        for seq in range(101, 111):
            say(rig, seq)
        broker.thaw()
        rig.wait_online()
        host = listener.wait(
            lambda h: h.online and h.bdseq != before and h.devices.get("cam1"), "born again"
        )
        listener.wait(
            lambda h: (
                {seq for name, seq, _ in h.historical if name == "Fruit/seq"} >= set(range(1, 111))
            ),
            "every fruit, as history",
        )
        assert rig.books.total("sparkplug_samples", "lost") == 0


def test_a_stop_while_the_broker_is_paused_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, sparkplug(broker.url) as rig:
        broker.freeze()
        say(rig, 1)
        began = time.monotonic()
        assert not rig.publisher.stop(0.5)
        assert time.monotonic() - began < 3
        broker.thaw()
