"""Ordinary production, fruit by fruit: source -> lanes -> segmentation -> readings, in one thread.

The same parts as in the running agent, without its processes. The simulator and recordings run on a
clock of their own, as fast as this computer can; a camera runs in real time.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pkgutil import resolve_name

from agent.capture.lanes import LaneCutter
from agent.capture.mounting import Mounting
from agent.capture.source import EndOfSource, Picture, PictureError, Source, SourceError
from agent.capture.sources.folder import DEFAULT_FPS
from agent.capture.urls import opener_of, parse
from agent.commissioning.errors import CommissioningError
from agent.config import Camera, Config
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.records import (
    Frame,
    FruitReading,
    MachineInfo,
    MachineState,
)
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import lanes_of
from agent.segmentation.segmenter import Segmenter
from agent.simulator.parameters import ParameterError, parse_url
from agent.simulator.source import SimClock, SimSource
from agent.supervision.ring import RingFrame

AS_FAST_AS_IT_GOES_FPS = 1000.0
REMEMBERED_FRAMES = 128
PRODUCING = (MachineState.RUNNING, MachineState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Passing:
    """One cup: its reading, the frame it was read from, and the lot it belongs to."""

    frame: Frame
    reading: FruitReading
    lot: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """``variety``: fruit that the machine announces as another one are left out. ``lot_s``: what
    counts as a lot where the machine names none. ``from_s``: where on a recording to begin."""

    variety: str
    lot_s: float
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """For who plants faults and looks on: ``change`` is done to each frame before it is segmented,
    ``prepare`` makes the network's fast form."""

    change: Callable[[Frame], Frame] = lambda frame: frame
    prepare: Callable[[LoadedModel], LoadedModel] = fused


class VirtualClock:
    """Time that passes only when somebody waits for it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def mono(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def utc_ms(self) -> int:
        return round(self.now * 1000)


def ordinary_production(
    config: Config,
    camera: Camera,
    model: LoadedModel,
    wanted: Wanted,
    hooks: Hooks | None = None,
) -> Iterator[Passing]:
    """Every cup of ordinary production, empty ones included, in order; ends where the source ends.

    Left out: what passes while the machine does not run, and other varieties. Lanes of one camera
    are taken together: each is a sequence of lots of its own.
    """
    for one in everything(config, camera, model, wanted, hooks):
        if ordinary(one.reading.segmentation.machine, wanted.variety):
            yield one


def everything(
    config: Config,
    camera: Camera,
    model: LoadedModel,
    wanted: Wanted,
    hooks: Hooks | None = None,
) -> Iterator[Passing]:
    """Every reading, empty cups included, in order; ends where the source ends."""
    done = hooks or Hooks()
    lanes = lanes_of(camera)
    segmenter = Segmenter(done.prepare(model), config.segmentation, lanes, time.monotonic)
    reader = FruitReader(lanes)
    frames: OrderedDict[str, Frame] = OrderedDict()
    for taken in frames_of(camera, wanted):
        if taken is None:
            continue
        frame = done.change(taken)
        frames[frame.frame_id] = frame
        if len(frames) > REMEMBERED_FRAMES:
            frames.popitem(last=False)
        (segmentation,) = segmenter.segment([frame])
        for reading in reader.feed(segmentation, frame.captured_mono):
            frame_id = reading.segmentation.frame_id
            if frame_id in frames:
                yield Passing(frames[frame_id], reading, lot_of(reading, wanted.lot_s))


def ordinary(machine: MachineInfo, variety: str) -> bool:
    """Whether what passes now is production of this variety, as far as the machine says."""
    return machine.state in PRODUCING and machine.variety in (None, variety)


def lot_of(reading: FruitReading, lot_s: float) -> str:
    """The machine's lot, or a stretch of time, of one lane."""
    seen = reading.segmentation
    lot = seen.machine.lot or f"{int(seen.captured_mono // lot_s)}"
    return f"{lot}/{seen.lane}"


def frames_of(camera: Camera, wanted: Wanted) -> Generator[Frame | None, None, None]:
    """Every frame of every lane, turned and cut as in the running agent; None where the source had
    no picture in time. ``CommissioningError`` where it fails."""
    source, clock, rate = _opened(camera, wanted.from_s)
    mounting, cutter = Mounting(camera), LaneCutter(camera)
    seq, unreadable = -1, 0
    try:
        while True:
            try:
                picture = source.read()
            except PictureError:
                unreadable += 1
                continue
            if picture is None:
                yield None
                continue
            seq += 1
            if rate is not None:  # a recording: its own time, whatever the time of reading
                clock.now = seq / rate
                if clock.now < wanted.from_s:
                    continue
                picture = replace(picture, captured_mono=clock.now)
            turned = as_ring_frame(mounting.apply(picture), seq)
            yield from cutter.cut(turned, "cal", seq, {})
    except EndOfSource:
        return
    except SourceError as error:
        raise CommissioningError(f"{camera.name}: {error}") from error
    finally:
        source.close()


def _opened(camera: Camera, from_s: float) -> tuple[Source, VirtualClock, float | None]:
    """The opened source, its clock, and a recording's rate (None: stamps are real or simulated)."""
    clock = VirtualClock(from_s)
    rate = None
    try:
        url = parse(camera.source)
        source: Source
        if url.scheme == "sim":
            parameters = replace(parse_url(camera.source, camera.sim), anchor_mono=0.0)
            source = SimSource(camera, parameters, SimClock(clock.mono, clock.utc_ms, clock.sleep))
        else:
            if url.scheme == "file":
                rate = camera.fps or DEFAULT_FPS
                camera = camera.model_copy(
                    update={
                        "fps": AS_FAST_AS_IT_GOES_FPS,
                        "source": f"{camera.source.partition('?')[0]}?loop=0",
                    }
                )
            source = resolve_name(opener_of(camera.source, {}))(camera)
        source.open()
    except (SourceError, ParameterError) as error:
        raise CommissioningError(f"{camera.name}: {error}") from error
    return source, clock, rate


def as_ring_frame(picture: Picture, index: int) -> RingFrame:
    """The picture as it would come out of a capture child."""
    both = {"truth": dict(picture.truth), "machine": dict(picture.machine)}
    meta = json.dumps(both).encode() if picture.truth or picture.machine else b""
    return RingFrame(
        index=index,
        captured_utc_ms=picture.captured_utc_ms,
        captured_mono=picture.captured_mono,
        image=picture.image,
        aperture=picture.aperture,
        tag=b"",
        meta=meta,
    )
