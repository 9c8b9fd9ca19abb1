"""A stream of libaravis: its buffers as copies, in order, the newest kept where nobody fetches."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from ctypes import byref, c_int, c_size_t
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.capture.sources.genicam.aravis.chunks import ChunkReader
from agent.capture.sources.genicam.aravis.library import Library
from agent.capture.sources.genicam.backend import Buffer, Statistics

POP_US = 200_000
JOIN_S = 2.0
SPARE = 2
"""Buffers that are being filled or copied while all others wait."""
MEASURED_SOCKET_BUFFER = 1
FRAME_ID_LAST, LONG_FRAME_ID_LAST = 65535, 2**64 - 1
"""Of GigE Vision 1: 16 bits without 0. A larger one is of GigE Vision 2, and has 64."""
NO_FRAME_ID = 0
_COMPLETE, _CLEARED = 0, 1
_PROBLEMS = {
    1: ("incomplete", "the buffer was cleared"),
    2: ("incomplete", "the rest did not come in time"),
    3: ("incomplete", "packets are missing"),
    4: ("incomplete", "a packet has a wrong number"),
    5: ("overflow", "the picture is larger than its buffer"),
    6: ("incomplete", "the picture was still coming in"),
    7: ("incomplete", "the stream was stopped in mid-picture"),
}
_IMAGE, _CHUNKED, _EXTENDED_CHUNKED = 1, 4, 5
PFNC = {
    0x01080001: "Mono8",
    0x01100003: "Mono10",
    0x010C0004: "Mono10Packed",
    0x010A0046: "Mono10p",
    0x01100005: "Mono12",
    0x010C0006: "Mono12Packed",
    0x010C0047: "Mono12p",
    0x01100007: "Mono16",
    0x01080008: "BayerGR8",
    0x01080009: "BayerRG8",
    0x0108000A: "BayerGB8",
    0x0108000B: "BayerBG8",
    0x02180014: "RGB8",
    0x02180015: "BGR8",
    0x02200016: "RGBa8",
    0x02200017: "BGRa8",
}
"""Codes of the PFNC; bits 16 to 23 of a code are the bits a pixel takes."""


_CODES = {name: code for code, name in PFNC.items()}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a picture is, in pixels and by the name of its format."""

    width_px: int
    height_px: int
    pixel_format: str


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """``payload_bytes`` of a picture, its chunks included. ``shape``: as the camera is set; for
    pictures with chunks in the manner of GigE Vision 1, which do not say it themselves."""

    buffers: int
    payload_bytes: int
    shape: Shape


