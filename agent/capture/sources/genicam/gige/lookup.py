"""Which camera on the networks is meant: by address without a broadcast, else by asking for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import DeviceRecord
from agent.capture.sources.genicam.gige import gvcp
from agent.capture.sources.genicam.gige.network import network_of, networks, way_to
from agent.capture.sources.genicam.pick import pick

HEARTBEAT_S = 3.0
"""By the standard, where a camera is not told another."""
SEARCH_S = 0.5
"""Cameras answer at once; the standard lets them take up to a second where many are asked."""


@dataclass(frozen=True, slots=True)
class Sought:
    """By what name, and on which network (its name or address here); None: on all."""

    address: Address
    interface: str | None


def record_of(found: gvcp.Found, interface: str = "") -> DeviceRecord:
    """A camera's answer as a record; ``key`` is its MAC address."""
    return DeviceRecord(
        serial=found.serial,
        user_name=found.user_name,
        ip=found.ip,
        vendor=found.vendor,
        model=found.model,
        transport="GigE",
        interface=interface,
        key=found.mac,
    )


def gige_cameras(interface: str | None) -> list[DeviceRecord]:
    """Cameras that answer a broadcast on one network, or on each that has an address and a link,
    loopback left out. ``SourceError`` ``unreachable``: no such network."""
    if interface is None:
        asked = [each for each in networks() if each.linked and not each.loopback]
    else:
        wanted = network_of(interface)
        if wanted is None:
            names = ", ".join(each.name for each in networks())
            raise SourceError("unreachable", f"no network {interface!r} here; there are: {names}")
        asked = [wanted]
    found = []
    for each in asked:
        if each.address:
            try:
                answers = gvcp.search(SEARCH_S, each.address, each.broadcast)
            except OSError:
                continue  # went away between two looks, or may not be broadcast on
            found += [record_of(one, each.name) for one in answers]
    return found


def with_access(record: DeviceRecord) -> DeviceRecord:
    """The same with who controls it, as the camera says it; unchanged where it does not answer."""
    try:
        privilege, owner = _control(record.ip)
    except OSError:
        return replace(record, access="unreachable")
    if privilege is None:
        return replace(record, access="unreachable")
    return replace(
        record,
        access="in_use" if privilege else "free",
        owner=owner,
    )


def find(sought: Sought, usb_cameras: Callable[[], Sequence[DeviceRecord]]) -> DeviceRecord:
    """The one camera that is meant. ``SourceError``: ``absent`` with those that are there
    and ``no_answer`` of an address, ``ambiguous``, ``unreachable``, ``unplugged``."""
    if sought.address.by == "ip":
        return _at(sought.address.value, sought.interface)
    return pick([*gige_cameras(sought.interface), *usb_cameras()], sought.address)


def _at(ip: str, interface: str | None) -> DeviceRecord:
    lane = way_to(ip) if interface is None else network_of(interface)
    if lane is None:
        where = f"no way leads to {ip}" if interface is None else f"no network {interface!r} here"
        raise SourceError("unreachable", where)
    if not lane.linked:
        raise SourceError("unplugged", f"{ip}: {lane.name} has no link")
    try:
        found = gvcp.ask(ip)
    except OSError as error:
        raise SourceError("unreachable", f"{ip}: {error.strerror}") from error
    if found is None:
        raise SourceError("no_answer", f"{ip}: no camera answers there, by way of {lane.name}")
    return record_of(found, lane.name)


def refusal(ip: str) -> str:
    """By whom the camera at this address is controlled, in words; "" by nobody. No control is
    needed to ask. ``OSError``."""
    privilege, owner = _control(ip)
    if not privilege:
        return ""
    if not owner:
        return "another client controls it, and the camera does not say which"
    return f"controlled by {owner}"


def heartbeat_s(ip: str) -> float:
    """After how long a camera forgets a client that died, between 0.5 and 10 s. ``OSError``."""
    told_ms = gvcp.read_register(ip, gvcp.HEARTBEAT_MS)
    return min(10.0, max(0.5, told_ms / 1000)) if told_ms else HEARTBEAT_S


def _control(ip: str) -> tuple[int | None, str]:
    """The camera's register of control, None where it does not answer, and who has it, where the
    camera says it. ``OSError``."""
    privilege = gvcp.read_register(ip, gvcp.CONTROL_PRIVILEGE)
    owner = gvcp.read_register(ip, gvcp.PRIMARY_ADDRESS) if privilege else None
    return privilege, owner_text(owner) if owner else ""


def owner_text(address: int) -> str:
    """The register of the controlling client's address as people write it.

    >>> owner_text(0x0A000015)
    '10.0.0.21'
    """
    return str(IPv4Address(address))
