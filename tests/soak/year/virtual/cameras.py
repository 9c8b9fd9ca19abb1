"""Cameras without processes: what a capture child would say and show, on a made clock."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.capture.fingerprint import GRID, TAG_BYTES
from agent.capture.messages import Failed, Opened, Remarked, Unreadable
from agent.capture.source import Measurements, SourceInfo
from agent.supervision.child import ChildGone, ChildSpec
from agent.supervision.ring import RingWriter
from agent.supervision.ring_memory import FrameRing, RingShape

SIDE_PX = 16
SLOTS = 8
META_BYTES = 512


@dataclass(slots=True)
class CameraLife:
    """What a camera does at present.

    ``opens``, ``reads``: empty for as it should; ``hangs``; a ``Failed`` that its child says. Of
    ``reads`` also ``silent``, ``same`` (one picture), ``near`` (the same but for noise), ``dies``
    (its process), ``stale`` (nothing but old pictures). ``says``: once, beside its pictures.
    """

    opens: str | Failed = ""
    reads: str | Failed = ""
    size_px: int = SIDE_PX
    per_s: float = 2.0
    late_s: float = 0.0
    fps: float = 0.0
    says: list[Unreadable | Remarked | Measurements] = field(default_factory=list)
    spawn_fails: bool = False
    facts_too_long: bool = False
    queued: int = 0


class PretendChild:
    """Stands in for ``Child``: it has the ring and nothing else of a process."""

    pid = 0

    def __init__(self, spec: ChildSpec, life: CameraLife, now: float) -> None:
        self.name = spec.name
        self._life = life
        self._fds = spec.fds
        self._messages: list[object] = []
        self._writer: RingWriter | None = None
        self._ring: FrameRing | None = None
        self._next_mono = now
        self._gone = False
        self._shown = 0

    # --- its work --------------------------------------------------------------------------------

    def turn(self, now: float, draw: np.random.Generator, utc_ms: int) -> None:
        """Do what a child would have done until ``now``."""
        if self._gone:
            return
        if self._writer is None:
            self._open(now)
            return
        self._read(now, draw, utc_ms)

    def _open(self, now: float) -> None:
        life = self._life
        if isinstance(life.opens, Failed):
            self._fail(life.opens)
        elif life.opens == "dies":
            self._gone = True
        elif life.opens != "hangs":
            shape = RingShape(SLOTS, life.size_px**2 * 3, TAG_BYTES, META_BYTES)
            self._ring = FrameRing.allocate(self._fds["ring"], shape)
            self._writer = RingWriter(self._ring, self._fds["event"])
            self._writer.beat(now)
            self._next_mono = now
            while life.queued:
                life.queued -= 1
                self._writer.leave_out()
            info = SourceInfo(life.size_px, life.size_px, life.fps, live=True)
            self._messages.append(Opened(info))

    def _read(self, now: float, draw: np.random.Generator, utc_ms: int) -> None:
        life, writer = self._life, self._writer
        assert writer is not None
        if isinstance(life.reads, Failed):
            self._fail(life.reads)
        elif life.reads == "dies":
            self._gone = True
        elif life.reads != "hangs":
            writer.beat(now)
            self._messages += life.says
            life.says.clear()
            while self._next_mono <= now and life.reads != "silent":
                if life.reads == "stale":
                    writer.leave_out()
                else:
                    self._push(now, draw, utc_ms)
                self._next_mono += 1.0 / life.per_s
            self._next_mono = max(self._next_mono, now - 1.0)

    def _push(self, now: float, draw: np.random.Generator, utc_ms: int) -> None:
        life = self._life
        assert self._writer is not None
        if life.reads not in ("same", "near"):
            self._shown += 1
        if life.reads == "near":
            self._shown += 1
            grid = np.full(GRID * GRID, 90, np.uint8)
            grid[::2] = 160
            grid[self._shown % grid.size] ^= 1
        else:
            seeded = np.random.default_rng(self._shown)
            grid = seeded.integers(20, 230, GRID * GRID, dtype=np.uint8)
        tag = struct.pack("<I", self._shown) + grid.tobytes()
        image = np.full((life.size_px, life.size_px, 3), 128, np.uint8)
        stamps = (utc_ms - int(1000 * life.late_s), now - life.late_s)
        facts = bytes(2 * META_BYTES) if life.facts_too_long else b""
        self._writer.push(image, None, stamps, tag, facts, now_mono=now)

    def _fail(self, message: Failed) -> None:
        self._messages.append(message)
        self._gone = True

    # --- as a Child ------------------------------------------------------------------------------

    def receive(self) -> list[object]:
        """What it has said; ``ChildGone`` after the last of it."""
        said, self._messages = self._messages, []
        if not said and self._gone:
            raise ChildGone(self.name)
        return said

    def alive(self) -> bool:
        return not self._gone

    def describe_exit(self) -> str:
        return "killed by SIGKILL"

    def kill(self, _wait_s: float = 0.0) -> bool:
        self._gone = True
        if self._ring is not None:
            self._ring.close()
            self._ring = self._writer = None
        return True

    def stop(self, _timeout_s: float) -> bool:
        return self.kill()

    def ask_to_stop(self) -> None:
        self._gone = True


class Cameras:
    """The lives of all cameras, by name, and the children that are there now."""

    def __init__(self, names: tuple[str, ...], mono: Any, utc_ms: Any, seed: int) -> None:
        self.lives = {name: CameraLife() for name in names}
        self._mono, self._utc_ms = mono, utc_ms
        self._draw = np.random.default_rng(seed)
        self._children: list[PretendChild] = []

    def spawn(self, spec: ChildSpec) -> PretendChild:
        """In the place of ``spawn``."""
        life = self.lives[spec.name.removeprefix("capture-")]
        if life.spawn_fails:
            raise OSError(12, "Cannot allocate memory")
        child = PretendChild(spec, life, self._mono())
        self._children.append(child)
        return child

    def end(self) -> None:
        """Their parent is gone, and they with it."""
        for child in self._children:
            child.kill()
        self._children.clear()

    def turn(self) -> None:
        """Let every child do what is due."""
        self._children = [child for child in self._children if child.alive()]
        for child in self._children:
            child.turn(self._mono(), self._draw, self._utc_ms())
