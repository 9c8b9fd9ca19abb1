"""One camera of a GenTL producer: its nodes, its stream, its buffers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from genicam import gentl
from harvesters.core import DataStream, RemoteDevice
from harvesters.util.pfnc import symbolics

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
from agent.capture.sources.genicam.formats import FORMATS, canonical
from agent.capture.sources.genicam.gentl.chunks import GentlChunks
from agent.capture.sources.genicam.gentl.nodes import GentlNodes
from agent.capture.sources.genicam.gige.network import way_to
from agent.capture.sources.genicam.gige.packet_size import check_packet_size
from agent.capture.sources.genicam.nodes import number_of

FIRST_ID, LAST_ID = 1, 65535
"""Of GigE Vision 1. A producer that counts further is understood as well: the step is the same."""
_PICTURES = (
    gentl.PAYLOADTYPE_INFO_IDS.PAYLOAD_TYPE_UNKNOWN,  # said by producers that do not tell
    gentl.PAYLOADTYPE_INFO_IDS.PAYLOAD_TYPE_IMAGE,
    gentl.PAYLOADTYPE_INFO_IDS.PAYLOAD_TYPE_CHUNK_DATA,
)
_RESENT = (
    "StreamPacketResendReceivedPacketCount",
    "StreamResendPacketCount",
    "GevResendPacketCount",
)
_UNDERRUN = ("StreamBufferUnderrunCount", "StreamUnderrunFrameCount")
_LOST = ("StreamLostFrameCount", "StreamMissedFrameCount")
_MISSING = ("StreamMissedPacketCount", "StreamLostPacketCount", "GevLostPacketCount")


class GentlDevice:
    """An opened camera; ``release``: what it stands on, to be closed after it."""

    def __init__(
        self, device: Any, record: DeviceRecord, address: Address, release: Callable[[], None]
    ) -> None:
        self.record = record
        self._device = device
        self._release = release
        self._shown = str(address)
        self._remote = RemoteDevice(module=device, parent=None)
        self._nodes = GentlNodes(self._remote.node_map, self._shown)
        self._stream: Any = None
        self._stream_nodes: _StreamNodes | None = None
        self._events: Any = None
        self._chunks: GentlChunks | None = None
        self._buffers: list[Any] = []
        self._memory: list[bytes] = []

    # --- nodes ---------------------------------------------------------------------------------

    def names(self) -> Sequence[str]:
        return self._nodes.names()

    def node(self, name: str) -> NodeRecord:
        return self._nodes.node(name)

    def read(self, name: str) -> Value:
        return self._nodes.read(name)

    def write(self, name: str, value: Value) -> None:
        self._nodes.write(name, value)

    def execute(self, name: str) -> None:
        self._nodes.execute(name)

    # --- the stream ----------------------------------------------------------------------------

    def start(self, buffers: int, chunks: Sequence[str] = ()) -> None:
        """Begin the stream. ``SourceError``: ``packet_size``; ``open_failed`` in the producer's
        words."""
        if self.record.ip and (way := way_to(self.record.ip)) is not None:
            check_packet_size(self, way)
        transport = self.record.transport
        self._chunks = GentlChunks(self._remote.node_map, self._nodes, transport, chunks)
        try:
            self._start(buffers)
        except gentl.GenericException as error:
            raise SourceError("open_failed", f"{self._shown}: {error}") from error

    def _start(self, buffers: int) -> None:
        ids = self._device.data_stream_ids
        if not ids:
            raise SourceError("open_failed", f"{self._shown} has no stream")
        self._stream = self._device.create_data_stream()
        self._stream.open(ids[0])
        self._stream_nodes = _StreamNodes(DataStream(module=self._stream).node_map)
        self._stream_nodes.newest_wins()
        event = self._stream.register_event(gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER)
        self._events = gentl.EventManagerNewBuffer(event)
        size = 0
        with suppress(gentl.GenericException):
            size = self._stream.payload_size if self._stream.defines_payload_size() else 0
        size = size or int(number_of(self, "PayloadSize") or 0)
        if not size:
            raise SourceError("open_failed", f"{self._shown} does not say its PayloadSize")
        with suppress(gentl.GenericException):
            buffers = max(buffers, self._stream.buffer_announce_min)
        self._memory = [bytes(size) for _ in range(buffers)]
        tokens = [gentl.BufferToken(one, number) for number, one in enumerate(self._memory)]
        self._buffers = [self._stream.announce_buffer(token) for token in tokens]
        for buffer in self._buffers:
            self._stream.queue_buffer(buffer)
        self._lock(1)
        self._stream.start_acquisition(gentl.ACQ_START_FLAGS_LIST.ACQ_START_FLAGS_DEFAULT, -1)
        try:
            self._nodes.execute("AcquisitionStart")
        except NodeError as error:
            raise SourceError("open_failed", f"{self._shown}: AcquisitionStart {error}") from error

    def next(self, timeout_s: float) -> Buffer | None:
        """The next buffer, copied; its memory goes back to the producer at once."""
        try:
            self._events.update_event_data(max(1, round(1000 * timeout_s)))
        except gentl.TimeoutException:
            return None
        except gentl.GenericException as error:
            raise SourceError("no_answer", f"{self._shown}: {error}") from error
        arrived_mono = time.monotonic()
        raw = self._events.buffer
        try:
            return self._copied(raw, arrived_mono)
        finally:
            with suppress(gentl.GenericException):
                self._stream.queue_buffer(raw)

    def _copied(self, raw: Any, arrived_mono: float) -> Buffer:
        # What a producer does not say of a buffer the camera's own nodes say.
        width = int(_known(raw, "width") or number_of(self, "Width") or 0)
        height = int(
            _known(raw, "delivered_image_height")
            or _known(raw, "height")
            or number_of(self, "Height")
            or 0
        )
        number = _known(raw, "pixel_format")
        pixel_format = canonical(symbolics.get(number, "") if number is not None else "")
        if not pixel_format:
            with suppress(NodeError):
                pixel_format = str(self._nodes.read("PixelFormat"))
        known = FORMATS.get(canonical(pixel_format))
        row = width * known.channels * (1 if known.bits == 8 else 2) if known is not None else 0
        stride = row + int(_known(raw, "padding_x") or 0)
        problem, detail = _problem(raw, stride * height)
        data, chunks = np.empty(0, np.uint8), {}
        if not problem:
            chunks = {} if self._chunks is None else self._chunks.read(raw)
            offset = int(_known(raw, "image_offset") or 0)
            memory = np.frombuffer(raw.raw_buffer, np.uint8)
            data = memory[offset : offset + stride * height].copy()
        return Buffer(
            data=data,
            width_px=width,
            height_px=height,
            stride_bytes=stride,
            pixel_format=pixel_format,
            problem=problem,
            detail=detail,
            frame_id=_known(raw, "frame_id"),
            frame_id_first=FIRST_ID,
            frame_id_last=LAST_ID,
            stamp_ns=self._stamp_ns(raw),
            arrived_mono=arrived_mono,
            chunks=chunks,
        )

    def _stamp_ns(self, raw: Any) -> int | None:
        found = _known(raw, "timestamp_ns")
        if found is not None:
            return int(found)
        ticks, per_s = _known(raw, "timestamp"), _known(self._device, "timestamp_frequency")
        return round(ticks * 1e9 / per_s) if ticks is not None and per_s else None

    def statistics(self) -> Statistics:
        """The producer's counts; those of packets have other names with each vendor."""
        nodes = self._stream_nodes
        return Statistics(
            delivered=_known(self._stream, "num_delivered"),
            underruns=self._underruns(),
            packets_resent=None if nodes is None else nodes.count(_RESENT),
            packets_missing=None if nodes is None else nodes.count(_MISSING),
            lost=None if nodes is None else nodes.count(_LOST),
        )

    def _underruns(self) -> int | None:
        """By the stream itself, else by its nodes."""
        found: int | None = _known(self._stream, "num_underrun")
        if found is None and self._stream_nodes is not None:
            found = self._stream_nodes.count(_UNDERRUN)
        return found

    def alive(self) -> None:
        """Read the camera's first register; a producer without that address is asked for a node."""
        try:
            self._device.remote_port.read(0, 4)
        except (gentl.InvalidAddressException, gentl.NotImplementedException):
            number_of(self, "PayloadSize", "Width")
        except gentl.AccessDeniedException as error:
            raise SourceError("taken", f"{self._shown}: {error}") from error
        except gentl.GenericException as error:
            raise SourceError("no_answer", f"{self._shown} does not answer: {error}") from error

    def close(self) -> None:
        """Stop and release; what a lost camera refuses on the way is left."""
        if self._stream is not None:
            with suppress(NodeError, SourceError):
                self._nodes.execute("AcquisitionStop")
            self._lock(0)
            kill, discard = gentl.ACQ_STOP_FLAGS_LIST, gentl.ACQ_QUEUE_TYPE_LIST
            with suppress(gentl.GenericException):
                self._stream.stop_acquisition(kill.ACQ_STOP_FLAGS_KILL)
            with suppress(gentl.GenericException):
                self._stream.flush_buffer_queue(discard.ACQ_QUEUE_ALL_DISCARD)
            for buffer in self._buffers:
                with suppress(gentl.GenericException):
                    self._stream.revoke_buffer(buffer)
            with suppress(gentl.GenericException):
                self._events.unregister_event()
            with suppress(gentl.GenericException):
                self._stream.close()
            self._stream = None
        with suppress(gentl.GenericException):
            self._device.close()
        self._release()

    def _lock(self, locked: int) -> None:
        with suppress(NodeError, SourceError):
            self._nodes.write("TLParamsLocked", locked)


