"""A real GenTL producer, which the package ``genicam`` brings: three virtual cameras."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import DeviceRecord
from agent.capture.sources.genicam.source import GenicamSource
from agent.config import GenicamOptions
from tests.capture.conftest import Capture
from tests.capture.support import camera

genicam = pytest.importorskip("genicam.gentl", reason="the extra genicam is not installed")
from agent.capture.sources.genicam.gentl.backend import GentlBackend  # noqa: E402
from agent.capture.sources.genicam.gentl.device import GentlDevice  # noqa: E402

PRODUCER = Path(genicam.__file__).with_name("viky.cti")
GREEN = f"genicam://serial/1?cti={PRODUCER}"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def opened() -> Iterator[list[GenicamSource]]:
    """Sources that are closed at the end: the producer lives as long as this process."""
    sources: list[GenicamSource] = []
    yield sources
    for source in sources:
        source.close()


def test_a_camera_is_opened_told_read_and_released(opened: list[GenicamSource]) -> None:
    told = "pixel_format=RGBa8&features=AcquisitionFrameRate=200&roi=0,0,400,300&buffers=4"
    for _ in range(2):  # the second time only a camera that was released opens
        source = GenicamSource(camera(f"{GREEN}&{told}", fps=None))
        opened.append(source)
        info = source.open()
        assert (info.width_px, info.height_px, info.fps) == (400, 300, 200.0)
        picture = None
        while picture is None:
            picture = source.read()
        assert picture.image.shape == (300, 400, 3)
        blue, green, red = picture.image.reshape(-1, 3).mean(0)
        assert green > max(blue, red), "the ball of this camera is green"
        opened.pop().close()
    before = descriptors()
    source = GenicamSource(camera(GREEN))
    source.open()
    source.close()
    assert descriptors() <= before


def test_the_producer_s_cameras_and_features_are_named_in_errors(
    opened: list[GenicamSource],
) -> None:
    for source, reason, part in (
        (f"genicam://serial/9?cti={PRODUCER}", "absent", "there are serial 0, Machine Vision"),
        (f"{GREEN}&features=Pixelformat=Mono8", "feature", "did you mean PixelFormat?"),
        (f"{GREEN}&features=PixelFormat=Mono9", "feature", "there are RGBa8, Mono8"),
        (f"{GREEN}&features=PayloadSize=4", "feature", "PayloadSize is read-only, it is"),
        (f"{GREEN}&roi=0,0,900,400", "feature", "Width is 900; allowed is a whole number from 100"),
        (f"{GREEN}&trigger=software", "feature", "the camera has no feature TriggerSource"),
        (f"{GREEN}&interface=eth97", "absent", "interface eth97 is not there; there are All GenTL"),
    ):
        made = GenicamSource(camera(source, fps=None))
        opened.append(made)
        with pytest.raises(SourceError) as caught:
            made.open()
        assert caught.value.reason == reason, source
        assert part in caught.value.detail, source
        opened.pop().close()


class Taken:
    """Stands for what a producer knows of a camera that another client controls."""

    def create_device(self) -> Taken:
        return self

    def open(self, access: object) -> None:
        raise genicam.ResourceInUseException("controlled by 10.0.0.9", "", 0, "", "", "")


@pytest.mark.parametrize(
    ("access", "reason"), [("in_use", "in_use"), ("", "in_use"), ("unreachable", "unreachable")]
)
def test_a_camera_that_cannot_be_controlled_says_why(
    monkeypatch: pytest.MonkeyPatch, access: str, reason: str
) -> None:
    backend = GentlBackend()
    record = DeviceRecord(serial="7", access=access, key="k")
    monkeypatch.setattr(backend, "_found", lambda options: [record])
    backend._infos["k"] = Taken()
    with pytest.raises(SourceError, match=r"10\.0\.0\.9") as caught:
        backend.open(Address("serial", "7"), GenicamOptions(), camera(GREEN))
    assert caught.value.reason == reason


def test_a_producer_tells_no_more_than_it_knows() -> None:
    """This one has no user names and no addresses: they are empty, and no error."""
    found = GentlBackend().discover(GenicamSource(camera(GREEN))._options)
    assert [device.serial for device in found] == ["0", "1", "2"]
    assert {(one.user_name, one.ip, one.access) for one in found} == {("", "", "free")}


@pytest.fixture
def green() -> Iterator[GentlDevice]:
    made = GenicamSource(camera(GREEN))
    device = GentlBackend().open(Address("serial", "1"), made._options, camera(GREEN))
    assert isinstance(device, GentlDevice)
    yield device
    device.close()


class Raw:
    """A producer's buffer that says nothing but what it is made of: the rest is not available."""

    def __init__(self, **said: object) -> None:
        self._said = said

    def __getattr__(self, name: str) -> object:
        if name in self._said:
            return self._said[name]
        raise genicam.NotAvailableException("not available", "", 0, "", "", "")


