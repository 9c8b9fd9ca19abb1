"""Which interface of a producer a name or an address of this computer means."""

from __future__ import annotations

import re
from collections.abc import Collection

import psutil


def addresses_of(name: str) -> frozenset[str]:
    """Addresses (IP and MAC) of this computer's network of that name or address."""
    for own, addresses in psutil.net_if_addrs().items():
        known = {one.address for one in addresses}
        if name == own or name in known:
            return frozenset({own, *known})
    return frozenset()


def is_meant(wanted: str, addresses: Collection[str], shown: Collection[str]) -> bool:
    """Whether an interface that a producer calls by the names ``shown`` is the wanted one: by its
    own name, or because a producer's names hold the computer's name or address of it."""
    if wanted in shown:
        return True
    spelt = [_plain(text) for text in shown]
    return any(
        re.search(rf"(?<![0-9a-z]){re.escape(_plain(one))}(?![0-9a-z])", text) is not None
        for one in {wanted, *addresses}
        for text in spelt
    )


def _plain(text: str) -> str:
    """Lower case, MAC addresses without their marks: producers write them in many ways."""
    mac = re.compile(r"([0-9a-f]{2})[:-](?=[0-9a-f]{2}(?:[:-]|\b))")
    return mac.sub(r"\1", text.lower())
