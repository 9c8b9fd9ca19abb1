"""A vendor's feature tree, triggers and formats: Basler's emulator, where pypylon is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agent.capture.source import Picture, PictureError, SourceError
from agent.capture.sources.genicam.source import GenicamSource
from tests.capture.support import camera

pytest.importorskip("pypylon", reason="pypylon is not installed")
from tests.capture.genicam.pylon import EmulatedDevice, EmulatorBackend

SERIAL = "genicam://serial/0815-0000"
ROI = "roi=0,0,64,48"
Opened = Callable[..., GenicamSource]


@pytest.fixture
def opened() -> Iterator[Opened]:
    sources: list[GenicamSource] = []

    def open_source(options: str, **keys: object) -> GenicamSource:
        told = camera(f"{SERIAL}?{ROI}&{options}", **keys)
        made = GenicamSource(told, lambda _: EmulatorBackend())
        sources.append(made)
        made.open()
        return made

    yield open_source
    for source in sources:
        source.close()


def taken(source: GenicamSource) -> Picture:
    """The next picture; a free-running or fired camera sends one."""
    while (picture := source.read()) is None:
        pass
    return picture


def reason_of(source: GenicamSource) -> str:
    """Why the next picture cannot be read, "" where it can."""
    try:
        taken(source)
    except PictureError as error:
        return error.reason
    return ""


def device_of(source: GenicamSource) -> EmulatedDevice:
    device = source._device
    assert isinstance(device, EmulatedDevice)
    return device


def test_each_software_trigger_is_one_picture(opened: Opened) -> None:
    source = opened("trigger=software&exposure_us=500&gain_db=2", mode="triggered", fps=50.0)
    device = device_of(source)
    assert device.read("TriggerMode") == "On"
    assert device.read("TriggerSource") == "Software"
    assert device.read("ExposureAuto") == "Off"
    for _ in range(10):
        assert taken(source).image.shape == (48, 64, 3)
    found = source.measured()
    assert found is None or (found.triggers_lost, found.lost) == (0, {})


def test_a_line_that_stays_quiet_takes_no_picture_and_the_camera_rests(opened: Opened) -> None:
    source = opened("trigger=Line1:FallingEdge&strobe=Line2", mode="triggered", fps=None)
    device = device_of(source)
    assert device.read("TriggerActivation") == "FallingEdge"
    device.write("LineSelector", "Line2")
    assert device.read("LineSource") == "ExposureActive"
    assert source.read() is None


@pytest.mark.parametrize(
    "name", ["Mono8", "Mono10", "Mono12", "BayerRG8", "BayerGB8", "RGB8Packed", "BGRA8Packed"]
)
def test_formats_of_a_vendor_become_pictures(opened: Opened, name: str) -> None:
    source = opened(f"trigger=off&pixel_format={name}", mode="free-run", fps=50.0)
    image = taken(source).image
    assert image.shape == (48, 64, 3)
    assert image.std() > 0, "a test picture has more than one grey"


def test_a_buffer_that_failed_is_no_picture_and_the_next_one_is(opened: Opened) -> None:
    source = opened("trigger=off&features=ForceFailedBufferCount=1", mode="free-run", fps=50.0)
    device_of(source).execute("ForceFailedBuffer")
    assert "incomplete" in [reason_of(source) for _ in range(20)]
    assert reason_of(source) == "", "the camera goes on"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("exposure_us=99999999999", "allowed is"),
        ("trigger=Line9:RisingEdge", "there are Software, Line1"),
        ("features=ExposureTimes=5", "did you mean ExposureTime"),
        ("features=Width=63000", "Width is 63000; allowed is a whole number from 1 to"),
        ("pixel_format=BayerRG9", "did you mean BayerRG8"),
    ],
)
def test_what_the_vendor_s_camera_does_not_take_is_named(
    opened: Opened, options: str, part: str
) -> None:
    with pytest.raises(SourceError) as caught:
        opened(options, fps=None)
    assert part in caught.value.detail