class AravisStream:
    """The stream of one camera with its own thread: a buffer that is done is copied and given back
    at once, so that the library never waits for one and the newest pictures are those kept."""

    def __init__(
        self, library: Library, device: int, plan: StreamPlan, chunks: ChunkReader
    ) -> None:
        self._library = library
        self._shape = plan.shape
        self._chunks = chunks
        self._stream = int(library.checked("arv_device_create_stream", device, None, None))
        library.plain("g_object_set", self._stream, b"socket-buffer", MEASURED_SOCKET_BUFFER, None)
        for _ in range(plan.buffers + SPARE):
            library.plain(
                "arv_stream_push_buffer",
                self._stream,
                library.plain("arv_buffer_new_allocate", plan.payload_bytes),
            )
        self._infos = {
            library.plain("arv_stream_get_info_name", self._stream, index).decode(): index
            for index in range(library.plain("arv_stream_get_n_infos", self._stream))
        }
        self._waiting: deque[Buffer] = deque(maxlen=plan.buffers)
        self._changed = threading.Condition()
        self._overwritten = 0
        self._missing = 0
        self._newest_id: int | None = None
        self._last_id = FRAME_ID_LAST
        self._closing = False
        self._thread = threading.Thread(target=self._pump, name="aravis", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float) -> Buffer | None:
        """The oldest that waits; None when none came."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, timeout_s)
            return self._waiting.popleft() if self._waiting else None

    def statistics(self) -> Statistics:
        """What the library counts, and what was overwritten here: its own underruns are packets
        without a buffer, not pictures, which the ids tell."""
        return Statistics(
            delivered=self._info("n_completed_buffers"),
            underruns=self._overwritten,
            packets_resent=self._info("n_resent_packets"),
            packets_missing=self._info("n_missing_packets"),
        )

    def close(self) -> None:
        """End both threads and the stream, which ends its own."""
        self._closing = True
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():  # else it ends with its process
            self._library.plain("g_object_unref", self._stream)
            self._chunks.close()

    def stop(self) -> None:
        """End both threads and ask the camera nothing: what is left ends with its process. The
        library's thread must not stay: on a network that vanished it turns without rest."""
        if self._closing:
            return
        self._closing = True
        self._thread.join(JOIN_S)
        self._library.plain("arv_stream_stop_thread", self._stream, 0)

    def _info(self, name: str) -> int | None:
        index = self._infos.get(name)
        if index is None:
            return None
        return int(self._library.plain("arv_stream_get_info_uint64", self._stream, index))

    def _pump(self) -> None:
        while not self._closing:
            done = self._library.plain("arv_stream_timeout_pop_buffer", self._stream, POP_US)
            if not done:
                continue
            buffer = None if self._is_untouched(done) else self._taken(done)
            self._library.plain("arv_buffer_set_frame_id", done, NO_FRAME_ID)
            self._library.plain("arv_stream_push_buffer", self._stream, done)
            if buffer is None:
                continue
            with self._changed:
                self._overwritten += len(self._waiting) == self._waiting.maxlen
                self._waiting.append(buffer)
                self._changed.notify()

    def _is_untouched(self, done: int) -> bool:
        """A stream that begins in mid-picture gives back a buffer for each packet of that one."""
        status = int(self._library.plain("arv_buffer_get_status", done))
        return status == _CLEARED and not self._library.plain("arv_buffer_get_frame_id", done)

    def _taken(self, done: int) -> Buffer:
        """A copy of a buffer; of one that is no whole picture, no bytes."""
        library = self._library
        missing = self._info("n_missing_packets") or 0
        lost, self._missing = missing - self._missing, missing
        problem, detail = self._problem(done)
        shape, stride = Shape(0, 0, ""), 0
        data, chunks = np.empty(0, np.uint8), {}
        if not problem:
            shape, stride = self._shape_of(done)
            data = self._image(done, stride * shape.height_px)
            chunks = self._chunks.read(done)
        frame_id = self._frame_id(done)
        stamp_ns = 0 if problem else int(library.plain("arv_buffer_get_timestamp", done))
        return Buffer(
            data=data,
            width_px=shape.width_px,
            height_px=shape.height_px,
            stride_bytes=stride,
            pixel_format=shape.pixel_format,
            problem=problem,
            detail=f"{detail} ({lost} packets)" if detail and lost else detail,
            frame_id=frame_id,
            frame_id_first=1,
            frame_id_last=self._last_id,
            stamp_ns=stamp_ns or None,
            arrived_mono=self._arrived_mono(done),
            missing_packets=lost,
            chunks=chunks,
        )

    def _shape_of(self, done: int) -> tuple[Shape, int]:
        """The picture's shape, and the bytes of a row."""
        library = self._library
        if self._is_chunked(done):  # its leader has neither size nor format
            code = _CODES.get(self._shape.pixel_format, 0)
            return self._shape, _row_bytes(self._shape.width_px, code)
        width = int(library.plain("arv_buffer_get_image_width", done))
        height = int(library.plain("arv_buffer_get_image_height", done))
        code = int(library.plain("arv_buffer_get_image_pixel_format", done))
        x_padding, y_padding = c_int(), c_int()
        library.plain("arv_buffer_get_image_padding", done, byref(x_padding), byref(y_padding))
        shape = Shape(width, height, PFNC.get(code, f"0x{code:08X}"))
        return shape, _row_bytes(width, code) + x_padding.value

    def _is_chunked(self, done: int) -> bool:
        return int(self._library.plain("arv_buffer_get_payload_type", done)) == _CHUNKED

    def _frame_id(self, done: int) -> int | None:
        """The camera's count. It comes with the first packet: where that one is lost the buffer has
        none, and since buffers come in order, it is the next one's after the buffer before."""
        frame_id = int(self._library.plain("arv_buffer_get_frame_id", done))
        if frame_id == NO_FRAME_ID and self._newest_id is not None:
            frame_id = 1 if self._newest_id == self._last_id else self._newest_id + 1
        if frame_id > FRAME_ID_LAST:
            self._last_id = LONG_FRAME_ID_LAST
        self._newest_id = frame_id or None
        return self._newest_id

    def _problem(self, done: int) -> tuple[str, str]:
        status = int(self._library.plain("arv_buffer_get_status", done))
        if status != _COMPLETE:
            return _PROBLEMS.get(status, ("incomplete", f"status {status}"))
        payload = int(self._library.plain("arv_buffer_get_payload_type", done))
        if payload not in (_IMAGE, _CHUNKED, _EXTENDED_CHUNKED):
            return "wrong_payload", f"type {payload} is no picture"
        return "", ""

    def _image(self, done: int, image_bytes: int) -> NDArray[np.uint8]:
        """The picture's bytes. With chunks in the manner of GigE Vision 1 they come first."""
        size = c_size_t()
        chunked = self._is_chunked(done)
        function = "arv_buffer_get_data" if chunked else "arv_buffer_get_image_data"
        begin = self._library.plain(function, done, byref(size))
        wanted = min(image_bytes, size.value) if chunked else size.value
        return np.frombuffer(ctypes.string_at(begin, wanted), np.uint8)

    def _arrived_mono(self, done: int) -> float:
        """When the first packet came; the library notes it by the wall clock."""
        now_mono, now_ns = time.monotonic(), time.time_ns()
        arrived_ns = int(self._library.plain("arv_buffer_get_system_timestamp", done))
        age_s = (now_ns - arrived_ns) / 1e9
        return now_mono - age_s if 0 <= age_s < 10 else now_mono


def _row_bytes(width_px: int, code: int) -> int:
    """Bytes of a row without padding."""
    return -(-width_px * (code >> 16 & 0xFF) // 8)
