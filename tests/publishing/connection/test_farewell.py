"""The end of a connection step by step, and what an edge node lets out while it lasts."""

from __future__ import annotations

import math

from agent.publishing.connection.farewell import Farewell, Step
from agent.publishing.sparkplug.births import Packet
from agent.publishing.sparkplug.outbox import NodeOutbox
from agent.publishing.sparkplug.tags import Sample
from agent.publishing.sparkplug.topics import Type
from agent.publishing.wire.messages import Entry
from agent.records import Quality
from tests.publishing.sparkplug.test_node import START_MS, Rig


def test_what_waits_goes_out_first_and_the_end_follows_the_answer_to_the_farewell() -> None:
    farewell = Farewell.within(10.0, 100.0)
    assert farewell.step(100.0, waiting=1, idle=True) is Step.WAIT
    assert farewell.step(100.0, waiting=0, idle=False) is Step.WAIT
    assert farewell.step(100.0, waiting=0, idle=True) is Step.LAST_MESSAGE
    farewell.sent = True
    assert farewell.step(101.0, waiting=0, idle=False) is Step.WAIT
    assert farewell.step(101.0, waiting=0, idle=True) is Step.DISCONNECT
    farewell.disconnecting = True
    assert farewell.step(102.0, waiting=0, idle=True) is Step.WAIT


def test_a_broker_that_takes_nothing_is_told_the_farewell_in_time_and_cut_at_the_end() -> None:
    farewell = Farewell.within(10.0, 100.0)
    assert farewell.due_at == 106.0
    assert farewell.step(106.0, waiting=5, idle=False) is Step.LAST_MESSAGE
    farewell.sent = True
    assert farewell.due_at == 110.0
    assert farewell.step(109.9, waiting=0, idle=False) is Step.WAIT
    assert farewell.step(110.0, waiting=0, idle=False) is Step.CLOSE


def types(box: NodeOutbox, rig: Rig) -> list[Type]:
    sent = []
    while (entry := box.take(rig.now)) is not None:
        (packet,) = entry.messages
        assert isinstance(packet, Packet)
        sent.append(packet.type)
        box.settle(entry, packet, None)
    return sent


def test_after_its_death_a_node_says_nothing_until_the_next_connection() -> None:
    rig = Rig()
    box = NodeOutbox(rig.node, rig.books, lambda: rig.now)

    def value(fps: float) -> None:
        box.offer(Sample("cam1", "fps", fps, Quality.GOOD, START_MS))
        rig.now += 1.0
        box.tick(rig.now)

    rig.node.connected(0)
    box.snapshot(rig.now)
    value(1.0)
    assert types(box, rig)[:3] == [Type.NBIRTH, Type.DBIRTH, Type.DBIRTH]
    value(2.0)
    assert box.due_in(rig.now) < 1.0
    box.discard("shutdown")
    assert (box.waiting(), box.due_in(rig.now)) == (0, math.inf)
    box.put(Entry((rig.node.death(),), rig.now), rig.now)
    assert types(box, rig) == [Type.NDEATH]
    assert rig.books.total("sparkplug_messages", "NDEATH") == 1
    box.lost([])
    box.lost([])  # a connection that was never open is lost, too
    rig.node.connected(1)
    box.snapshot(rig.now)
    births, later = [Type.NBIRTH, Type.DBIRTH, Type.DBIRTH], types(box, rig)
    assert (later[:3], later[3:]) == (births, [Type.DDATA]), "and what the death kept back"
    rig.books.balance()
