"""Basler's camera emulator behind the protocol of backends: a vendor's own features and triggers.

It has no GenTL producer, so that the backend ``gentl`` cannot read it: pylon itself is called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from pypylon import genicam, pylon

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import (
    Buffer,
    DeviceRecord,
    Kind,
    NodeError,
    NodeRecord,
    Statistics,
    Value,
)
from agent.capture.sources.genicam.pick import pick
from agent.config import Camera, GenicamOptions

T = TypeVar("T")
TRANSPORT = "BaslerCamEmu"
KINDS: dict[int, Kind] = {
    genicam.intfIBoolean: "boolean",
    genicam.intfIInteger: "integer",
    genicam.intfIFloat: "float",
    genicam.intfIEnumeration: "enumeration",
    genicam.intfIString: "string",
    genicam.intfICommand: "command",
}


class EmulatedDevice:
    """One camera of the emulator. Its node map is that of a camera of the vendor."""

    def __init__(self, camera: Any, record: DeviceRecord) -> None:
        self.record = record
        self._camera = camera
        camera.Open()
        self._map = camera.GetNodeMap()
        self._names = tuple(
            node.GetNode().GetName()
            for node in self._map.GetNodes()
            if node.GetNode().GetPrincipalInterfaceType() in KINDS
        )

    def names(self) -> Sequence[str]:
        return self._names

    def node(self, name: str) -> NodeRecord:
        node = self._node(name)
        kind = KINDS[node.GetNode().GetPrincipalInterfaceType()]
        if not genicam.IsAvailable(node):
            raise NodeError("is not available")
        numeric = kind in ("integer", "float")
        return NodeRecord(
            name=name,
            kind=kind,
            readable=kind != "command" and genicam.IsReadable(node),
            writable=genicam.IsWritable(node),
            minimum=node.GetMin() if numeric else None,
            maximum=node.GetMax() if numeric else None,
            increment=node.GetInc() if kind == "integer" else None,
            entries=tuple(node.GetSymbolics()) if kind == "enumeration" else (),
        )

    def read(self, name: str) -> Value:
        value: Value = self._asked(lambda: self._node(name).GetValue())
        return value

    def write(self, name: str, value: Value) -> None:
        self._asked(lambda: self._node(name).SetValue(value))

    def execute(self, name: str) -> None:
        self._asked(lambda: self._node(name).Execute())

    def start(self, buffers: int, chunks: Sequence[str] = ()) -> None:
        self._camera.MaxNumBuffer.Value = buffers
        self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne)

    def next(self, timeout_s: float) -> Buffer | None:
        found = self._camera.RetrieveResult(int(1000 * timeout_s), pylon.TimeoutHandling_Return)
        if not found.IsValid():
            return None
        whole = found.GrabSucceeded()
        held = found.GetBuffer() if whole else b""
        return Buffer(
            data=np.frombuffer(held, np.uint8).copy(),
            width_px=found.Width,
            height_px=found.Height,
            stride_bytes=found.GetStride()[1] if whole else 0,
            pixel_format=str(self.read("PixelFormat")),
            problem="" if whole else "incomplete",
            detail="" if whole else found.ErrorDescription,
            frame_id=found.ImageNumber,
            arrived_mono=time.monotonic(),
        )

    def statistics(self) -> Statistics:
        return Statistics()

    def alive(self) -> None:
        self.read("Width")

    def close(self) -> None:
        self._camera.Close()

    def _node(self, name: str) -> Any:
        node = self._map.GetNode(name)
        if node is None:
            raise NodeError("is not there")
        return node

    @staticmethod
    def _asked(ask: Callable[[], T]) -> T:
        try:
            return ask()
        except genicam.GenericException as error:
            raise NodeError(str(error).partition(" : ")[0]) from error


class EmulatorBackend:
    """Opens one of the emulator's cameras; no network is looked at."""

    def discover(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        os.environ.setdefault("PYLON_CAMEMU", "1")
        self._transport = pylon.TlFactory.GetInstance().CreateTl(TRANSPORT)
        self._found = {one.GetSerialNumber(): one for one in self._transport.EnumerateDevices()}
        return [DeviceRecord(serial=serial, model="Emulation") for serial in self._found]

    def open(self, address: Address, options: GenicamOptions, camera: Camera) -> EmulatedDevice:
        record = pick(self.discover(options), address)
        made = self._transport.CreateDevice(self._found[record.serial])
        with suppress(genicam.GenericException):
            return EmulatedDevice(pylon.InstantCamera(made), record)
        raise SourceError("open_failed", str(address))
