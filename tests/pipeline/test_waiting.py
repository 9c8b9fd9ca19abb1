"""Readings leave in order, each when its fruit's id is settled."""

from __future__ import annotations

from agent.pipeline.waiting import POLL_S, WaitingReadings
from agent.records import FruitReading
from tests.publishing.examples import fruit


class Ids:
    """Settles the readings whose number is in ``known``."""

    def __init__(self) -> None:
        self.known = set[int]()

    def __call__(
        self, reading: FruitReading, now: float, *, final: bool = False
    ) -> FruitReading | None:
        return reading if final or reading.segmentation.seq in self.known else None


def seqs(waiting: WaitingReadings, *, final: bool = False) -> list[int]:
    return [one.segmentation.seq for one in waiting.ready(lambda: 5.0, final=final)]


def test_a_reading_never_overtakes_one_of_its_lane() -> None:
    ids = Ids()
    waiting = WaitingReadings(ids)
    for seq in (1, 2, 3):
        waiting.add(fruit(seq=seq))
    waiting.add(fruit(lane="other", seq=9))
    ids.known = {2, 9}
    assert seqs(waiting) == [9]
    ids.known |= {1}
    assert seqs(waiting) == [1, 2]
    assert seqs(waiting, final=True) == [3]
    assert seqs(waiting, final=True) == []


def test_the_loop_is_held_up_by_no_reading_that_does_not_wait() -> None:
    waiting = WaitingReadings(Ids())
    assert waiting.timeout_s(0.25) == 0.25
    waiting.add(fruit(seq=1))
    assert waiting.timeout_s(0.25) == POLL_S
    assert seqs(waiting, final=True) == [1]
    assert waiting.timeout_s(0.25) == 0.25
