"""This computer's networks as the kernel tells them: which leads to a camera, is it plugged."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFBRDADDR, SIOCGIFMTU = 0x8913, 0x8915, 0x8919, 0x8921
"""Requests of ``linux/sockios.h``; they answer for the process's own network namespace."""
UP, BROADCASTS, LOOPBACK, RUNNING = 0x1, 0x2, 0x8, 0x40
_REQUEST = struct.Struct("16s24s")
_ANY_PORT = 9
SYSFS = Path("/sys/class/net")


@dataclass(frozen=True, slots=True)
class Network:
    """One interface: ``address`` is its first of IPv4, "" without one; ``linked``: switched on, and
    the cable has a link; ``mtu`` in bytes; ``broadcast``: the network's own address for all."""

    name: str
    address: str
    mtu: int
    linked: bool
    loopback: bool
    broadcast: str = ""


def networks() -> list[Network]:
    """All interfaces of this computer, in the kernel's order."""
    found = []
    for name in _names():
        one = network(name)
        if one is not None:
            found.append(one)
    return found


def network(name: str) -> Network | None:
    """The interface of this name; None when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        flags = _ask(link, SIOCGIFFLAGS, name)
        if flags is None:
            return None
        directed = _ask(link, SIOCGIFBRDADDR, name)
        address, mtu = _ask(link, SIOCGIFADDR, name), _ask(link, SIOCGIFMTU, name)
    (bits,) = struct.unpack("=H", flags[:2])
    return Network(
        name=name,
        address="" if address is None else socket.inet_ntoa(address[4:8]),
        mtu=0 if mtu is None else struct.unpack("i", mtu[:4])[0],
        linked=bool(bits & UP and bits & RUNNING),
        loopback=bool(bits & LOOPBACK),
        broadcast=(
            socket.inet_ntoa(directed[4:8]) if directed and address and bits & BROADCASTS else ""
        ),
    )


def network_of(wanted: str) -> Network | None:
    """The interface that has this name or this address; None when there is none."""
    for each in networks():
        if wanted in (each.name, each.address):
            return each
    return None


def way_to(address: str) -> Network | None:
    """The interface by which the system reaches an address; None where no way leads there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            link.connect((address, _ANY_PORT))  # of a datagram's socket: nothing is sent
        except OSError:
            return None
        local = link.getsockname()[0]
    return next((each for each in networks() if each.address == local), None)


def _names() -> list[str]:
    try:
        return [name for _, name in socket.if_nameindex()]
    except OSError:  # a service that may not open sockets of netlink
        return sorted(each.name for each in SYSFS.iterdir()) if SYSFS.is_dir() else []


def _ask(link: socket.socket, request: int, name: str) -> bytes | None:
    """The 24 bytes behind the name in the kernel's answer; None when it has none."""
    packed = array.array("B", _REQUEST.pack(name.encode()[:15], b""))
    try:
        fcntl.ioctl(link, request, packed, True)
    except OSError:
        return None
    return packed.tobytes()[16:]
