"""A camera in memory behind the protocol of backends: nodes with ranges, buffers that are told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address
from agent.capture.sources.genicam.backend import (
    Buffer,
    DeviceRecord,
    NodeError,
    NodeRecord,
    Statistics,
    Value,
)
from agent.capture.sources.genicam.pick import pick
from agent.config import Camera, GenicamOptions

WIDTH, HEIGHT = 64, 48


@dataclass
class Node:
    record: NodeRecord
    value: Value = ""


def integer(name: str, value: int, low: int, high: int, step: int = 1, **keys: bool) -> Node:
    return Node(NodeRecord(name, "integer", **_access(keys), minimum=low, maximum=high,
                           increment=step), value)  # fmt: skip


def number(name: str, value: float, low: float, high: float, unit: str = "", **keys: bool) -> Node:
    return Node(NodeRecord(name, "float", **_access(keys), minimum=low, maximum=high,
                           unit=unit), value)  # fmt: skip


def choice(name: str, value: str, *entries: str, **keys: bool) -> Node:
    return Node(NodeRecord(name, "enumeration", **_access(keys), entries=entries), value)


def switch(name: str, value: bool = False, **keys: bool) -> Node:
    return Node(NodeRecord(name, "boolean", **_access(keys)), value)


def command(name: str) -> Node:
    return Node(NodeRecord(name, "command", readable=False, writable=True))


def _access(keys: dict[str, bool]) -> dict[str, bool]:
    return {"readable": True, "writable": True, **keys}


def usual() -> list[Node]:
    return [
        integer("Width", WIDTH, 16, WIDTH, 4),
        integer("Height", HEIGHT, 16, HEIGHT, 2),
        integer("OffsetX", 0, 0, WIDTH),
        integer("OffsetY", 0, 0, HEIGHT),
        integer("PayloadSize", WIDTH * HEIGHT, 0, 10**9, writable=False),
        integer("GevSCPSPacketSize", 1500, 576, 9000, 4),
        integer("GevSCPD", 0, 0, 10**6),
        choice("PixelFormat", "Mono8", "Mono8", "Mono12", "BayerRG8", "YUV422_8"),
        choice("ExposureAuto", "Continuous", "Off", "Once", "Continuous"),
        choice("GainAuto", "Continuous", "Off", "Continuous"),
        number("ExposureTime", 5000.0, 10.0, 100_000.0, "us"),
        number("Gain", 3.0, 0.0, 24.0, "dB"),
        number("AcquisitionFrameRate", 20.0, 1.0, 200.0, "Hz"),
        number("DeviceTemperature", 41.5, -40.0, 100.0, "C", writable=False),
        choice("TriggerSelector", "FrameStart", "FrameStart", "AcquisitionStart"),
        choice("TriggerMode", "Off", "Off", "On"),
        choice("TriggerSource", "Line1", "Line1", "Software"),
        choice("TriggerActivation", "RisingEdge", "RisingEdge", "FallingEdge"),
        command("TriggerSoftware"),
        choice("LineSelector", "Line1", "Line1", "Line2"),
        choice("LineMode", "Input", "Input", "Output"),
        choice("LineSource", "Off", "Off", "ExposureActive"),
        choice("UserSetSelector", "Default", "Default", "UserSet1"),
        command("UserSetLoad"),
        switch("PtpEnable"),
        switch("ChunkModeActive"),
        choice("ChunkSelector", "Timestamp", "Timestamp", "FrameID"),
        switch("ChunkEnable"),
    ]


@dataclass
class MemoryDevice:
    """``rounded``: what a node makes of what is written. ``log``: every write and command.
    ``locks``: nodes that are read-only while another one has that value."""

    record: DeviceRecord
    nodes: dict[str, Node]
    buffers: deque[Buffer | SourceError | None] = field(default_factory=deque)
    rounded: dict[str, Value] = field(default_factory=dict)
    unavailable: set[str] = field(default_factory=set)
    log: list[tuple[str, Value]] = field(default_factory=list)
    counted: Statistics = field(default_factory=Statistics)
    asked: int = 0
    lost: SourceError | None = None
    locks: dict[str, tuple[str, Value]] = field(default_factory=dict)
    closed: bool = False
    started: int = 0

    def names(self) -> Sequence[str]:
        return tuple(self.nodes)

    def node(self, name: str) -> NodeRecord:
        self._there(name)
        record = self.nodes[name].record
        other, value = self.locks.get(name, ("", None))
        locked = bool(other) and self.nodes[other].value == value
        return replace(record, writable=record.writable and not locked)

    def read(self, name: str) -> Value:
        self._there(name)
        return self.nodes[name].value

    def write(self, name: str, value: Value) -> None:
        self._there(name)
        self.log.append((name, value))
        self.nodes[name].value = self.rounded.get(name, value)

    def execute(self, name: str) -> None:
        self._there(name)
        self.log.append((name, "done"))

    def start(self, buffers: int, chunks: Sequence[str] = ()) -> None:
        self.started = buffers

    def next(self, timeout_s: float) -> Buffer | None:
        told = self.buffers.popleft() if self.buffers else None
        if isinstance(told, SourceError):
            raise told
        return told

    def statistics(self) -> Statistics:
        return self.counted

    def alive(self) -> None:
        self.asked += 1
        if self.lost is not None:
            raise self.lost

    def close(self) -> None:
        self.closed = True

    def _there(self, name: str) -> None:
        if name not in self.nodes or name in self.unavailable:
            raise NodeError("NotAvailable")


class MemoryBackend:
    """Opens the one device that it is made of."""

    def __init__(self, device: MemoryDevice, *others: DeviceRecord) -> None:
        self.device = device
        self.others = others

    def discover(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        return [self.device.record, *self.others]

    def open(self, address: Address, options: GenicamOptions, camera: Camera) -> MemoryDevice:
        pick(self.discover(options), address)
        return self.device


def device(*nodes: Node) -> MemoryDevice:
    """A camera with the usual nodes, and these beside or in place of them."""
    named = {node.record.name: node for node in (*usual(), *nodes)}
    return MemoryDevice(DeviceRecord(serial="7", user_name="lane1", model="Memory"), named)


def buffer(frame_id: int | None = None, **keys: object) -> Buffer:
    """A whole picture of noise, Mono8."""
    data = np.random.default_rng(frame_id or 0).integers(0, 256, WIDTH * HEIGHT, np.uint8)
    made = Buffer(
        data, WIDTH, HEIGHT, WIDTH, "Mono8", frame_id=frame_id, frame_id_first=1,
        frame_id_last=65535, arrived_mono=time.monotonic(),
    )  # fmt: skip
    return replace(made, **keys)
