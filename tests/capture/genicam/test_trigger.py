"""A camera that is fired with each fruit: the machine's word, the descriptor, the camera."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from agent.capture.source import SourceError, Triggerable
from agent.capture.sources.genicam.source import GenicamSource
from agent.capture.sources.genicam.trigger import MachineBeat, SoftwareTrigger
from agent.capture.trigger_line import TriggerLine
from agent.records import MachineInfo, Origin
from tests.capture.genicam.memory import MemoryBackend, buffer, device
from tests.capture.support import camera

FIRED = ("TriggerSoftware", "done")
BY_MACHINE = camera("genicam://serial/7?trigger=software", fps=None, mode="triggered")


@pytest.fixture
def line() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("genicam://serial/7?trigger=software", {"fps": 4.0}),
        ("genicam://serial/7?trigger=off", {"fps": None}),
        ("genicam://serial/7", {"fps": None}),
        ("genicam://serial/7?triger=software", {"fps": None}),
        ("sim:", {"fps": None}),
    ],
)
def test_any_other_camera_has_no_line(source: str, keys: dict[str, float | None]) -> None:
    made = TriggerLine(camera(source, **keys))
    made.heard(MachineInfo(fruit_id="1"))
    assert made.fds == {}
    made.close()


def test_each_new_fruit_of_the_machine_raises_the_line_once() -> None:
    made = TriggerLine(BY_MACHINE)
    fd = made.fds["trigger"]
    for info in (
        MachineInfo(fruit_id="0", origin=Origin.STORED),
        MachineInfo(fruit_id="1"),
        MachineInfo(fruit_id="1", encoder=5),
        MachineInfo(encoder=7),
        MachineInfo(fruit_id="2"),
        MachineInfo(variety="golden", origin=Origin.OPERATOR),
    ):
        made.heard(info)
    assert os.eventfd_read(fd) == 2
    made.close()
    made.heard(MachineInfo(fruit_id="3"))
    made.close()
    assert made.fds == {}


def test_a_raised_line_fires_the_camera_once_and_the_fruit_that_passed_are_lost(line: int) -> None:
    made = device()
    trigger = SoftwareTrigger(made)
    os.eventfd_write(line, 5)  # before the camera was open
    beat = MachineBeat(trigger, line)
    assert beat.turn(0.0, 0.0) == 0.0
    assert made.log == []
    os.eventfd_write(line, 3)
    assert beat.turn(1.0, 0.5) > 0, "a picture is due"
    assert made.log == [FIRED]
    assert trigger.lost(1.0) == 2
    trigger.pictures(1)
    assert trigger.lost(9.0) == 0
    assert beat.turn(9.0, 0.0) == 0.0


def test_a_camera_that_refuses_a_trigger_has_lost_it(line: int) -> None:
    made = device()
    made.unavailable = {"TriggerSoftware"}
    trigger = SoftwareTrigger(made)
    beat = MachineBeat(trigger, line)
    os.eventfd_write(line, 1)
    beat.turn(0.0, 0.0)
    assert trigger.lost(0.0) == 1


def test_the_source_fires_with_the_line_and_reads_the_picture(line: int) -> None:
    made = device()
    source = GenicamSource(BY_MACHINE, lambda _: MemoryBackend(made))
    assert isinstance(source, Triggerable)
    source.trigger_by(line)
    assert source.open().fps == 0.0, "the machine sets the pace"
    made.log.clear()
    os.eventfd_write(line, 1)
    made.buffers.append(buffer(1))
    assert source.read() is not None
    assert made.log == [FIRED]
    assert not select.select([line], [], [], 0)[0], "it was taken"


def test_without_a_line_and_without_a_rate_there_is_nothing_to_fire_with() -> None:
    source = GenicamSource(BY_MACHINE, lambda _: MemoryBackend(device()))
    with pytest.raises(SourceError, match="needs fps, or a machine that names fruit") as caught:
        source.open()
    assert caught.value.permanent
