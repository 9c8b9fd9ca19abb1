"""Who really asks, where trusted proxies stand before the server. Pure.

A proxy adds the address that it was asked from at the end of ``X-Forwarded-For``. So that list is
read from its end, as far as each address is that of a trusted proxy: the first other one is the
client. What stands before that the client may have written itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Origin:
    """``address`` of the client; ``scheme`` by which it asked, empty where nobody says so."""

    address: str
    scheme: str = ""


class TrustedProxies:
    """The networks of proxies whose word counts; none: nobody's does."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = tuple(ipaddress.ip_network(each, strict=False) for each in networks)

    def origin(
        self, peer: str, forwarded_for: Sequence[str], forwarded_proto: Sequence[str]
    ) -> Origin:
        """Return who asks through ``peer``; the headers as they came, in their order.

        Without a trusted peer it is the peer. What is no address ends the list: then it is the
        last proxy that is known.
        """
        address = parsed(peer)
        if address is None or not within(address, self._networks):
            return Origin(peer)
        hops = [hop for header in forwarded_for for hop in header.split(",")]
        for hop in reversed(hops):
            client = parsed(_without_port(hop.strip()))
            if client is None:
                break
            address = client
            if not within(address, self._networks):
                break
        # Of several, the nearest proxy's word: what is before it may be the client's own.
        schemes = [each.strip().lower() for header in forwarded_proto for each in header.split(",")]
        scheme = schemes[-1] if schemes and schemes[-1] in ("http", "https") else ""
        return Origin(str(address), scheme)


def parsed(text: str) -> Address | None:
    """Return an address, one of IPv4 inside of IPv6 as IPv4; None for what is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    return any(address.version == each.version and address in each for each in networks)


def _without_port(hop: str) -> str:
    """``[::1]:80`` and ``10.0.0.1:80``, as some proxies write it."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
