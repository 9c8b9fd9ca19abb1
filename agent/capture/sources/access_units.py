"""Packets of a network stream -> whole coded pictures, none of which waits for the next. Pure.

FFmpeg's own parsers give a picture out when the next one begins: at one picture a second it comes
a second late, and the last one before the belt stops comes with the first one of the next start. So
the packets are taken as they arrive. A picture is whole when the stamp changes; when its last
packet is shorter than the others and no more follows; at the latest when nothing follows for long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

WHOLE = frozenset({"mjpeg", "jpeg2000", "vp8", "vp9", "av1", "rawvideo"})
"""Codecs whose packets are whole pictures."""
END_S = 0.05
"""No packet for this long after one that looks like the last of its picture."""
STUCK_S = 0.5
"""No packet for this long after any other."""
LEARNT = 2
LEAST_SHORTER = 16
_NAL = re.compile(rb"\x00\x00\x00\x01(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fragment:
    """One packet as it came: ``stamp`` in the stream's units; ``lost``: others before it are."""

    data: bytes
    stamp: int | None
    arrived_mono: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture; ``arrived_mono`` is its first packet's. ``torn``: parts are missing."""

    data: bytes
    stamp: int | None
    arrived_mono: float
    torn: bool


@dataclass(slots=True)
class _Open:
    """The picture whose packets are coming in."""

    stamp: int | None
    arrived_mono: float
    torn: bool
    parts: list[bytes] = field(default_factory=list)
    newest_mono: float = 0.0
    slices: int = 0


class Assembler:
    """``codec``: FFmpeg's name; two of them tell how many slices a picture has."""

    def __init__(self, codec: str) -> None:
        self._whole = codec in WHOLE
        self._codec = codec
        self._open: _Open | None = None
        self._closed_early: int | None = None
        self._hurried = False  # a picture was taken for whole too early: wait from now on
        self._largest = 0
        self._slices = 0
        self._learnt = 0

    @property
    def pending(self) -> bool:
        """Whether packets of a picture wait for the rest of it."""
        return self._open is not None

    def feed(self, fragment: Fragment) -> AccessUnit | None:
        """Take a packet; return the picture that it ends, if any."""
        if self._whole:
            return AccessUnit(fragment.data, fragment.stamp, fragment.arrived_mono, fragment.lost)
        closed = None
        if self._open is not None and (
            fragment.stamp is None or fragment.stamp != self._open.stamp
        ):
            closed = self._close()
        if self._open is None:
            late = fragment.stamp is not None and fragment.stamp == self._closed_early
            self._hurried = self._hurried or late
            self._open = _Open(fragment.stamp, fragment.arrived_mono, torn=late)
        self._open.parts.append(fragment.data)
        self._open.newest_mono = fragment.arrived_mono
        self._open.torn = self._open.torn or fragment.lost
        self._open.slices += self._slices_in(fragment.data)
        self._largest = max(self._largest, len(fragment.data))
        return closed

    def quiet(self, now_mono: float) -> AccessUnit | None:
        """No packet came until now: return the picture that is whole by that, if any."""
        unit = self._open
        if unit is None:
            return None
        silent_s = now_mono - unit.newest_mono
        if silent_s < (END_S if self._looks_whole(unit) else STUCK_S):
            return None
        self._closed_early = unit.stamp
        return self._close()

    def _looks_whole(self, unit: _Open) -> bool:
        shorter = len(unit.parts[-1]) + LEAST_SHORTER <= self._largest
        known = self._learnt >= LEARNT and unit.slices >= self._slices
        return shorter and known and not self._hurried

    def _close(self) -> AccessUnit:
        unit, self._open = self._open, None
        assert unit is not None
        if not unit.torn:
            self._slices = max(self._slices, unit.slices)
            self._learnt += 1
        return AccessUnit(b"".join(unit.parts), unit.stamp, unit.arrived_mono, unit.torn)

    def _slices_in(self, data: bytes) -> int:
        """How many coded slices begin in a packet; each follows a start code."""
        if self._codec == "h264":
            return sum(1 <= match[1][0] & 31 <= 5 for match in _NAL.finditer(data))
        if self._codec == "hevc":
            return sum(match[1][0] >> 1 & 63 < 32 for match in _NAL.finditer(data))
        return 0
