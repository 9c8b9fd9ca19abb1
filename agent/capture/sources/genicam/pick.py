"""Which of the cameras that a discovery found is meant. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import DeviceRecord

SHOWN = 20


def pick(devices: Sequence[DeviceRecord], address: Address) -> DeviceRecord:
    """The one camera of this address. ``SourceError``: ``absent``, ``ambiguous``, each with the
    cameras that are there."""
    found = [device for device in devices if address.value == _named(device, address)]
    # One camera may be seen over two networks: it is one, and the first way to it is taken.
    serials = {device.serial or device.key for device in found}
    if len(serials) == 1:
        return next((one for one in found if one.access != "unreachable"), found[0])
    if found:
        raise SourceError("ambiguous", f"{len(serials)} cameras are {address}: {listed(found)}")
    near = [one for one in devices if _named(one, address).casefold() == address.value.casefold()]
    hint = f"; did you mean {_named(near[0], address)}" if near else ""
    raise SourceError("absent", f"{address} is not there{hint}; there are {listed(devices)}")


def listed(devices: Sequence[DeviceRecord]) -> str:
    """Cameras in one line, for people: those of an error, or none."""
    if not devices:
        return "no cameras"
    more = len(devices) - SHOWN
    texts = [describe(device) for device in devices[:SHOWN]]
    return "; ".join([*texts, f"and {more} more"] if more > 0 else texts)


def describe(device: DeviceRecord) -> str:
    """One camera by all its names: ``serial 40012345, user lane1, ip 10.0.0.21, Vendor Model``."""
    parts = (
        f"serial {device.serial}" if device.serial else "",
        f"user {device.user_name}" if device.user_name else "",
        f"ip {device.ip}" if device.ip else "",
        " ".join(part for part in (device.vendor, device.model) if part),
        "in use" + (f" by {device.owner}" if device.owner else "")
        if device.access == "in_use"
        else "unreachable"
        if device.access == "unreachable"
        else "",
    )
    return ", ".join(part for part in parts if part)


def _named(device: DeviceRecord, address: Address) -> str:
    names = {"serial": device.serial, "ip": device.ip, "user": device.user_name}
    return names[address.by]
