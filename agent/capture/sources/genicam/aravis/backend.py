"""Cameras of GigE Vision and USB3 Vision through libaravis: no producer of any vendor is needed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.aravis.device import Device
from agent.capture.sources.genicam.aravis.library import (
    ACCESS_DENIED,
    BUSY,
    PACKAGE,
    AravisError,
    Library,
)
from agent.capture.sources.genicam.backend import DeviceRecord
from agent.capture.sources.genicam.gige.lookup import (
    Sought,
    find,
    gige_cameras,
    heartbeat_s,
    refusal,
    with_access,
)
from agent.capture.sources.genicam.gige.network import Network, network_of, way_to
from agent.config import Camera, GenicamOptions

OPEN_SHARE = 0.8
"""Of the time-out after which this process would be killed: its own word comes before that."""
TURN_S = 0.25


class AravisBackend:
    """Made of nothing, opens one camera."""

    def __init__(self) -> None:
        try:
            self._library = Library()
        except OSError as error:
            detail = f"libaravis cannot be loaded ({error}): install {PACKAGE}"
            raise SourceError("no_backend", detail, permanent=True) from error

    def discover(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        """Ask all networks, or the one of ``options.interface``, by broadcast; then USB."""
        return [
            *map(with_access, gige_cameras(options.interface)),
            *self._usb_cameras(),
        ]

    def open(self, address: Address, options: GenicamOptions, camera: Camera) -> Device:
        """Open a camera with control; of an ``ip`` nothing is broadcast. ``SourceError``.

        One that another client controls is waited for: that one may be dead, and its heart beat
        then runs out.
        """
        end = time.monotonic() + OPEN_SHARE * camera.open_timeout_s
        sought = Sought(address, options.interface)
        record = find(sought, self._usb_cameras)
        if record.transport == "USB3":
            return Device(self._library, self._open_usb(record), record, (sought, None))
        lane = _interface(options.interface, record.ip)
        while True:
            used = refusal(record.ip)
            if not used:
                device = self._open_gige(record, lane)
                if self._library.plain("arv_gv_device_is_controller", device):
                    return Device(self._library, device, record, (sought, lane))
                self._library.plain("g_object_unref", device)
                used = refusal(record.ip) or "another client was faster"
            left_s = end - time.monotonic()
            if left_s < TURN_S:
                raise SourceError("taken", f"{address}: {used}")
            # Not asked meanwhile: some cameras take any question for the heart beat of the client
            # that controls them, and would never forget one that is dead.
            time.sleep(min(left_s, heartbeat_s(record.ip) + TURN_S))

    def _open_gige(self, record: DeviceRecord, lane: Network) -> int:
        inet = "g_inet_address_new_from_string"
        here = self._library.plain(inet, lane.address.encode())
        there = self._library.plain(inet, record.ip.encode())
        try:
            return int(self._library.checked("arv_gv_device_new", here, there))
        except AravisError as error:
            reason = "taken" if error.code in (ACCESS_DENIED, BUSY) else "open_failed"
            raise SourceError(reason, f"{record.ip}: {error}") from error
        finally:
            self._library.plain("g_object_unref", here)
            self._library.plain("g_object_unref", there)

    def _open_usb(self, record: DeviceRecord) -> int:
        try:
            return int(self._library.checked("arv_open_device", record.key.encode()))
        except AravisError as error:
            raise SourceError("open_failed", f"{record.key}: {error}") from error

    def _usb_cameras(self) -> list[DeviceRecord]:
        """Cameras on USB; the library's own search of networks would broadcast on all of them."""
        for interface in (b"GigEVision", b"Fake"):
            self._library.plain("arv_disable_interface", interface)
        self._library.plain("arv_update_device_list")
        found = []
        for index in range(self._library.plain("arv_get_n_devices")):
            vendor, model, serial, key = (
                (self._library.plain(f"arv_get_device_{what}", index) or b"").decode()
                for what in ("vendor", "model", "serial_nbr", "id")
            )
            one = DeviceRecord(serial=serial, vendor=vendor, model=model, transport="USB3", key=key)
            found.append(one)
        return found


def _interface(wanted: str | None, address: str) -> Network:
    lane = way_to(address) if wanted is None else network_of(wanted)
    if lane is None or not lane.address:
        where = f"no way leads to {address}" if wanted is None else f"no network {wanted!r} here"
        raise SourceError("unreachable", where)
    return lane
