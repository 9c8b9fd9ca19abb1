"""Cameras behind a vendor's GenTL producer, by the packages ``genicam`` and ``harvesters``.

``harvesters`` makes the node maps. Discovery and buffers go to ``genicam.gentl`` itself: a
harvester looks for cameras on every network, says nothing of a producer that did not load, and
throws incomplete buffers away without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from genicam import gentl
from harvesters.core import Interface

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import Device, DeviceRecord
from agent.capture.sources.genicam.gentl.device import GentlDevice
from agent.capture.sources.genicam.gentl.interfaces import addresses_of, is_meant
from agent.capture.sources.genicam.gentl.nodes import GentlNodes, information
from agent.capture.sources.genicam.gentl.producer import find_producer
from agent.capture.sources.genicam.pick import pick
from agent.config import Camera, GenicamOptions

UPDATE_MS = 1000
_ACCESS = {
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_READWRITE: "free",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_READONLY: "in_use",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_BUSY: "in_use",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_OPEN_READWRITE: "in_use",
    gentl.DEVICE_ACCESS_STATUS_LIST.DEVICE_ACCESS_STATUS_NOACCESS: "unreachable",
}
_TRANSPORTS = {"GEV": "GigE", "U3V": "USB3"}


class GentlBackend:
    """One producer, loaded for a discovery or for as long as its camera is open: it can be loaded
    once in a process."""

    def __init__(self) -> None:
        self._infos: dict[str, Any] = {}
        self._kept: list[Any] = []  # producer, system and interfaces, in the order of opening

    def discover(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        """Ask the producer for its cameras. How it looks for them (by broadcast on a network) is
        its own matter; it looks on ``options.interface`` alone, where one is named."""
        try:
            return self._found(options)
        finally:
            self._release()

    def _found(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        producer = gentl.GenTLProducer.create_producer()
        path = find_producer(options.cti, os.environ)
        try:
            producer.open(str(path))
            self._kept.append(producer)
            system = producer.create_system()
            system.open()
            self._kept.append(system)
            system.update_interface_info_list(UPDATE_MS)
            return [
                record
                for info in self._interfaces(system.interface_info_list, options.interface)
                for record in self._devices(info)
            ]
        except gentl.LoadLibraryException as error:
            raise SourceError("bad_producer", f"{path}: {error}", permanent=True) from error
        except gentl.GenericException as error:
            raise SourceError("open_failed", f"{path.name}: {error}") from error

    def open(self, address: Address, options: GenicamOptions, camera: Camera) -> Device:
        """Open one camera with control. Of a producer every form needs a discovery first: the
        standard has no other way to a camera."""
        try:
            return self._opened(address, options)
        except SourceError:
            self._release()
            raise

    def _opened(self, address: Address, options: GenicamOptions) -> GentlDevice:
        record = pick(self._found(options), address)
        device = self._infos[record.key].create_device()
        try:
            device.open(gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE)
        except (gentl.AccessDeniedException, gentl.ResourceInUseException) as error:
            reason = "unreachable" if record.access == "unreachable" else "in_use"
            raise SourceError(reason, f"{address}: {error}") from error
        except gentl.GenericException as error:
            raise SourceError("open_failed", f"{address}: {error}") from error
        return GentlDevice(device, record, address, self._release)

    def _release(self) -> None:
        self._infos.clear()
        while self._kept:
            with suppress(gentl.GenericException):
                self._kept.pop().close()

    @staticmethod
    def _interfaces(infos: Sequence[Any], wanted: str | None) -> Iterator[Any]:
        if wanted is None:
            yield from infos
            return
        addresses = addresses_of(wanted)
        names = [(info, (str(info.id_), information(info, "display_name"))) for info in infos]
        found = [info for info, shown in names if is_meant(wanted, addresses, shown)]
        if not found:
            there = ", ".join(shown[1] or shown[0] for _, shown in names) or "none"
            raise SourceError("absent", f"interface {wanted} is not there; there are {there}")
        yield from found

    def _devices(self, info: Any) -> Iterator[DeviceRecord]:
        interface = info.create_interface()
        try:
            interface.open()
            interface.update_device_info_list(UPDATE_MS)
        except gentl.GenericException:
            return  # a network without a link; another may have the camera
        self._kept.append(interface)
        nodes = GentlNodes(Interface(module=interface, parent=None).node_map)
        for number, device in enumerate(interface.device_info_list):
            key = f"{info.id_}/{device.id_}"
            self._infos[key] = device
            kind = information(device, "tl_type")
            yield DeviceRecord(
                serial=information(device, "serial_number"),
                user_name=information(device, "user_defined_name"),
                ip=_ip(nodes, number),
                vendor=information(device, "vendor"),
                model=information(device, "model"),
                transport=_TRANSPORTS.get(kind, kind),
                interface=information(info, "display_name") or str(info.id_),
                access=_access(device),
                key=key,
            )


def _access(device: Any) -> str:
    with suppress(gentl.GenericException):
        return _ACCESS.get(device.access_status, "")
    return ""


def _ip(nodes: GentlNodes, number: int) -> str:
    """The address of a camera, as the interface knows it; empty where it has none."""
    value = nodes.selected("DeviceSelector", number, "GevDeviceIPAddress")
    if not isinstance(value, int) or not value:
        return ""
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
