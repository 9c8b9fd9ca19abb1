"""Devices of Video4Linux as the kernel describes them (``linux/videodev2.h``)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

from agent.cameras.entry import CameraEntry

QUERYCAP, ENUM_FMT, G_FMT, G_PARM = 0x80685600, 0xC0405602, 0xC0D05604, 0xC0CC5615
"""Requests and, in their bits 16 to 29, the sizes of their structures in bytes on 64 bits."""
CAPTURE = 1
"""Both the capability and the type of a buffer."""
FORMATS_MAX = 64
SYSFS = Path("/sys/class/video4linux")

Ioctl = Callable[[int, int, bytearray], object]


def v4l2_cameras(sysfs: Path = SYSFS, devices: Path = Path("/dev")) -> list[CameraEntry]:
    """Every device that captures pictures, by number; one that cannot be opened says so."""
    names = sorted(
        (each.name for each in sysfs.glob("video*") if each.name[5:].isdecimal()),
        key=lambda name: int(name[5:]),
    )
    found = []
    for name in names:
        path = devices / name
        try:
            handle = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            found.append(CameraEntry(f"v4l2://{path}", access=error.strerror or "unreachable"))
            continue
        try:
            one = described(f"v4l2://{path}", handle)
        finally:
            os.close(handle)
        if one is not None:
            found.append(one)
    return found


def described(url: str, handle: int, ioctl: Ioctl = fcntl.ioctl) -> CameraEntry | None:
    """What a device says of itself; None where it captures no pictures (one of metadata, of
    output), or is no device of Video4Linux."""
    capability = _asked(ioctl, handle, QUERYCAP, 0)
    if capability is None or not struct.unpack_from("=I", capability, 88)[0] & CAPTURE:
        return None
    formats = []
    for index in range(FORMATS_MAX):
        answer = _asked(ioctl, handle, ENUM_FMT, index, CAPTURE)
        if answer is None:
            break
        formats.append(_text(answer[44:48]))
    now, rate = _asked(ioctl, handle, G_FMT, CAPTURE), _asked(ioctl, handle, G_PARM, CAPTURE)
    width = height = 0
    pixel_format = ""
    if now is not None:
        width, height = struct.unpack_from("=II", now, 8)
        pixel_format = _text(now[16:20])
    numerator, denominator = (0, 0) if rate is None else struct.unpack_from("=II", rate, 12)
    return CameraEntry(
        url=url,
        model=_text(capability[16:48]),
        address=_text(capability[48:80]),
        access="free",
        width_px=width,
        height_px=height,
        pixel_format=pixel_format,
        formats=tuple(formats),
        fps=denominator / numerator if numerator else 0.0,
    )


def _asked(ioctl: Ioctl, handle: int, request: int, *first: int) -> bytearray | None:
    """The structure that the kernel fills in, ``first`` its first numbers; None if it refuses."""
    asked = bytearray(request >> 16 & 0x3FFF)
    struct.pack_into(f"={len(first)}I", asked, 0, *first)
    try:
        ioctl(handle, request, asked)
    except OSError:
        return None
    return asked


def _text(raw: bytes | bytearray) -> str:
    text = bytes(raw).split(b"\0", 1)[0].decode("ascii", "replace")
    return "".join(each for each in text if each.isprintable()).strip()