class _StreamNodes:
    """Nodes of the stream itself, which the producer makes."""

    def __init__(self, node_map: Any) -> None:
        self._nodes = GentlNodes(node_map, "the stream")

    def newest_wins(self) -> None:
        with suppress(NodeError, SourceError):
            if "OldestFirstOverwrite" in self._nodes.node("StreamBufferHandlingMode").entries:
                self._nodes.write("StreamBufferHandlingMode", "OldestFirstOverwrite")

    def count(self, names: Sequence[str]) -> int | None:
        for name in names:
            with suppress(NodeError, SourceError):
                return int(self._nodes.read(name))
        return None


def _known(module: Any, name: str) -> Any:
    """What a module of GenTL may or may not say; None where it does not."""
    with suppress(gentl.GenericException, AttributeError):
        return getattr(module, name)
    return None


def _problem(raw: Any, expected_bytes: int) -> tuple[str, str]:
    """Reason and words of a buffer that is no whole picture."""
    complete, filled = None, _known(raw, "size_filled")
    with suppress(gentl.GenericException):
        complete = bool(raw.is_complete())
    if complete is False:
        said = "" if filled is None else f"{filled} of {expected_bytes} bytes came"
        return "incomplete", said
    if complete is None and filled is not None and filled < expected_bytes:
        return "incomplete", f"{filled} of {expected_bytes} bytes came"
    larger = None
    with suppress(gentl.GenericException):
        larger = raw.has_received_larger_payload()
    if larger:
        return "overflow", "the picture is larger than its buffer"
    kind = _known(raw, "payload_type")
    if kind is not None and kind not in _PICTURES:
        return "wrong_payload", f"payload type {kind} is no picture"
    return "", ""
