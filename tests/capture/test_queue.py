"""The books: captured = taken + dropped + in the ring, at every moment, over many sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.queue import SESSIONS, Arrivals, FrameBooks, RingQueue
from agent.supervision.ring import RingWriter
from agent.supervision.ring_memory import CAPTURED, FrameRing, RingShape, create_memory
from tests.capture.support import Ledger

SHAPE = RingShape(slots=4, image_bytes=12)
IMAGE = np.zeros((2, 2, 3), np.uint8)


class Camera:
    """A queue and the writers that its sessions would have in other processes."""

    def __init__(self, max_age_s: float = 2.0) -> None:
        self.ledger = Ledger()
        self.queue = RingQueue(("left", "right"), max_age_s, self.ledger)
        self.now = 0.0
        self.pushed = 0
        self._ring: FrameRing | None = None
        self._cut_off = False

    def begin(self) -> None:
        memory = create_memory("test")
        self.queue.begin(memory)
        self._memory = os.dup(memory)
        self._ring = FrameRing.allocate(self._memory, SHAPE)
        self._cut_off = False
        self.queue.attach()

    def push(self, meta: bytes = b"", late_s: float = 0.0) -> None:
        if self._ring is not None and not self._cut_off:
            stamps = (0, self.now - late_s)
            RingWriter(self._ring).push(IMAGE, None, stamps, meta=meta, now_mono=self.now)
            self.pushed += 1

    def leave_out(self, count: int = 1) -> None:
        """Pictures come that are too old."""
        if self._ring is not None and not self._cut_off:
            for _ in range(count):
                RingWriter(self._ring).leave_out()
            self.pushed += count

    def cut_off(self) -> None:
        """The writer is killed in the middle of a picture."""
        if self._ring is not None and not self._cut_off:
            self._ring.words[CAPTURED] += 1
            self._cut_off = True
            self.pushed += 1

    def retire(self) -> None:
        if self._ring is not None:
            self.queue.retire()
            self._ring.close()
            os.close(self._memory)
            self._ring = None

    def take(self) -> int | None:
        if self.queue.oldest_mono(self.now) is None:
            return None
        popped = self.queue.pop()
        assert popped is not None
        return popped[1]

    def books(self) -> FrameBooks:
        books = self.queue.books()
        assert books.captured == self.pushed == books.taken + books.dropped + books.in_ring
        assert books.dropped == sum(books.dropped_by_reason.values())
        for lane in ("left", "right"):
            assert self.ledger.counts[("frames_captured", lane)] == books.captured
            for reason, count in books.dropped_by_reason.items():
                assert self.ledger.counts[("frames_dropped", lane, "capture", reason)] == count
        return books


@pytest.fixture
def cam() -> Iterator[Camera]:
    camera = Camera()
    camera.begin()
    yield camera
    camera.queue.abandon("stopped")


def test_numbers_run_on_over_sessions_and_name_every_lost_picture(cam: Camera) -> None:
    for _ in range(6):
        cam.push()
    assert [cam.take() for _ in range(5)] == [3, 4, 5, 6, None]
    cam.push()
    cam.cut_off()
    cam.retire()
    cam.begin()
    cam.push()
    assert [cam.take() for _ in range(3)] == [7, 9, None]
    assert cam.books().dropped_by_reason == {"overrun": 2, "child_killed": 1}


def test_what_a_killed_child_left_whole_is_read_before_anything_is_dropped(cam: Camera) -> None:
    for _ in range(3):
        cam.push()
    cam.retire()
    assert cam.books().in_ring == 3
    assert [cam.take() for _ in range(4)] == [1, 2, 3, None]
    assert cam.books().dropped == 0


def test_pictures_above_the_age_limit_are_dropped_and_counted(cam: Camera) -> None:
    cam.push()
    cam.push()
    cam.now = 2.5
    cam.push()
    assert cam.take() == 3
    assert cam.books().dropped_by_reason == {"expired": 2}


def test_a_stop_books_what_nobody_took(cam: Camera) -> None:
    for _ in range(3):
        cam.push()
    cam.take()
    cam.queue.abandon("stopped")
    assert cam.books() == FrameBooks(3, 2, 1, 0, {"stopped": 2})


def test_a_child_killed_before_its_ring_had_a_shape_captured_nothing() -> None:
    queue = RingQueue(("a",), 2.0, Ledger())
    queue.begin(create_memory("test"))
    queue.retire()
    assert queue.books() == FrameBooks(0, 0, 0, 0, {})


def test_rings_that_nobody_reads_do_not_pile_up() -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    cam = Camera()
    for _ in range(20):
        cam.begin()
        cam.push()
        cam.retire()
    # Of each ring that is kept: the memory, and the mapping's own copy of it.
    assert len(list(Path("/proc/self/fd").iterdir())) - open_before <= 2 * SESSIONS
    books = cam.books()
    assert books.in_ring == SESSIONS
    assert books.dropped_by_reason == {"child_killed": 20 - SESSIONS}
    cam.queue.abandon("stopped")


def test_arrivals_are_counted_once(cam: Camera) -> None:
    cam.now = 7.0
    cam.push()
    cam.push()
    assert cam.queue.arrivals() == Arrivals(2, 7.0, 7.0)
    assert cam.queue.arrivals().count == 0


def test_pictures_that_came_too_old_are_dropped_by_their_reason_and_leave_a_gap() -> None:
    cam = Camera()
    cam.begin()
    cam.now = 7.0
    cam.leave_out(2)
    assert cam.queue.arrivals().count == 0, "no sign of life"
    cam.push()
    cam.leave_out(1)
    cam.push()
    assert cam.queue.arrivals().count == 2
    assert [cam.take(), cam.take()] == [3, 5]
    books = cam.books()
    assert (books.captured, books.taken, books.dropped_by_reason) == (5, 2, {"stale": 3})
    cam.leave_out(1)
    cam.retire()
    cam.begin()
    cam.push()
    assert cam.take() == 7
    assert cam.books().dropped_by_reason == {"stale": 4}


def test_a_picture_that_was_late_is_a_sign_of_life_when_it_came() -> None:
    cam = Camera()
    cam.begin()
    cam.now = 9.0
    cam.push(late_s=1.5)
    assert cam.queue.arrivals() == Arrivals(1, 7.5, 9.0)


def test_facts_that_were_too_long_for_their_picture_are_counted() -> None:
    cam = Camera()
    cam.begin()
    cam.push(meta=b"x" * 100)  # this ring has no room for any
    cam.push()
    assert cam.take() == 1
    cam.books()
    assert cam.ledger.counts[("picture_facts_lost", "left")] == 1
    assert cam.ledger.counts[("picture_facts_lost", "right")] == 1


ACTIONS = st.sampled_from(["push", "leave_out", "take", "cut_off", "renew", "wait", "books"])


@given(actions=st.lists(ACTIONS, max_size=80))
def test_the_books_balance_after_any_steps(actions: list[str]) -> None:
    cam = Camera()
    cam.begin()
    seen: list[int] = []
    for action in actions:
        if action == "renew":
            cam.retire()
            cam.begin()
        elif action == "wait":
            cam.now += 0.7
        elif action == "take":
            if (number := cam.take()) is not None:
                seen.append(number)
        elif action == "push":
            cam.push()
        elif action == "leave_out":
            cam.leave_out()
        elif action == "cut_off":
            cam.cut_off()
        elif action == "books":  # not at every step: looking must not be what makes them right
            cam.books()
    assert seen == sorted(set(seen))
    assert cam.books().taken == len(seen)
    cam.queue.abandon("stopped")
    assert cam.books().in_ring == 0
