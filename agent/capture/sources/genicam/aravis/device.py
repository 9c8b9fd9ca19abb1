"""One opened camera of libaravis: its nodes, its stream, and what became of it when it is lost."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_double, c_int64, c_uint32
from typing import Any

from agent.capture.source import SourceError
from agent.capture.sources.genicam.aravis.chunks import ChunkReader
from agent.capture.sources.genicam.aravis.library import AravisError, Library
from agent.capture.sources.genicam.aravis.stream import AravisStream, Shape, StreamPlan
from agent.capture.sources.genicam.backend import (
    Buffer,
    DeviceRecord,
    Kind,
    NodeError,
    NodeRecord,
    Statistics,
    Value,
)
from agent.capture.sources.genicam.chunks import value_node
from agent.capture.sources.genicam.formats import canonical
from agent.capture.sources.genicam.gige import gvcp
from agent.capture.sources.genicam.gige.lookup import Sought
from agent.capture.sources.genicam.gige.loss import loss_of
from agent.capture.sources.genicam.gige.network import Network
from agent.capture.sources.genicam.gige.packet_size import check_packet_size
from agent.capture.sources.genicam.nodes import number_of, value_of

NO_AUTOMATIC_PACKET_SIZE = 0
CHECK_ACCESS = RANGE_CHECK = 1
NO_CACHE = 0
_ROOT = "Root"
_KINDS: tuple[Kind, ...] = ("enumeration", "command", "boolean", "integer", "float", "string")
"""In this order: an enumeration is an integer and a string too."""
_READ_ONLY, _WRITE_ONLY, _READ_WRITE = 0, 1, 2


class Device:
    """An opened camera. ``found``: by what it was sought, and the network that leads to it, None
    for USB."""

    def __init__(
        self,
        library: Library,
        handle: int,
        record: DeviceRecord,
        found: tuple[Sought, Network | None],
    ) -> None:
        self.record = record
        self._library = library
        self._handle = handle
        self._sought, self._lane = found
        self._stream: AravisStream | None = None
        self._lost = False
        library.plain("arv_device_set_register_cache_policy", handle, NO_CACHE)
        library.plain("arv_device_set_range_check_policy", handle, RANGE_CHECK)
        library.plain("arv_device_set_access_check_policy", handle, CHECK_ACCESS)
        if self._lane is not None:
            # Aravis' own search for a size goes above the MTU where the network card lets it.
            library.plain(
                "arv_gv_device_set_packet_size_adjustment", handle, NO_AUTOMATIC_PACKET_SIZE
            )

    def names(self) -> Sequence[str]:
        """Names of all features, each once: those below the root in the camera's order, then those
        that no category names."""
        found: dict[str, None] = {}
        seen, waiting = {_ROOT}, [_ROOT]
        while waiting:
            node = self._feature(waiting.pop(0))
            for name in [] if node is None else self._library.texts_of_category(node):
                feature = self._feature(name)
                if feature is None or name in seen:
                    continue
                seen.add(name)
                if self._library.is_a(feature, "category"):
                    waiting.append(name)
                else:
                    found[name] = None
        for name in self._library.names_of_file(self._handle):
            feature = self._feature(name)
            if feature is not None and any(self._library.is_a(feature, kind) for kind in _KINDS):
                found[name] = None
        return list(found)

    def node(self, name: str) -> NodeRecord:
        """What a node is now."""
        feature, kind = self._known(name)
        if not self._ask("arv_gc_feature_node_is_implemented", feature):
            raise NodeError("not implemented")
        available = bool(self._ask("arv_gc_feature_node_is_available", feature))
        locked = bool(self._ask("arv_gc_feature_node_is_locked", feature))
        access = self._library.plain("arv_gc_feature_node_get_actual_access_mode", feature)
        record = NodeRecord(
            name=name,
            kind=kind,
            readable=available and kind != "command" and access in (_READ_ONLY, _READ_WRITE),
            writable=available and not locked and access in (_WRITE_ONLY, _READ_WRITE),
        )
        if not available:
            return record
        return self._with_limits(record, feature)

    def _with_limits(self, record: NodeRecord, feature: int) -> NodeRecord:
        name, kind = record.name, record.kind
        shape = (name, kind, record.readable, record.writable)
        if kind == "enumeration":
            try:
                return NodeRecord(*shape, entries=self._library.entries(self._handle, name))
            except AravisError as error:
                raise self._refused(error) from error
        if kind not in ("integer", "float"):
            return record
        number = c_int64 if kind == "integer" else c_double
        low, high, step = number(), number(), None
        unit = (self._library.plain(f"arv_gc_{kind}_get_unit", feature) or b"").decode()
        try:
            bounds = f"arv_device_get_{kind}_feature_bounds"
            self._ask(bounds, self._handle, name.encode(), byref(low), byref(high))
            if kind == "integer":
                increment = "arv_device_get_integer_feature_increment"
                step = float(self._ask(increment, self._handle, name.encode()))
        except NodeError:  # a number that declares no range
            return NodeRecord(*shape, unit=unit)
        return NodeRecord(
            *shape, minimum=float(low.value), maximum=float(high.value), increment=step, unit=unit
        )

    def read(self, name: str) -> Value:
        """The value of a node, from the camera."""
        _, kind = self._known(name)
        if kind == "command":
            raise NodeError("is a command and has no value")
        of = "string" if kind == "enumeration" else kind
        value = self._ask(f"arv_device_get_{of}_feature_value", self._handle, name.encode())
        match kind:
            case "boolean":
                return bool(value)
            case "integer":
                return int(value)
            case "float":
                return float(value)
            case _:
                return (value or b"").decode("utf-8", "replace")

    def write(self, name: str, value: Value) -> None:
        """Set a node."""
        _, kind = self._known(name)
        if kind == "command":
            raise NodeError("is a command and has no value")
        of = "string" if kind == "enumeration" else kind
        given = value.encode() if isinstance(value, str) else value
        try:
            self._ask(f"arv_device_set_{of}_feature_value", self._handle, name.encode(), given)
        except ctypes.ArgumentError as error:
            raise NodeError(f"{value!r} is no {kind}") from error

    def execute(self, name: str) -> None:
        """Run a command."""
        self._ask("arv_device_execute_command", self._handle, name.encode())

    def start(self, buffers: int, chunks: Sequence[str] = ()) -> None:
        """Begin to deliver. ``SourceError`` ``packet_size``: larger than the network takes."""
        if self._lane is not None:
            check_packet_size(self, self._lane)
        size = self.read("PayloadSize")
        assert isinstance(size, int)
        try:
            plan = StreamPlan(buffers, size, self._set_shape())
            reader = ChunkReader(self._library, self._handle, self._chunk_nodes(chunks))
            self._stream = AravisStream(self._library, self._handle, plan, reader)
            if "AcquisitionMode" in self.names():
                self.write("AcquisitionMode", "Continuous")
            self.execute("AcquisitionStart")
        except AravisError as error:
            raise SourceError("open_failed", f"no stream: {error}") from error
        except NodeError as error:
            raise SourceError("open_failed", f"the camera does not start: {error}") from error

    def _set_shape(self) -> Shape:
        """Width, height and pixel format that the camera is set to."""
        width, height = (int(number_of(self, name) or 0) for name in ("Width", "Height"))
        return Shape(width, height, canonical(str(value_of(self, "PixelFormat") or "")))

    def _chunk_nodes(self, chunks: Sequence[str]) -> dict[str, tuple[str, Kind]]:
        """Node and kind of each chunk of which the camera describes a value."""
        names = self.names() if chunks else ()
        nodes = {chunk: value_node(chunk, names) for chunk in chunks}
        return {chunk: (node, self._known(node)[1]) for chunk, node in nodes.items() if node}

    def next(self, timeout_s: float) -> Buffer | None:
        """The next buffer; the loss of the camera as soon as it is known."""
        assert self._stream is not None
        buffer = self._stream.next(timeout_s)
        if buffer is None and not self._controls():
            raise self._loss("control of the camera is lost")
        return buffer

    def statistics(self) -> Statistics:
        """Of the stream since ``start``."""
        return Statistics() if self._stream is None else self._stream.statistics()

    def alive(self) -> None:
        """Read the register that says who is in control."""
        if self._lane is None:
            self.read("DeviceVendorName")
            return
        value = c_uint32()
        self._ask("arv_device_read_register", self._handle, gvcp.CONTROL_PRIVILEGE, byref(value))
        if not value.value or not self._controls():
            raise self._loss("the camera knows this client no more")

    def close(self) -> None:
        """Stop the stream and release the camera. Of one that is lost nothing is asked any more:
        each of the library's last words would wait for its time-out. It ends with its process."""
        if not self._handle or self._lost:
            return
        handle, self._handle = self._handle, 0
        try:
            self._library.checked("arv_device_execute_command", handle, b"AcquisitionStop")
        except AravisError:
            return
        if self._stream is not None:
            self._stream.close()
        self._library.plain("g_object_unref", handle)

    # --- what the library says, as this program's errors ---------------------------------------

    def _feature(self, name: str) -> int | None:
        node = self._library.plain("arv_device_get_feature", self._handle, name.encode())
        return None if node is None else int(node)

    def _known(self, name: str) -> tuple[int, Kind]:
        node = self._feature(name)
        if node is None:
            raise NodeError("the camera has none of this name")
        for kind in _KINDS:
            if self._library.is_a(node, kind):
                return node, kind
        raise NodeError("is no feature that has a value")

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Call the library about a node. ``NodeError``; ``SourceError`` of a lost camera."""
        try:
            return self._library.checked(function, *arguments)
        except AravisError as error:
            raise self._refused(error) from error

    def _refused(self, error: AravisError) -> Exception:
        if error.lost or not self._controls():
            return self._loss(str(error))
        return NodeError(str(error))

    def _controls(self) -> bool:
        return self._lane is None or bool(
            self._library.plain("arv_gv_device_is_controller", self._handle)
        )

    def _loss(self, said: str) -> SourceError:
        """Who or what took the camera away: its cable here, its power, another client."""
        self._lost = True
        if self._stream is not None:
            self._stream.stop()
        if self._lane is None:
            return SourceError("unplugged", f"{self.record.key}: {said}")
        return loss_of(self.record, self._sought, self._lane, said)