def test_what_a_buffer_does_not_say_the_camera_s_nodes_say(green: GentlDevice) -> None:
    green.write("PixelFormat", "Mono8")
    memory = np.arange(400 * 400, dtype=np.uint32).astype(np.uint8).tobytes() + bytes(99)
    found = green._copied(Raw(raw_buffer=memory), 5.0)
    assert (found.width_px, found.height_px, found.pixel_format) == (400, 400, "Mono8")
    assert found.data.tobytes() == memory[: 400 * 400]
    assert (found.problem, found.frame_id, found.stamp_ns) == ("", None, None)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"is_complete": lambda: False}, "incomplete"),
        ({"is_complete": lambda: False, "size_filled": 99}, "incomplete"),
        ({"size_filled": 400 * 399}, "incomplete"),
        ({"has_received_larger_payload": lambda: True, "size_filled": 400 * 400}, "overflow"),
        ({"payload_type": 6, "size_filled": 400 * 400}, "wrong_payload"),
    ],
)
def test_a_buffer_that_is_no_whole_picture_gives_none_of_its_bytes(
    green: GentlDevice, said: dict[str, object], problem: str
) -> None:
    green.write("PixelFormat", "Mono8")
    found = green._copied(Raw(**said), 5.0)
    assert found.problem == problem
    assert found.data.size == 0


def test_a_picture_stays_as_it_is_while_its_memory_is_filled_again(green: GentlDevice) -> None:
    green.write("PixelFormat", "Mono8")
    green.write("AcquisitionFrameRate", 200.0)
    green.start(2)
    kept, ids = [], []
    while len(kept) < 10:
        if (found := green.next(0.5)) is not None:
            kept.append((found.data, found.data.tobytes()))
            ids.append(found.frame_id)
    assert all(data.tobytes() == before for data, before in kept)
    assert len({before for _, before in kept}) > 1, "the ball moves"
    assert ids == sorted(set(ids))
    green.alive()


def test_counts_that_the_stream_does_not_say_are_those_of_its_nodes(green: GentlDevice) -> None:
    class Nodes:
        there = ("StreamBufferUnderrunCount", 3), ("StreamLostFrameCount", 5)

        def count(self, names: Sequence[str]) -> int | None:
            return next((value for name, value in self.there if name in names), None)

    green._stream, green._stream_nodes = Raw(num_delivered=9), Nodes()  # type: ignore[assignment]
    found = green.statistics()
    assert (found.delivered, found.underruns, found.lost) == (9, 3, 5)
    assert (found.packets_resent, found.packets_missing) == (None, None)
    green._stream = None


def test_a_library_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    torn = tmp_path / "torn.cti"
    library = PRODUCER.read_bytes()
    for held, part in (
        (library[:20] + bytes(4096), "cannot"),
        (library[:-1], f"is cut off: {len(library) - 1} of {len(library)} bytes"),
    ):
        torn.write_bytes(held)
        with pytest.raises(SourceError, match=rf"torn\.cti.*{part}") as caught:
            GenicamSource(camera(f"genicam://serial/1?cti={torn}")).open()
        assert (caught.value.reason, caught.value.permanent) == ("bad_producer", True)


@pytest.mark.long
def test_a_producer_that_hangs_is_killed_with_its_child(capture: Capture) -> None:
    """A stopped process is a call that does not return: the camera comes back with the next."""
    patient = {"open_timeout_s": 60, "read_timeout_s": 2.5}  # of a loaded computer
    told = f"{GREEN}&features=AcquisitionFrameRate=20"
    run = capture(camera(told, fps=None, name="green", **patient))
    run.wait_for_frames(3, "green", timeout_s=50)
    os.kill(run.system.pids()["green"], signal.SIGSTOP)
    run.wait_for("backoff", "read_timeout", name="green")
    run.wait_for_frames(3, "green", timeout_s=40)
    assert run.frames[-1].image.shape == (400, 400, 3)
