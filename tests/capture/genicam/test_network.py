"""This computer's networks, as far as every computer has them."""

from __future__ import annotations

import socket

import pytest

from agent.capture.sources.genicam.gige.network import network, network_of, networks, way_to


def test_the_loopback_is_known_by_name_and_address_and_leads_to_itself() -> None:
    lo = network("lo")
    assert lo is not None
    assert lo.loopback
    assert lo.mtu >= 1500
    assert network_of("lo") == lo
    assert network("nowhere0") is None
    assert network_of("nowhere0") is None
    if not lo.linked:
        pytest.skip("the loopback is switched off here")
    assert lo.address == "127.0.0.1"
    assert network_of("127.0.0.1") == lo
    assert way_to("127.0.0.1") == lo


def test_a_service_without_sockets_of_netlink_knows_its_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """systemd's RestrictAddressFamilies leaves them out, and the C library lists names by them."""
    known = {each.name for each in networks()}

    def refused() -> list[tuple[int, str]]:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "if_nameindex", refused)
    assert {each.name for each in networks()} >= known & {"lo"}
    assert networks()
