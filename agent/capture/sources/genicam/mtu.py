"""The network on which a camera of GigE Vision is: how large a packet may be there."""

from __future__ import annotations

import socket

import psutil

from agent.capture.source import SourceError

GVCP_PORT = 3956


def mtu_towards(ip: str) -> tuple[str, int] | None:
    """Name and MTU in bytes of this computer's network towards an address; None: not known.

    Nothing is sent: a socket of UDP only asks the routes when it is connected.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((ip, GVCP_PORT))
            own = asking.getsockname()[0]
    except OSError:
        return None
    for name, addresses in psutil.net_if_addrs().items():
        if any(one.family == socket.AF_INET and one.address == own for one in addresses):
            stats = psutil.net_if_stats().get(name)
            return None if stats is None else (name, stats.mtu)
    return None


def check_packet_size(packet_size: int, network: tuple[str, int] | None) -> None:
    """``SourceError`` (permanent) for packets that are larger than what the network carries: the
    camera would send them and none would come."""
    if network is not None and packet_size > network[1]:
        detail = (
            f"packet_size {packet_size} is above the MTU {network[1]} of {network[0]}:"
            " raise the MTU on the whole way, or lower packet_size"
        )
        raise SourceError("packet_size", detail, permanent=True)
