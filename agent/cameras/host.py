"""What of this computer loses pictures of a machine camera: a list to be checked, with remedies."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from agent.cameras.ethtool import card_settings
from agent.cameras.host_check import HostCheck
from agent.cameras.tuning import (
    SYS,
    check_backlog,
    check_card,
    check_governors,
    check_realtime,
    check_usb,
)
from agent.capture.sources.genicam.gige.network import Network, networks

JUMBO_BYTES = 9000
"""Packets of this size: a sixth of the interrupts of those of 1500."""
RECEIVE_BYTES = 8 * 2**20
"""Some pictures of a camera of 2 megapixels, until the process gets its turn."""
NET_RAW = 13
"""Capability, by its bit."""
PROC = Path("/proc")


def check_host(interface: str | None, proc: Path = PROC, sys: Path = SYS) -> tuple[HostCheck, ...]:
    """The networks (one, where it is named) with their cards, receive buffers, and what is a hint.

    What a card or the kernel does not tell is left out.
    """
    capabilities, found = effective_capabilities(proc), networks()
    core = proc / "sys/net/core"
    return (
        *check_networks(found, interface),
        check_receiving(_number(core / "rmem_max"), capabilities),
        *(
            check
            for each in _asked(found, interface)
            for check in check_card(each.name, card_settings(each.name))
        ),
        *check_backlog(_number(core / "netdev_max_backlog")),
        *check_governors(sys),
        check_realtime(resource.getrlimit(resource.RLIMIT_RTPRIO), capabilities),
        *check_usb(sys),
    )


def _asked(found: Sequence[Network], interface: str | None) -> list[Network]:
    """Networks with a link and an address, loopback left out; or the one that is named."""
    if interface is not None:
        return [each for each in found if interface in (each.name, each.address)]
    return [each for each in found if each.linked and each.address and not each.loopback]


def check_networks(found: Sequence[Network], interface: str | None) -> list[HostCheck]:
    """One check for each network that has a link and an address, loopback left out unless named."""
    asked = _asked(found, interface)
    if not asked and interface is not None:
        names = ", ".join(each.name for each in found)
        return [HostCheck(f"network {interface}", "none of this name", names, "name another")]
    if not asked:
        wanted = "a network with a link and an IPv4 address"
        return [HostCheck("network", "none", wanted, "connect the cameras' network")]
    return [_check_network(each) for each in asked]


def _check_network(each: Network) -> HostCheck:
    name, wanted = f"network {each.name}", f"a link, MTU {JUMBO_BYTES} or more"
    if not each.linked:
        return HostCheck(name, "no link", wanted, f"plug the cable, ip link set {each.name} up")
    if each.mtu < JUMBO_BYTES:
        remedy = (
            f"ip link set {each.name} mtu {JUMBO_BYTES} (and every switch on the way);"
            f" until then genicam.packet_size at most {each.mtu}"
        )
        return HostCheck(name, f"MTU {each.mtu}", wanted, remedy)
    return HostCheck(name, f"MTU {each.mtu}", wanted)


def check_receiving(rmem_max: int | None, capabilities: int) -> HostCheck:
    """Whether a burst of packets finds room: in a packet socket, or in a large enough buffer."""
    name, wanted = "receive buffer", f"net.core.rmem_max {RECEIVE_BYTES} or more, or CAP_NET_RAW"
    if capabilities >> NET_RAW & 1:
        return HostCheck(name, "a packet socket (CAP_NET_RAW)", wanted)
    found = "unknown" if rmem_max is None else f"net.core.rmem_max {rmem_max}"
    if rmem_max is not None and rmem_max >= RECEIVE_BYTES:
        return HostCheck(name, found, wanted)
    return HostCheck(name, found, wanted, f"sysctl -w net.core.rmem_max={RECEIVE_BYTES}")


def effective_capabilities(proc: Path = PROC) -> int:
    """This process's effective capabilities as bits; 0 where the system does not tell."""
    try:
        status = (proc / str(os.getpid()) / "status").read_text(encoding="ascii")
        line = next(each for each in status.splitlines() if each.startswith("CapEff:"))
        return int(line.split()[1], 16)
    except (OSError, StopIteration, ValueError, IndexError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
