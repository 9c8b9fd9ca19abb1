"""What else of a computer costs pictures under load: cards, clock rates, realtime, memory of USB.

None of it loses a picture by itself, so each is a hint: the list stays well without it.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from agent.cameras.ethtool import CardSettings
from agent.cameras.host_check import HostCheck

SYS = Path("/sys")
BACKLOG = 5000
"""Packets between the card and the sockets: some pictures of packets of 1500 bytes."""
WAIT_US, WAIT_MOST_US = 62, 1000
"""From a packet to its interrupt: 0 is one each packet, much more is age of every picture."""
REALTIME = 10
"""Priority that vendors' drivers ask for; the kernel's own interrupt threads have 50."""
USB_MIB = 1000
SYS_NICE = 23
"""Capability, by its bit."""


def check_card(name: str, card: CardSettings) -> Iterator[HostCheck]:
    """Receive ring and interrupts of one network, as far as its driver tells them."""
    if card.ring is not None and card.ring_most:
        wanted, remedy = f"its most, {card.ring_most}", ""
        if card.ring < card.ring_most:
            remedy = f"ethtool -G {name} rx {card.ring_most}"
        yield HostCheck(f"ring of {name}", f"{card.ring} packets", wanted, remedy, hint=True)
    if card.wait_us is not None:
        found = "chosen by the driver" if card.adaptive else f"rx-usecs {card.wait_us}"
        good = card.adaptive or 0 < card.wait_us <= WAIT_MOST_US
        remedy = "" if good else f"ethtool -C {name} rx-usecs {WAIT_US}"
        yield HostCheck(
            f"interrupts of {name}", found, f"rx-usecs 1 to {WAIT_MOST_US}", remedy, hint=True
        )


def check_backlog(packets: int | None) -> Iterator[HostCheck]:
    """The kernel's queue before the sockets; nothing where it does not tell."""
    if packets is not None:
        name = "net.core.netdev_max_backlog"
        remedy = "" if packets >= BACKLOG else f"sysctl -w {name}={BACKLOG}"
        yield HostCheck("backlog", f"{name} {packets}", f"{BACKLOG} or more", remedy, hint=True)


def check_governors(sys: Path = SYS) -> Iterator[HostCheck]:
    """Whether cores run at full clock; nothing where the kernel does not govern them."""
    files = sorted(sys.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    found = sorted({text for file in files if (text := _text(file))})
    if found:
        remedy = "" if found == ["performance"] else "cpupower frequency-set -g performance"
        yield HostCheck("cores", f"governor {', '.join(found)}", "performance", remedy, hint=True)


def check_realtime(limits: tuple[int, int], capabilities: int) -> HostCheck:
    """Whether a driver may ask for realtime. ``limits``: of RLIMIT_RTPRIO, soft and hard. The one
    of libaravis is never told to; vendors' drivers do it by themselves."""
    wanted = f"for a vendor's driver: RLIMIT_RTPRIO {REALTIME} or more"
    if capabilities >> SYS_NICE & 1:
        return HostCheck("realtime", "allowed (CAP_SYS_NICE)", wanted, hint=True)
    soft = limits[0]
    if soft == resource.RLIM_INFINITY or soft >= REALTIME:
        found = "without limit" if soft == resource.RLIM_INFINITY else f"RLIMIT_RTPRIO {soft}"
        return HostCheck("realtime", found, wanted, hint=True)
    remedy = (
        f"in the unit: LimitRTPRIO={REALTIME} and RestrictRealtime=no; of a login: a line"
        f" 'USER - rtprio {REALTIME}' in /etc/security/limits.d/pitwatch.conf"
    )
    return HostCheck("realtime", f"RLIMIT_RTPRIO {soft}", wanted, remedy, hint=True)


def check_usb(sys: Path = SYS) -> Iterator[HostCheck]:
    """Memory for transfers of USB: all cameras of USB3 share it. Nothing without USB."""
    text = _text(sys / "module/usbcore/parameters/usbfs_memory_mb")
    if text.isdigit():
        path = "/sys/module/usbcore/parameters/usbfs_memory_mb"
        good = text == "0" or int(text) >= USB_MIB  # 0: without limit
        remedy = "" if good else f"echo {USB_MIB} > {path}"
        wanted = f"for cameras on USB3: {USB_MIB} or more"
        yield HostCheck("memory of USB", f"usbfs_memory_mb {text}", wanted, remedy, hint=True)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
