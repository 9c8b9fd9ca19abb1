"""The second backend on Aravis' fake camera, at the end of a cable in a network of its own."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.aravis.backend import AravisBackend
from agent.capture.sources.genicam.aravis.device import Device
from agent.capture.sources.genicam.backend import NodeError
from agent.capture.sources.genicam.gige import gvcp
from agent.capture.sources.genicam.gige.network import network
from agent.capture.sources.genicam.source import GenicamSource
from agent.config import Camera, GenicamOptions
from tests.capture.genicam.networks import (
    CABLE,
    ELSEWHERE,
    HERE,
    THERE,
    FarSide,
    in_own_network,
)
from tests.capture.support import camera
from tests.support import wait_until

BY_ADDRESS = Address("ip", THERE)
BY_SERIAL = Address("serial", "GV01")
OPTIONS = GenicamOptions(interface=CABLE)
ROOT = Path(__file__).parents[3]
PACKET_BYTES = 1000
PICTURE = 64


_opened: list[Device] = []


def own_network(body: Callable[[FarSide], None]) -> Callable[[], None]:
    @functools.wraps(body)
    def test() -> None:
        def with_camera() -> None:
            with FarSide() as far:
                try:
                    body(far)
                finally:  # of a test that fails no thread of the library stays for the next one
                    while _opened:
                        _opened.pop().close()

        in_own_network(with_camera)

    del test.__wrapped__  # pytest would ask for its argument
    return test


def opened(address: Address = BY_ADDRESS, timeout_s: float = 10.0) -> Device:
    camera = Camera(name="cam1", source=str(address), open_timeout_s=timeout_s)
    device = AravisBackend().open(address, OPTIONS, camera)
    _opened.append(device)
    return device


def started(address: Address = BY_ADDRESS, triggered: bool = False) -> Device:
    device = opened(address)
    device.write("Width", PICTURE)
    device.write("Height", PICTURE)
    device.write("GevSCPSPacketSize", PACKET_BYTES)
    if triggered:
        device.write("TriggerSource", "Software")
        device.write("TriggerMode", "On")
    device.start(4)
    return device


def lost(device: Device) -> SourceError:
    """Read as a source does until the camera is lost."""
    for _ in range(100):
        try:
            if device.next(0.5) is None:
                device.alive()
        except SourceError as error:
            device.close()
            # On a network that vanishes the library's thread would turn without rest.
            wait_until(lambda: "arv_gv_stream" not in names_of_threads(), 20)
            return error
    pytest.fail("the loss was not noticed")


@own_network
def test_a_camera_is_found_and_its_nodes_are_what_they_are(far: FarSide) -> None:
    far.power_on()
    (found,) = AravisBackend().discover(OPTIONS)
    lane = network(CABLE)
    assert lane is not None
    assert lane.broadcast == "10.9.0.255"
    assert (found.serial, found.ip, found.interface, found.access) == (
        "GV01",
        THERE,
        CABLE,
        "free",
    )
    device = opened(BY_SERIAL)
    width, mode = device.node("Width"), device.node("TriggerMode")
    assert (width.kind, width.minimum, width.maximum, width.increment) == ("integer", 1, 2048, 1)
    assert (mode.kind, mode.entries) == ("enumeration", ("Off", "On"))
    assert device.node("ExposureTimeAbs").kind == "float"
    assert device.node("TriggerSoftware").kind == "command"
    assert not device.node("DeviceID").writable
    assert device.node("PayloadSize").maximum is None  # it declares no range
    for name, value in (("Width", 96), ("ExposureTimeAbs", 2500.0), ("PixelFormat", "BayerRG8")):
        device.write(name, value)
        assert device.read(name) == value
    for name, value, said in (
        ("Width", 99999, "2048"),
        ("Width", "wide", "is no integer"),
        ("PixelFormat", "Mono99", "Mono99"),
        ("DeviceID", "other", "read only"),
        ("Wdith", 96, "none of this name"),
        ("Root", 1, "no feature"),
    ):
        with pytest.raises(NodeError, match=said):
            device.write(name, value)
    names = device.names()
    assert len(names) == len(set(names))
    assert {"Width", "GevSCPSPacketSize"} <= set(names)
    with pytest.raises(SourceError, match=r"absent.*serial GV01"):
        opened(Address("serial", "40012345"))
    with pytest.raises(SourceError, match="no_answer"):
        opened(Address("ip", "10.9.0.77"))
    with pytest.raises(SourceError, match=r"unreachable.*nowhere0"):
        AravisBackend().discover(GenicamOptions(interface="nowhere0"))
    device.close()


@own_network
def test_every_trigger_is_one_picture_and_a_picture_that_lost_packets_says_so(
    far: FarSide,
) -> None:
    far.power_on(lost_in_1000=60)
    device = started(triggered=True)
    before = threads(), descriptors()
    ids, problems = [], []
    for _ in range(30):
        device.execute("TriggerSoftware")
        buffer = device.next(5.0)
        assert buffer is not None
        assert buffer.frame_id is not None
        ids.append(buffer.frame_id)
        problems.append(buffer.problem)
        if buffer.problem:  # never half a fruit
            assert buffer.data.size == 0
        else:
            assert buffer.data.shape == (PICTURE * PICTURE,)
            assert (buffer.width_px, buffer.stride_bytes) == (PICTURE, PICTURE)
            assert buffer.pixel_format == "Mono8"
    assert all(later - earlier == 1 for earlier, later in pairwise(ids))
    assert set(problems) == {"", "incomplete"}  # of 5 packets each 6 % are lost
    counted = device.statistics()
    assert counted.delivered == problems.count("")
    assert counted.packets_missing
    device.alive()  # it rests, and is there
    device.close()
    again = started(triggered=True)
    assert (threads(), descriptors()) == before
    again.close()


@own_network
def test_the_newest_pictures_are_kept_where_nobody_fetches(far: FarSide) -> None:
    far.power_on()
    device = started(triggered=True)
    for count in range(1, 9):
        device.execute("TriggerSoftware")
        wait_until(functools.partial(delivered, device, count), 20)
    # The library counts a picture before it hands it on.
    wait_until(lambda: device.statistics().underruns == 4, 20)
    kept = []
    while (buffer := device.next(0.5)) is not None:
        assert buffer.frame_id is not None
        kept.append(buffer.frame_id)
    assert len(kept) == 4
    assert device.statistics().underruns == 4
    assert kept == sorted(kept)
    device.close()


@own_network
def test_a_packet_larger_than_the_network_takes_is_refused(far: FarSide) -> None:
    far.power_on()
    device = opened()
    device.write("GevSCPSPacketSize", 9400)
    with pytest.raises(SourceError, match=r"packet_size 9400 is above the MTU 9000 of cable"):
        device.start(4)
    device.close()


@own_network
def test_a_camera_that_another_client_controls_is_taken_and_says_by_whom(far: FarSide) -> None:
    far.power_on()
    device = started()
    with pytest.raises(SourceError, match=r"taken.*controls it"):
        opened(timeout_s=0.5)
    (found,) = AravisBackend().discover(OPTIONS)
    assert found.access == "in_use"
    assert device.next(5.0) is not None  # it was not disturbed
    device.close()
    opened().close()


LEFT_RUNNING = """
import signal
from tests.capture.genicam.test_aravis import started
device = started()
assert device.next(20.0)
print("running", flush=True)
signal.pause()
"""


@own_network
def test_a_camera_that_a_killed_process_left_running_is_opened_again(far: FarSide) -> None:
    """Its heart beat for the dead client runs out first; then it is stopped and set up anew."""
    far.power_on()
    command = (sys.executable, "-c", LEFT_RUNNING)
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"running\n"
        killed.kill()
    told = f"genicam://ip/{THERE}?roi=0,0,32,16&packet_size={PACKET_BYTES}&trigger=off"
    source = GenicamSource(camera(told, fps=None, open_timeout_s=60))
    source.open()
    picture = None
    while picture is None:
        picture = source.read()
    assert picture.image.shape == (16, 32, 3)
    source.close()


@pytest.mark.long
@own_network
def test_who_or_what_took_the_camera_away_is_told_apart(far: FarSide) -> None:
    far.power_on()
    device = started(triggered=True)
    far.power_off()
    assert lost(device).reason == "no_answer"
    with pytest.raises(SourceError, match="no_answer"):
        opened()

    far.power_on()
    device = started(triggered=True)
    far.pull()
    assert lost(device).reason == "unplugged"
    with pytest.raises(SourceError, match="unplugged"):
        opened()
    far.plug()

    device = started(triggered=True)
    far.power_off()
    far.power_on()
    assert lost(device).reason == "restarted"

    device = started(BY_SERIAL, triggered=True)
    far.power_off()
    far.power_on(ELSEWHERE)
    error = lost(device)
    assert error.reason == "moved"
    assert ELSEWHERE in error.detail
    device = opened(BY_SERIAL)
    assert device.record.ip == ELSEWHERE
    device.close()


@own_network
def test_an_address_is_opened_without_a_broadcast(far: FarSide) -> None:
    """Whatever is broadcast on the cable is dropped on it, and counted."""
    far.power_on()
    assert gvcp.search(0.2, HERE)
    far.inside("nft", "add table ip t")
    far.inside("nft", "add chain ip t i { type filter hook prerouting priority -300 ; }")
    far.inside("nft", "add rule ip t i meta pkttype broadcast drop")
    assert gvcp.search(0.2, HERE, "10.9.0.255") == []
    device = started()
    assert device.next(5.0) is not None
    device.close()


def delivered(device: Device, count: int) -> bool:
    return (device.statistics().delivered or 0) >= count


def names_of_threads() -> set[str]:
    names = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            names.add((task / "comm").read_text().strip())
    return names


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
