"""The ring: every picture is read once or counted once, whatever writer and reader do."""

from __future__ import annotations

import os
import random
import select
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.supervision.child import ChildSpec, spawn
from agent.supervision.ring import PictureTooLarge, RingFrame, RingReader, RingWriter
from agent.supervision.ring_memory import FrameRing, RingError, RingShape, create_memory
from tests.support import wait_until

SHAPE = RingShape(slots=4, image_bytes=8 * 6 * 3, tag_bytes=4, meta_bytes=16)


def picture(index: int) -> np.ndarray:
    return np.full((6, 8, 3), index % 251, np.uint8)


def push(writer: RingWriter, index: int) -> int:
    return writer.push(picture(index), None, (index, float(index)), b"tag", b"%d" % index)


@pytest.fixture
def memory() -> Iterator[int]:
    fd = create_memory("test")
    yield fd
    os.close(fd)


@pytest.fixture
def ring(memory: int) -> Iterator[FrameRing]:
    ring = FrameRing.allocate(memory, SHAPE)
    yield ring
    ring.close()


def test_a_picture_comes_out_as_it_went_in(memory: int, ring: FrameRing) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (6, 8, 3), np.uint8)
    aperture = rng.integers(0, 2, (6, 8)).astype(bool)
    writer = RingWriter(ring)
    writer.push(image, aperture, (1_700_000_000_123, 12.5), b"abcd", b'{"x": 1}')
    writer.push(image[:, ::-1, :1], None, (5, 13.5))

    other = FrameRing.attach(memory)
    reader = RingReader(other)
    assert reader.peek_mono() == 12.5
    first, second = reader.pop(), reader.pop()
    assert first is not None
    assert second is not None
    assert np.array_equal(first.image, image)
    assert first.aperture is not None
    assert first.aperture.dtype == bool
    assert np.array_equal(first.aperture, aperture)
    assert (first.index, first.captured_utc_ms, first.captured_mono) == (0, 1_700_000_000_123, 12.5)
    assert (first.tag, first.meta) == (b"abcd", b'{"x": 1}')
    assert np.array_equal(second.image, image[:, ::-1, :1])
    assert second.aperture is None
    assert (second.index, second.tag, second.meta) == (1, b"", b"")
    assert reader.pop() is None
    assert reader.peek_mono() is None
    assert other.last_mono == 13.5
    other.close()


def test_what_was_read_is_not_overwritten_later(ring: FrameRing) -> None:
    writer, reader = RingWriter(ring), RingReader(ring)
    push(writer, 0)
    first = reader.pop()
    for index in range(1, 9):
        push(writer, index)
    assert first is not None
    assert np.array_equal(first.image, picture(0))


def test_the_oldest_is_overrun_and_counted_when_the_reader_is_slow(ring: FrameRing) -> None:
    writer, reader = RingWriter(ring), RingReader(ring)
    for index in range(10):
        push(writer, index)
    assert reader.readable == 4
    frames = [reader.pop() for _ in range(5)]
    assert [frame and frame.index for frame in frames] == [6, 7, 8, 9, None]
    assert (reader.read, reader.overrun, reader.in_ring) == (4, 6, 0)


def test_a_picture_above_the_slot_is_refused_and_leaves_no_trace(ring: FrameRing) -> None:
    writer = RingWriter(ring)
    with pytest.raises(PictureTooLarge):
        writer.push(np.zeros((7, 8, 3), np.uint8), None, (0, 0.0))
    assert ring.captured == ring.committed == 0


def test_meta_above_the_slot_is_left_out_and_counted(ring: FrameRing) -> None:
    RingWriter(ring).push(picture(0), None, (0, 0.0), b"", b"x" * 17)
    frame = RingReader(ring).pop()
    assert frame is not None
    assert frame.meta == b""
    assert ring.meta_dropped == 1


def test_memory_without_a_shape_or_of_something_else_is_a_clear_error(memory: int) -> None:
    with pytest.raises(RingError, match="no shape yet"):
        FrameRing.attach(memory)
    os.ftruncate(memory, 8192)
    with pytest.raises(RingError, match="no ring"):
        FrameRing.attach(memory)


def test_the_size_is_sealed_so_that_no_side_can_pull_the_memory_away(
    memory: int, ring: FrameRing
) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 0)


def test_a_ring_that_does_not_fit_the_memory_is_an_error_and_never_a_sigbus(memory: int) -> None:
    child = spawn(ChildSpec("test", "tests.supervision.targets:no_room", fds={"ring": memory}))
    messages: list[object] = []
    wait_until(lambda: messages.extend(child.receive()) or messages, 20)
    assert messages == ["no shared memory of 8.6 MiB: File too large"]
    child.kill()


