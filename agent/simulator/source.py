"""``sim:`` as a camera: draws the next picture, waits for its moment, stamps it, hands it over.

The schedule is absolute (start + due time of the row or picture), so no drift builds up. A reader
that comes so late that pictures are ``SKIP_AFTER_S`` overdue has missed them, as it would have
missed fruit on a real belt.

Where the picture has one lane, ``truth`` is flat: ``angle_deg``, ``stem_x_px``, ``stem_y_px``,
``variety``, ``suture_contrast``, ``empty``, ``content``, ``fruit``, ``seed``; where it has several,
``truth["lanes"]`` is a list of such objects from left to right. ``truth["faults"]`` lists the
faults at work, with level and onset.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from agent.capture.source import Picture, SourceError, SourceInfo
from agent.config import Camera
from agent.records import CaptureMode
from agent.simulator.fault_pictures import PICTURE_FAULTS, spoil
from agent.simulator.faults import Active, Delivery, active
from agent.simulator.parameters import ParameterError, SimParameters, parse_url
from agent.simulator.scene import FreeRunScene, Scene, SceneSettings, TriggeredScene
from agent.simulator.truth_log import TruthLog, draw_number
from agent.telemetry import log_event, wall_clock_ms

logger = logging.getLogger(__name__)

DEFAULT_FPS = 30.0
DEFAULT_SIZE_PX = 256
SKIP_AFTER_S = 2.0
PATIENCE_S = 1.0
AHEAD_S = 0.1
"""How long before its moment a picture is drawn, at the least: drawing is work that a camera does
not do, and right after a picture was handed over it would slow down the reading of that one."""
GONE = "the simulated camera was unplugged"


@dataclass(frozen=True, slots=True)
class SimClock:
    """The clocks and the waiting, injected so that tests need no real time."""

    mono: Callable[[], float] = time.monotonic
    utc_ms: Callable[[], int] = wall_clock_ms
    sleep: Callable[[float], None] = time.sleep


def open_source(camera: Camera) -> SimSource:
    """The simulated camera of this configuration; ``SourceError`` (permanent) for what it cannot be
    told."""
    try:
        parameters = parse_url(camera.source, camera.sim)
    except ParameterError as error:
        raise SourceError("bad_url", str(error), permanent=True) from error
    return SimSource(camera, parameters)


class SimSource:
    """One simulated camera; see the module's text for what its pictures carry."""

    def __init__(
        self, camera: Camera, parameters: SimParameters, clock: SimClock | None = None
    ) -> None:
        self._camera = camera
        self._parameters = parameters
        self._clock = clock or SimClock()
        self._scene: Scene | None = None
        self._start_mono = 0.0
        self._opened_s = 0.0
        self._index = -1
        self._previous: NDArray[np.uint8] | None = None
        self._pending: _Shot | None = None
        self._draw_s = 0.0
        self._log: TruthLog | None = None

    def open(self) -> SourceInfo:
        """Ready the scene; the first picture is due now (or was, where the URL has an anchor)."""
        p, camera = self._parameters, self._camera
        if p.truth_log is not None:
            try:
                self._log = TruthLog(p.truth_log)
            except OSError as error:
                raise SourceError("truth_log", str(error), permanent=True) from error
        size = p.size_px or camera.height_px or DEFAULT_SIZE_PX
        settings = SceneSettings(p.machine, p.look, size, p.ids)
        if camera.mode is CaptureMode.FREE_RUN:
            fps = camera.fps or DEFAULT_FPS
            self._scene = FreeRunScene(settings, fps)
        else:
            fps = 1.0 / p.machine.row_period_s
            self._scene = TriggeredScene(settings)
        self._start_mono = self._clock.mono() if p.anchor_mono is None else p.anchor_mono
        self._opened_s = self._clock.mono() - self._start_mono
        if _level(active(p.faults, self._opened_s), Delivery.LOST):
            raise SourceError("lost", GONE)
        return SourceInfo(width_px=size * p.machine.lanes, height_px=size, fps=fps, live=True)

    def read(self) -> Picture | None:
        """The next picture, or None when none came within ``PATIENCE_S`` (the belt stands)."""
        if self._scene is None:
            raise SourceError("closed", "read() before open()")
        wait_until = self._clock.mono() + PATIENCE_S
        while True:
            shot = self._pending or self._next_shot(self._scene, wait_until)
            self._pending = shot
            due_mono = self._start_mono + shot.due_s
            if due_mono > wait_until:
                self._wait(wait_until)
                return None
            self._wait(due_mono)
            self._pending = None
            if _level(shot.faults, Delivery.HANG):
                self._hang()
            if _level(shot.faults, Delivery.LOST):
                raise SourceError("lost", GONE)
            self._note(shot)
            if shot.image is not None:
                return Picture(
                    image=shot.image,
                    aperture=self._scene.aperture,
                    captured_utc_ms=self._clock.utc_ms(),
                    captured_mono=self._clock.mono(),
                    truth=shot.truth,
                    machine=shot.machine,
                )

    def close(self) -> None:
        """End the truth log."""
        self._scene = None
        if self._log is not None:
            self._log.close()

    def _next_shot(self, scene: Scene, wait_until: float) -> _Shot:
        """Draw the next picture in good time, or none where a fault swallows it."""
        missed = 0
        while True:
            due_s = scene.advance()
            self._index += 1
            if due_s < self._opened_s:  # passed before this camera was opened
                continue
            if self._clock.mono() - self._start_mono - due_s <= SKIP_AFTER_S:
                break
            missed += 1
        if missed:
            log_event(logger, logging.WARNING, "sim_pictures_missed", pictures=missed)
        faults = active(self._parameters.faults, due_s)
        ahead_s = max(AHEAD_S, 2.0 * self._draw_s)
        self._wait(min(wait_until, self._start_mono + due_s - ahead_s))
        drawing = self._clock.mono()
        drawn = scene.draw(_level(faults, Delivery.UNKNOWN_VARIETY))
        self._draw_s = self._clock.mono() - drawing
        if _level(faults, Delivery.DROP) > self._luck(1):
            return _Shot(due_s, None, _with_faults(drawn.truth, faults), {}, faults)
        image = drawn.image
        previous = self._previous
        again = _level(faults, Delivery.FROZEN) > 0 or _level(
            faults, Delivery.REPEATED
        ) > self._luck(2)
        if again and previous is not None:
            image = previous
        else:
            before = image if previous is None else previous
            for fault in faults:
                if fault.name in PICTURE_FAULTS:
                    seed = self._parameters.machine.seed
                    image = spoil(image, fault.name, fault.level, self._index, seed, before)
            image[~scene.aperture] = 0
            if self._parameters.numbers:
                draw_number(image, self._index, self._parameters.machine.lanes)
        self._previous = image
        late_s = _level(faults, Delivery.SLOW)
        truth = _with_faults(drawn.truth, faults)
        return _Shot(due_s + late_s, image, truth, drawn.machine, faults)

    def _luck(self, stream: int) -> float:
        """A number in [0, 1) that depends on the seed and the picture's number alone."""
        return float(
            np.random.default_rng([self._parameters.machine.seed, 23, stream, self._index]).random()
        )

    def _note(self, shot: _Shot) -> None:
        if self._log is not None:
            self._log.write(
                {
                    "utc_ms": self._clock.utc_ms(),
                    "picture": self._index,
                    "due_s": round(shot.due_s, 3),
                    "delivered": shot.image is not None,
                    "truth": shot.truth,
                }
            )

    def _wait(self, until_mono: float) -> None:
        remaining = until_mono - self._clock.mono()
        if remaining > 0:
            self._clock.sleep(remaining)

    def _hang(self) -> NoReturn:
        """A native read that never comes back: only killing the process ends it."""
        while True:
            self._clock.sleep(3600.0)


@dataclass(frozen=True, slots=True)
class _Shot:
    due_s: float
    image: NDArray[np.uint8] | None
    truth: dict[str, Any]
    machine: dict[str, Any]
    faults: tuple[Active, ...]


def _with_faults(truth: dict[str, Any], faults: tuple[Active, ...]) -> dict[str, Any]:
    if not faults:
        return truth
    said = [{"name": f.name, "level": round(f.level, 4), "onset_s": f.onset_s} for f in faults]
    return {**truth, "faults": said}


def _level(faults: tuple[Active, ...], name: str) -> float:
    return next((fault.level for fault in faults if fault.name == name), 0.0)
