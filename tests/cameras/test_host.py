"""The checked list of a computer that receives machine cameras."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.cameras.host import (
    JUMBO_BYTES,
    NET_RAW,
    RECEIVE_BYTES,
    check_networks,
    check_receiving,
    effective_capabilities,
)
from agent.capture.sources.genicam.gige.network import Network

GOOD = Network("eth1", "10.0.0.1", JUMBO_BYTES, linked=True, loopback=False)
SMALL = Network("eth2", "10.0.1.1", 1500, linked=True, loopback=False)
UNPLUGGED = Network("eth3", "10.0.2.1", 9000, linked=False, loopback=False)
LOOP = Network("lo", "127.0.0.1", 65536, linked=True, loopback=True)


def test_every_network_with_a_link_is_checked_and_a_small_mtu_is_named() -> None:
    good, small = check_networks([LOOP, GOOD, SMALL, UNPLUGGED], None)
    assert (good.name, good.good) == ("network eth1", True)
    assert not small.good
    assert small.remedy.startswith("ip link set eth2 mtu 9000")
    assert "packet_size at most 1500" in small.remedy


@pytest.mark.parametrize("wanted", ["eth3", "10.0.2.1"])
def test_a_network_that_is_named_is_checked_whatever_it_is(wanted: str) -> None:
    (check,) = check_networks([GOOD, UNPLUGGED], wanted)
    assert (check.name, check.found, check.good) == ("network eth3", "no link", False)


def test_a_name_that_is_none_and_no_network_at_all_are_not_well() -> None:
    (unknown,) = check_networks([GOOD, LOOP], "eth9")
    assert not unknown.good
    assert unknown.wanted == "eth1, lo"
    (none,) = check_networks([LOOP, UNPLUGGED], None)
    assert not none.good


@pytest.mark.parametrize(
    ("rmem_max", "capabilities", "good"),
    [
        (212_992, 0, False),
        (RECEIVE_BYTES, 0, True),
        (212_992, 1 << NET_RAW, True),
        (None, 0, False),
    ],
)
def test_a_burst_needs_a_large_buffer_or_a_packet_socket(
    rmem_max: int | None, capabilities: int, good: bool
) -> None:
    assert check_receiving(rmem_max, capabilities).good is good


def test_capabilities_are_read_and_unknown_ones_are_none(tmp_path: Path) -> None:
    assert effective_capabilities(tmp_path) == 0
    status = tmp_path / str(os.getpid()) / "status"
    status.parent.mkdir()
    status.write_text("Name:\tx\nCapEff:\t0000000000002000\n")
    assert effective_capabilities(tmp_path) == 1 << NET_RAW
    status.write_text("CapEff:\n")
    assert effective_capabilities(tmp_path) == 0
