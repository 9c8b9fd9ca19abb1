"""What stands between the source ``genicam://`` and a driver: devices, their nodes, their buffers.

A backend lives in the capture child alone. Any of its calls may hang in native code: the process is
then killed (``camera.open_timeout_s``, ``camera.read_timeout_s``), so nothing here needs a thread
or a time-out of its own beyond what is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.capture.sources.genicam.address import Address
from agent.config import Camera, GenicamOptions

Value = bool | int | float | str
"""Of a node: boolean, integer, float; the symbol of an enumeration; a string."""

Kind = Literal["boolean", "integer", "float", "enumeration", "string", "command"]


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """What a discovery tells of one camera; an empty text: not told.

    ``access`` is ``free``, ``in_use`` (another client controls it), ``unreachable`` (another
    network) or ``""``. ``owner``: who uses it, where the camera says it.
    """

    serial: str = ""
    user_name: str = ""
    ip: str = ""
    vendor: str = ""
    model: str = ""
    transport: str = ""
    """``GigE``, ``USB3``, or the producer's own word."""
    interface: str = ""
    access: str = ""
    owner: str = ""
    key: str = ""
    """By which the backend itself opens it."""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What a node is now. Range and entries change with other nodes (selectors, the region)."""

    name: str
    kind: Kind
    readable: bool
    writable: bool
    minimum: float | None = None
    maximum: float | None = None
    increment: float | None = None
    entries: tuple[str, ...] = ()
    """Symbols of an enumeration that can be chosen now."""
    unit: str = ""


class NodeError(Exception):
    """A node that is not there, or cannot be read or written now (NotAvailable, a lost camera is
    ``SourceError``). The text is the driver's own, without the node's name."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """One delivered buffer, valid for ever (its bytes are a copy).

    ``data``: (bytes,) uint8, ``height_px`` rows of ``stride_bytes``, in ``pixel_format`` (a name of
    the PFNC as ``Mono8``, ``BayerRG8``). ``problem`` is empty for a complete buffer, else a reason
    in snake case: ``incomplete`` (packets are missing), ``wrong_payload`` (no picture),
    ``overflow`` (larger than the buffer). ``frame_id``: the camera's own count, None without one;
    it goes up by one a picture and from ``frame_id_last`` back to ``frame_id_first`` (16 bits of
    GigE Vision 1 leave 0 out: 65535 to 1). ``stamp_ns``: the camera's clock at the exposure, None
    without one. ``chunks``: what the picture brings of those that were asked for.
    """

    data: NDArray[np.uint8]
    width_px: int
    height_px: int
    stride_bytes: int
    pixel_format: str
    problem: str = ""
    detail: str = ""
    frame_id: int | None = None
    frame_id_first: int = 0
    frame_id_last: int = 2**64 - 1
    stamp_ns: int | None = None
    arrived_mono: float = 0.0
    missing_packets: int = 0
    chunks: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of the stream since ``start``; None: the driver does not count it.

    ``underruns``: pictures of the camera for which no buffer was free here. ``lost``: those that
    did not come; it counts where buffers have no ``frame_id``.
    """

    delivered: int | None = None
    underruns: int | None = None
    packets_resent: int | None = None
    packets_missing: int | None = None
    lost: int | None = None


class Device(Protocol):
    """An opened camera, controlled by this process alone. Used by one thread.

    Every method raises ``SourceError`` when the camera is lost: ``no_answer``, ``taken`` (another
    client controls it now), ``read_failed`` (anything else).
    """

    record: DeviceRecord

    def names(self) -> Sequence[str]:
        """Names of all nodes that the camera has, whether they are available now or not."""

    def node(self, name: str) -> NodeRecord:
        """What a node is now. ``NodeError`` where there is none, or it is not implemented."""

    def read(self, name: str) -> Value:
        """The value of a node, from the camera. ``NodeError``."""

    def write(self, name: str, value: Value) -> None:
        """Set a node; the type is that of its kind. ``NodeError``."""

    def execute(self, name: str) -> None:
        """Run a command and wait until it is done, a few seconds at most. ``NodeError``."""

    def start(self, buffers: int, chunks: Sequence[str] = ()) -> None:
        """Begin to deliver into so many buffers; where all are full the oldest is overwritten.
        ``chunks``: those that are read of each picture.

        ``SourceError`` (``packet_size``) where packets are larger than the network takes.
        """

    def next(self, timeout_s: float) -> Buffer | None:
        """The next buffer in the order of their coming, complete or not; None when none came."""

    def statistics(self) -> Statistics:
        """What the driver counts."""

    def alive(self) -> None:
        """Ask the camera for one register, past every cache: silence is not loss."""

    def close(self) -> None:
        """Stop the stream, give up control, release the camera and everything else."""


class Backend(Protocol):
    """A driver; made of nothing, opens one camera at most."""

    def discover(self, options: GenicamOptions) -> Sequence[DeviceRecord]:
        """Cameras on ``options.interface``, on all networks without one. This may broadcast, so it
        is called by ``open`` and ``pitwatch cameras`` alone. ``SourceError``."""

    def open(self, address: Address, options: GenicamOptions, camera: Camera) -> Device:
        """Open a camera with control. Of an ``ip`` without any broadcast.

        ``SourceError``: ``absent`` (with ``there_are`` of what was found instead), ``ambiguous``,
        ``in_use`` (by whom, where the camera says it), ``unreachable``, ``open_failed``;
        permanent only where no camera can mend it (``no_backend``, ``bad_producer``).
        """
