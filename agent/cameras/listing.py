"""Which cameras there are: V4L2 from the kernel, GenICam by asking the networks once.

GenICam is asked in a child process: a driver that hangs costs its part of the list.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from select import select

from agent.cameras.entry import CameraEntry
from agent.cameras.v4l2_devices import v4l2_cameras
from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import Backend, DeviceRecord
from agent.capture.sources.genicam.backends import make_backend
from agent.capture.sources.genicam.nodes import number_of, value_of
from agent.config import Camera, GenicamOptions
from agent.supervision.channel import Channel
from agent.supervision.child import Child, ChildGone, ChildSpec, spawn

LIMIT_S = 30.0
OPEN_TIMEOUT_S = 3.0


def all_cameras(options: GenicamOptions, limit_s: float = LIMIT_S) -> tuple[list[CameraEntry], str]:
    """V4L2 and GenICam cameras; and what kept GenICam from being asked, in words, or ""."""
    genicam, trouble = genicam_cameras(options, limit_s)
    return [*v4l2_cameras(), *genicam], trouble


def genicam_cameras(options: GenicamOptions, limit_s: float) -> tuple[list[CameraEntry], str]:
    """What a child process finds within ``limit_s``."""
    child = spawn(ChildSpec("cameras", "agent.cameras.listing:main", options))
    try:
        return gathered(child, limit_s)
    finally:
        child.kill()


def gathered(
    child: Child, limit_s: float, clock: Callable[[], float] = time.monotonic
) -> tuple[list[CameraEntry], str]:
    """What the child sends until its last word, which is a text; what it had sent until then where
    it hangs or dies."""
    found: list[CameraEntry] = []
    end = clock() + limit_s
    try:
        while (left := end - clock()) > 0:
            select([child], [], [], left)
            for message in child.receive():
                if isinstance(message, CameraEntry):
                    found.append(message)
                elif isinstance(message, str):
                    return found, message
    except ChildGone:
        return found, f"the driver's process {child.describe_exit()}"
    return found, f"the driver did not answer within {limit_s:g} s"


def main(channel: Channel, args: object, _fds: Mapping[str, int]) -> None:
    """Target of the child: sends each camera, at the end a text, empty where all went well."""
    assert isinstance(args, GenicamOptions)
    try:
        backend = make_backend(args)
        for record in backend.discover(args):
            channel.send(entry_of(record, args, backend))
    except SourceError as error:
        channel.send(str(error))
    else:
        channel.send("")


def entry_of(record: DeviceRecord, options: GenicamOptions, backend: Backend) -> CameraEntry:
    """A camera with its formats and rate, for which a free one is opened and released again."""
    by = Address("serial", record.serial) if record.serial else Address("ip", record.ip)
    entry = CameraEntry(
        url=str(by),
        serial=record.serial,
        user_name=record.user_name,
        model=f"{record.vendor} {record.model}".strip(),
        address=record.ip or record.key,
        access=record.access or "free",
        owner=record.owner,
    )
    if entry.access != "free":
        return entry
    opened_by = Address("ip", record.ip) if record.ip else by
    camera = Camera(name="listed", source=str(opened_by), open_timeout_s=OPEN_TIMEOUT_S)
    try:
        device = backend.open(opened_by, options, camera)
    except SourceError as error:
        return replace(entry, access=error.reason)
    try:
        formats: Sequence[str] = ()
        if "PixelFormat" in device.names():
            formats = device.node("PixelFormat").entries
        rate = number_of(device, "AcquisitionResultingFrameRate", "AcquisitionFrameRate")
        return replace(
            entry,
            width_px=int(number_of(device, "Width") or 0),
            height_px=int(number_of(device, "Height") or 0),
            pixel_format=str(value_of(device, "PixelFormat") or ""),
            formats=tuple(formats),
            fps=float(rate or 0.0),
        )
    except SourceError as error:
        return replace(entry, access=error.reason)
    finally:
        device.close()
