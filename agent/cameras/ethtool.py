"""What a network card says of its receive ring and its interrupts: the kernel's ``ethtool`` calls.

Numbers and structures are those of ``linux/ethtool.h``; to read them needs no capability.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

SIOCETHTOOL = 0x8946
GET_COALESCE, GET_RING = 0x0E, 0x10
_WORDS = {GET_COALESCE: 23, GET_RING: 9}
"""Words of 32 bits of each structure; the first is the command itself."""
_REQUEST = struct.Struct("16sP16x")


@dataclass(frozen=True, slots=True)
class CardSettings:
    """``ring``: packets that wait in the card, ``ring_most`` at most; ``wait_us``: from a packet to
    its interrupt; ``adaptive``: the driver chooses that. None: the card does not say."""

    ring: int | None = None
    ring_most: int | None = None
    wait_us: int | None = None
    adaptive: bool = False


def card_settings(name: str) -> CardSettings:
    """Of a network of this computer; all None where its driver tells nothing."""
    return settings_of(_ask(name, GET_RING), _ask(name, GET_COALESCE))


def settings_of(ring: Sequence[int] | None, coalesce: Sequence[int] | None) -> CardSettings:
    """Of the kernel's structures, as words behind the command."""
    return CardSettings(
        ring=ring[4] if ring else None,
        ring_most=ring[0] if ring else None,
        wait_us=coalesce[0] if coalesce else None,
        adaptive=bool(coalesce and coalesce[9]),
    )


def _ask(name: str, command: int) -> list[int] | None:
    words = (ctypes.c_uint32 * _WORDS[command])(command)
    request = _REQUEST.pack(name.encode()[:15], ctypes.addressof(words))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        try:
            fcntl.ioctl(link, SIOCETHTOOL, request)
        except OSError:
            return None
    return list(words)[1:]
