"""The few datagrams of GigE Vision's control protocol (GVCP) that need no control of a camera.

Who is at an address, which cameras a network has, and what one register says: the answer to "by
whom is it used" comes from a camera that refuses everybody else. Section numbers are those of GigE
Vision 1.2.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PORT = 3956
DISCOVERY, READ_REGISTER = 0x0002, 0x0080
CONTROL_PRIVILEGE = 0x0A00
"""Register: who may control is told here (table 27-1); 0 is nobody."""
HEARTBEAT_MS = 0x0938
"""Register: after how long without a word of the client that controls it a camera is free."""
PRIMARY_ADDRESS = 0x0A14
"""Register: the IPv4 address of the application that controls it; not every camera has it."""
_KEY, _ACKNOWLEDGE, _BROADCAST_ACK = 0x42, 0x01, 0x10
_HEADER = struct.Struct(">BBHHH")
_ACK = struct.Struct(">HHHH")
_DISCOVERY_BYTES = 0xF8
ANSWER_S = 0.3
TRIES = 3
CAMERAS = 256
BROADCAST = "255.255.255.255"


@dataclass(frozen=True, slots=True)
class Found:
    """What a camera says of itself (section 14.1)."""

    ip: str
    mac: str
    vendor: str
    model: str
    version: str
    serial: str
    user_name: str


def request(command: int, number: int, payload: bytes = b"", broadcast: bool = False) -> bytes:
    """A command's datagram; ``number`` 1 to 65535 comes back in its answer."""
    flags = _ACKNOWLEDGE | (_BROADCAST_ACK if broadcast else 0)
    return _HEADER.pack(_KEY, flags, command, len(payload), number) + payload


def answer(datagram: bytes, command: int, number: int) -> bytes | None:
    """The payload of the good answer to a command; None for any other datagram.

    A discovery's answer is shorter than what was announced in no good camera: cut ones are none.
    """
    if len(datagram) < _ACK.size:
        return None
    status, kind, length, echoed = _ACK.unpack_from(datagram)
    payload = datagram[_ACK.size : _ACK.size + length]
    if status or kind != command + 1 or echoed != number or len(payload) < length:
        return None
    return payload


def parse_found(payload: bytes) -> Found | None:
    """A discovery's answer (section 14.1); None where it is too short to be one."""
    if len(payload) < _DISCOVERY_BYTES:
        return None

    def text(begin: int, size: int) -> str:
        raw = payload[begin : begin + size].split(b"\0", 1)[0]
        return "".join(c for c in raw.decode("utf-8", "replace") if c.isprintable()).strip()

    return Found(
        ip=socket.inet_ntoa(payload[0x24:0x28]),
        mac=":".join(f"{each:02x}" for each in payload[0x0A:0x10]),
        vendor=text(0x48, 32),
        model=text(0x68, 32),
        version=text(0x88, 32),
        serial=text(0xD8, 16),
        user_name=text(0xE8, 16),
    )


def ask(address: str, answer_s: float = ANSWER_S, interface: str = "") -> Found | None:
    """The camera at this address, or None where none answers. No broadcast. ``OSError``."""
    for payload in _exchange((address,), DISCOVERY, b"", (TRIES, answer_s), interface):
        return parse_found(payload)
    return None


def read_register(address: str, register: int, interface: str = "") -> int | None:
    """One register of a camera that anybody may control; None where it does not say it."""
    asked = struct.pack(">I", register)
    for payload in _exchange((address,), READ_REGISTER, asked, (TRIES, ANSWER_S), interface):
        return int.from_bytes(payload[:4], "big") if len(payload) >= 4 else None
    return None


def search(wait_s: float, interface: str = "", directed: str = "") -> list[Found]:
    """Cameras that answer a broadcast within ``wait_s``: on the network of ``interface`` (this
    computer's IPv4 address there), without one where the system's own route leads. ``directed``:
    the network's own broadcast address, asked as well: some cameras hear only that. ``OSError``."""
    asked = (BROADCAST, directed) if directed else (BROADCAST,)
    found: dict[tuple[str, str], Found] = {}
    for payload in _exchange(asked, DISCOVERY, b"", (1, wait_s), interface):
        one = parse_found(payload)
        if one is not None:
            found[one.mac, one.ip] = one
        if len(found) >= CAMERAS:
            break
    return sorted(found.values(), key=lambda each: (each.ip, each.mac))


def _exchange(
    addresses: Sequence[str],
    command: int,
    payload: bytes,
    patience: tuple[int, float],
    interface: str,
) -> Iterator[bytes]:
    """Yield the payloads of the answers, ``patience`` = (tries, seconds each). An address where
    nothing listens (refused, no route) gives none."""
    broadcast = BROADCAST in addresses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        if broadcast:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        link.bind((interface, 0))
        tries, wait_s = patience
        for number in range(1, tries + 1):
            try:
                for address in addresses:
                    link.sendto(request(command, number, payload, broadcast), (address, PORT))
                yield from _answers(link, command, number, wait_s)
            except ConnectionRefusedError:
                return


def _answers(link: socket.socket, command: int, number: int, wait_s: float) -> Iterator[bytes]:
    end = time.monotonic() + wait_s
    while (left := end - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            datagram = link.recv(2048)
        except TimeoutError:
            return
        payload = answer(datagram, command, number)
        if payload is not None:
            yield payload
