"""Packets become whole pictures, and none waits for the next. Pure."""

from __future__ import annotations

import pytest

from agent.capture.sources.access_units import END_S, STUCK_S, AccessUnit, Assembler, Fragment

START = b"\x00\x00\x00\x01"
FIRST = {"h264": b"\x41\x9a", "hevc": b"\x02\x01\x80"}
SLICE = {"h264": b"\x41\x1a", "hevc": b"\x02\x01\x00"}
PARAMETERS = {"h264": b"\x67", "hevc": b"\x42\x01"}
LONG, SHORT = 1400, 300


class Wire:
    """Sends pictures packet by packet and collects what comes out."""

    def __init__(self, codec: str = "h264") -> None:
        self.assembler = Assembler(codec)
        self.codec = codec
        self.now = 100.0
        self.out: list[AccessUnit] = []

    def send(self, stamp: int | None, data: bytes, lost: bool = False) -> None:
        unit = self.assembler.feed(Fragment(data, stamp, self.now, lost))
        if unit:
            self.out.append(unit)
        self.now += 0.0005

    def slice(
        self, stamp: int, sizes: tuple[int, ...], lost: bool = False, first: bool = True
    ) -> None:
        """One coded slice in packets of these sizes."""
        head = START + (FIRST if first else SLICE)[self.codec]
        for place, size in enumerate(sizes):
            self.send(
                stamp, head + b"\x55" * (size - len(head)) if place == 0 else b"\x55" * size, lost
            )

    def wait(self, seconds: float) -> None:
        """Nothing comes; it is looked often."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.01
            if unit := self.assembler.quiet(self.now):
                self.out.append(unit)

    def learn(self) -> None:
        for stamp in range(3):
            self.slice(stamp, (LONG, LONG, SHORT))
            self.now += 0.2
        self.out.clear()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_picture_ends_where_the_stamp_changes(codec: str) -> None:
    wire = Wire(codec)
    wire.send(0, START + PARAMETERS[codec])
    wire.slice(0, (LONG, LONG, SHORT))
    assert wire.out == []
    wire.slice(3000, (LONG, SHORT))
    (unit,) = wire.out
    assert (unit.stamp, unit.torn, unit.arrived_mono) == (0, False, 100.0)
    assert len(unit.data) == len(START + PARAMETERS[codec]) + 2 * LONG + SHORT


def test_the_last_picture_before_a_stop_comes_soon_and_whole() -> None:
    wire = Wire()
    wire.learn()
    wire.slice(9, (LONG, LONG, SHORT))
    wire.wait(END_S + 0.02)
    assert [unit.stamp for unit in wire.out] == [2, 9]
    assert not wire.assembler.pending


def test_a_picture_whose_last_packet_looks_like_any_other_waits_longer() -> None:
    wire = Wire()
    wire.learn()
    wire.slice(9, (LONG, LONG))
    wire.wait(STUCK_S - 0.05)
    assert [unit.stamp for unit in wire.out] == [2]
    wire.wait(0.1)
    assert [unit.stamp for unit in wire.out] == [2, 9]


def test_a_picture_of_several_slices_is_not_cut_between_them() -> None:
    wire = Wire()
    for stamp in range(3):
        for place in range(4):
            wire.slice(stamp, (LONG, SHORT), first=place == 0)
    wire.out.clear()
    wire.slice(9, (LONG, SHORT))
    wire.slice(9, (LONG, SHORT), first=False)
    wire.wait(0.3)
    wire.slice(9, (LONG, SHORT), first=False)
    wire.slice(9, (LONG, SHORT), first=False)
    wire.wait(END_S + 0.02)
    assert [(unit.stamp, unit.torn) for unit in wire.out] == [(2, False), (9, False)]
    assert len(wire.out[1].data) == 4 * (LONG + SHORT)


def test_the_first_pictures_are_not_hurried_before_their_slices_are_known() -> None:
    wire = Wire()
    wire.slice(0, (LONG, SHORT))
    wire.wait(0.3)
    assert wire.out == []
    wire.wait(0.3)
    assert [unit.stamp for unit in wire.out] == [0]


def test_what_comes_after_a_picture_was_closed_is_torn_and_nothing_is_hurried_again() -> None:
    wire = Wire()
    wire.learn()
    wire.slice(9, (LONG, SHORT))
    wire.wait(END_S + 0.02)
    # A stall between two slices that nobody could expect.
    wire.slice(9, (LONG, SHORT), first=False)
    wire.slice(10, (LONG, SHORT))
    assert [(unit.stamp, unit.torn) for unit in wire.out] == [(2, False), (9, False), (9, True)]
    wire.wait(0.3)
    assert len(wire.out) == 3


def test_a_picture_that_lost_packets_is_torn() -> None:
    wire = Wire()
    wire.learn()
    wire.slice(9, (LONG, SHORT), lost=True)
    wire.slice(10, (LONG, SHORT))
    wire.slice(11, (LONG, SHORT))
    assert [(unit.stamp, unit.torn) for unit in wire.out] == [(2, False), (9, True), (10, False)]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_pictures_that_all_have_one_stamp_are_told_apart(codec: str) -> None:
    wire = Wire(codec)
    for _ in range(4):
        wire.slice(0, (LONG, SHORT))
        wire.slice(0, (LONG, SHORT), first=False)
        wire.wait(0.2)
    wire.wait(STUCK_S)
    assert [unit.torn for unit in wire.out] == [False] * 4
    assert {len(unit.data) for unit in wire.out} == {2 * (LONG + SHORT)}


def test_a_picture_says_how_long_nothing_came_before_it() -> None:
    wire = Wire()
    wire.learn()
    wire.wait(0.4)
    begin = wire.now
    wire.slice(9, (LONG, SHORT))
    wire.slice(10, (LONG, SHORT))
    assert wire.out[-1].idle_s == pytest.approx(0.6, abs=0.05)
    assert wire.out[-1].arrived_mono == begin


def test_packets_without_a_stamp_are_pictures_of_their_own() -> None:
    wire = Wire("mpeg4")
    wire.send(None, b"a")
    wire.send(None, b"b")
    assert [unit.data for unit in wire.out] == [b"a"]


def test_a_codec_whose_packets_are_pictures_waits_for_nothing() -> None:
    wire = Wire("mjpeg")
    wire.send(0, b"a")
    wire.send(0, b"b", lost=True)
    assert [(unit.data, unit.torn) for unit in wire.out] == [(b"a", False), (b"b", True)]
    assert not wire.assembler.pending