class Interleaved:
    """Writer and reader on one ring, each able to act in the middle of the other's copy."""

    def __init__(self) -> None:
        self.fd = create_memory("test")
        self.ring = FrameRing.allocate(self.fd, SHAPE)
        self.reader = RingReader(self.ring)
        self.writer = RingWriter(self.ring)
        self.pushed = 0
        self.got: list[RingFrame] = []
        self._inside_fill: Callable[[], None] | None = None
        fill, copy = self.writer._fill, self.reader._copy

        def fill_with_reader(*args: object) -> None:
            action, self._inside_fill = self._inside_fill, None
            if action:
                action()
            fill(*args)  # type: ignore[arg-type]

        def copy_with_writer(head: object) -> RingFrame:
            action, self._inside_copy = self._inside_copy, None
            if action:
                action()
            return copy(head)  # type: ignore[arg-type]

        self._inside_copy: Callable[[], None] | None = None
        self.writer._fill = fill_with_reader  # type: ignore[method-assign]
        self.reader._copy = copy_with_writer  # type: ignore[method-assign]

    def push(self, pops_inside: int = 0) -> None:
        self._inside_fill = lambda: [self.pop() for _ in range(pops_inside)] and None
        push(self.writer, self.pushed)
        self.pushed += 1

    def pop(self, pushes_inside: int = 0) -> None:
        self._inside_copy = lambda: [self.push() for _ in range(pushes_inside)] and None
        if frame := self.reader.pop():
            self.got.append(frame)
        self._inside_copy = None

    def die_within_a_write(self) -> None:
        def killed(*args: object) -> None:
            raise InterruptedError

        self.writer._fill = killed  # type: ignore[method-assign]
        with pytest.raises(InterruptedError):
            push(self.writer, self.pushed)
        self.pushed += 1

    def check(self) -> None:
        reader, ring = self.reader, self.ring
        assert ring.captured == self.pushed == reader.read + reader.overrun + reader.in_ring
        assert len(self.got) == reader.read
        indices = [frame.index for frame in self.got]
        assert indices == sorted(set(indices))
        for frame in self.got[-5:]:
            assert np.array_equal(frame.image, picture(frame.index))
            assert frame.meta == b"%d" % frame.index


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 6)),
        st.tuples(st.just("pop"), st.integers(0, 12)),
    ),
    max_size=40,
)


@given(steps=STEPS, dies=st.booleans())
def test_any_interleaving_accounts_for_every_picture_exactly_once(
    steps: list[tuple[str, int]], dies: bool
) -> None:
    both = Interleaved()
    try:
        for action, inside in steps:
            getattr(both, action)(inside)
            both.check()
        if dies:
            both.die_within_a_write()
            both.check()
        while both.reader.readable:
            both.pop()
        both.check()
        assert both.reader.in_ring == both.ring.captured - both.ring.committed == int(dies)
    finally:
        both.ring.close()
        os.close(both.fd)


@pytest.mark.long
def test_killing_the_writer_at_any_time_leaves_only_whole_pictures_and_books_that_balance() -> None:
    rng = random.Random(4)
    for _ in range(6):
        memory, event = create_memory("test"), os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        child = spawn(
            ChildSpec(
                "test",
                "tests.supervision.targets:writes_frames",
                fds={"ring": memory, "event": event},
            )
        )
        wait_until(lambda: child.receive(), 20)  # noqa: B023 - called within this turn
        ring = FrameRing.attach(memory)
        reader, read = RingReader(ring), 0
        for _ in range(rng.randrange(1, 200)):
            assert select.select([event], [], [], 20)[0]
            os.eventfd_read(event)
            frame = reader.pop()
            read += _check_whole(frame)
        child.kill()
        while frame := reader.pop():
            read += _check_whole(frame)
        assert ring.captured - ring.committed in (0, 1)
        assert reader.in_ring == ring.captured - ring.committed
        assert ring.captured == read + reader.overrun + reader.in_ring
        ring.close()
        os.close(memory)
        os.close(event)


def _check_whole(frame: RingFrame | None) -> int:
    if frame is None:
        return 0
    assert (frame.image == frame.index % 251).all()
    assert frame.aperture is not None
    assert (frame.aperture == (frame.index % 2 == 0)).all()
    assert frame.tag == b"tagg"
    assert frame.meta == b"%d" % frame.index
    return 1
