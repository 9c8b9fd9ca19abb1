"""Packets that are larger than what the network carries: the camera sends them and none comes."""

from __future__ import annotations

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import Device
from agent.capture.sources.genicam.gige.network import Network
from agent.capture.sources.genicam.nodes import number_of


def check_packet_size(device: Device, way: Network) -> None:
    """``SourceError`` (``packet_size``) where the camera's packets do not fit ``way``, whoever has
    set their size."""
    size = number_of(device, "GevSCPSPacketSize")
    if size is not None and size > way.mtu > 0:
        detail = (
            f"packet_size {size:g} is above the MTU {way.mtu} of {way.name}: set it to"
            f" {way.mtu}, or the MTU to {size:g} (network card and every switch on the way)"
        )
        raise SourceError("packet_size", detail)
