"""Devices of Video4Linux in a list: what the kernel's structures say."""

from __future__ import annotations

import struct
from pathlib import Path

from agent.cameras import v4l2_devices
from agent.cameras.v4l2_devices import described, v4l2_cameras


class Device:
    """Answers requests as the kernel does, each with a structure of the request's own size."""

    def __init__(self, capabilities: int = 1, refuses: tuple[int, ...] = ()) -> None:
        self.capabilities = capabilities
        self.refuses = refuses

    def ioctl(self, handle: int, request: int, asked: bytearray) -> None:
        assert handle == 3
        if request in self.refuses:
            raise OSError
        if request == v4l2_devices.QUERYCAP:
            assert len(asked) == 104
            asked[16:21], asked[48:59] = b"Cam 5", b"usb-0000:00"
            struct.pack_into("=I", asked, 88, self.capabilities)
        elif request == v4l2_devices.ENUM_FMT:
            index, kind = struct.unpack_from("=II", asked)
            assert (len(asked), kind) == (64, v4l2_devices.CAPTURE)
            if index == 2:
                raise OSError
            asked[44:48] = (b"YUYV", b"MJPG")[index]
        elif request == v4l2_devices.G_FMT:
            assert len(asked) == 208
            struct.pack_into("=II4s", asked, 8, 640, 480, b"MJPG")
        else:
            assert len(asked) == 204
            struct.pack_into("=II", asked, 12, 1, 30)


def test_a_device_is_described_with_its_formats_and_rate() -> None:
    found = described("v4l2:///dev/video0", 3, Device().ioctl)
    assert found is not None
    assert (found.model, found.address) == ("Cam 5", "usb-0000:00")
    assert (found.width_px, found.height_px, found.fps) == (640, 480, 30)
    assert (found.pixel_format, found.formats) == ("MJPG", ("YUYV", "MJPG"))


def test_what_captures_nothing_or_is_no_device_is_left_out() -> None:
    assert described("v4l2:///dev/video1", 3, Device(capabilities=0x800000).ioctl) is None
    assert described("v4l2:///dev/x", 3, Device(refuses=(v4l2_devices.QUERYCAP,)).ioctl) is None


def test_a_device_that_does_not_tell_its_rate_or_size_is_listed_without() -> None:
    refuses = (v4l2_devices.G_FMT, v4l2_devices.G_PARM)
    found = described("v4l2:///dev/video0", 3, Device(refuses=refuses).ioctl)
    assert found is not None
    assert (found.width_px, found.fps, found.pixel_format) == (0, 0.0, "")


def test_devices_come_by_number_and_one_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    sysfs, devices = tmp_path / "sys", tmp_path / "dev"
    for name in ("video10", "video2", "vbi0", "videoX"):
        (sysfs / name).mkdir(parents=True)
    devices.mkdir()
    (devices / "video2").write_text("no device")
    (found,) = v4l2_cameras(sysfs, devices)
    assert (found.url, found.access) == (
        f"v4l2://{devices}/video10",
        "No such file or directory",
    )
