"""What lies under the camera, picture by picture: rows of cups drawn and laid side by side. Pure.

A triggered camera takes one picture of each row. A free-running one takes pictures at its own rate,
in which cups move through the view from top to bottom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.records import MachineState
from agent.simulator.machine import Belt, Content, Cup, MachineSettings, Row, rows
from agent.simulator.render import Look, Render, Renderer
from agent.simulator.varieties import UNKNOWN

PITCH = 1.2
"""Distance between two rows of cups in diameters of the view, for a free-running camera."""
BELT_LEVEL = 9
"""Grey level of the belt between two cups."""


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """``ids``: whether the machine tells which fruit it is."""

    machine: MachineSettings
    look: Look
    size_px: int
    ids: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """All lanes side by side: (S, lanes * S, 3) uint8 BGR, and what is known of them."""

    image: NDArray[np.uint8]
    truth: dict[str, Any]
    machine: dict[str, Any]


class TriggeredScene:
    """One picture per row: ``advance`` to the next one, then ``draw`` it or leave it out."""

    def __init__(self, settings: SceneSettings) -> None:
        self._settings = settings
        self._rows = rows(settings.machine)
        self._artist = _Artist(settings)
        self._row: Row | None = None
        self.aperture = self._artist.aperture

    def advance(self) -> float:
        """When the next picture is due, in seconds from the start."""
        self._row = next(self._rows)
        return self._row.due_s

    def draw(self, unknown: float) -> Drawn:
        """The picture; ``unknown`` is the share of fruit of no trained variety."""
        assert self._row is not None, "advance() comes first"
        row = self._row
        renders = self._artist.row(row, unknown)
        image = np.concatenate([r.image for r in renders], 1)
        image[~self.aperture] = 0
        truth = _truth(row, renders, 0.0)
        return Drawn(image, truth, _machine(row, row.state, self._settings.ids))


class FreeRunScene:
    """``fps`` pictures a second of a belt that moves, or stands; used as ``TriggeredScene`` is."""

    def __init__(self, settings: SceneSettings, fps: float) -> None:
        self._settings = settings
        self._fps = fps
        self._artist = _Artist(settings)
        self._belt = Belt(settings.machine)
        self._index = -1
        self.aperture = self._artist.aperture

    def advance(self) -> float:
        self._index += 1
        return self._index / self._fps

    def draw(self, unknown: float) -> Drawn:
        size = self._settings.size_px
        row, following, progress, state = self._belt.at(self._index / self._fps)
        pitch = PITCH * size
        canvas = np.full((size, self.aperture.shape[1], 3), BELT_LEVEL, np.uint8)
        for shown, shift in ((following, (progress - 1) * pitch), (row, progress * pitch)):
            down = round(shift)
            if abs(down) >= size:
                continue
            image = np.concatenate([r.image for r in self._artist.row(shown, unknown)], 1)
            source = slice(max(0, -down), size - max(0, down))
            target = slice(max(0, down), size - max(0, -down))
            inside = self.aperture[source]
            canvas[target][inside] = image[source][inside]
        near, shift = (row, progress) if progress < 0.5 else (following, progress - 1)
        image = self._artist.grain(canvas, self._index)
        image[~self.aperture] = 0
        truth = _truth(near, self._artist.row(near, unknown), round(shift * pitch))
        return Drawn(image, truth, _machine(near, state, self._settings.ids))


Scene = TriggeredScene | FreeRunScene


class _Artist:
    """Draws rows of cups and remembers the last two."""

    def __init__(self, settings: SceneSettings) -> None:
        self._settings = settings
        self._renderer = Renderer(settings.size_px)
        self._kept: dict[int, tuple[Render, ...]] = {}
        lanes = settings.machine.lanes
        self.aperture = np.concatenate([self._renderer.aperture] * lanes, 1)
        shape = (settings.size_px + 64, settings.size_px * lanes + 64, 3)
        noise = np.random.default_rng(settings.machine.seed).normal(0, 1.2, shape)
        self._grain = noise.round().astype(np.int8)

    def row(self, row: Row, unknown: float) -> tuple[Render, ...]:
        if row.index not in self._kept:
            while len(self._kept) > 1:
                del self._kept[min(self._kept)]
            self._kept[row.index] = tuple(self._cup(cup, row, unknown) for cup in row.cups)
        return self._kept[row.index]

    def _cup(self, cup: Cup, row: Row, unknown: float) -> Render:
        if cup.content is Content.EMPTY:
            return self._renderer.empty_cup(cup.seed)
        strange = np.random.default_rng([cup.seed, 5]).random() < unknown
        look = Look(UNKNOWN.name if strange else row.variety, self._settings.look.faint)
        if cup.content is Content.DOUBLE:
            return self._renderer.double(cup.seed, look)
        return self._renderer.fruit(cup.seed, look)

    def grain(self, image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Fresh sensor noise, so that a fruit that stands is not the same picture twice."""
        top, left = (int(v) for v in np.random.default_rng([index, 7]).integers(0, 64, 2))
        height, width = image.shape[:2]
        grain = self._grain[top : top + height, left : left + width]
        return np.asarray(cv2.add(image, grain, dtype=cv2.CV_8U), np.uint8)


def _truth(row: Row, renders: tuple[Render, ...], down_px: float) -> dict[str, Any]:
    """Flat for one lane; ``lanes``: a list from left to right for several."""
    lanes = [
        _lane_truth(row, cup, render, down_px)
        for cup, render in zip(row.cups, renders, strict=True)
    ]
    return lanes[0] if len(lanes) == 1 else {"lanes": lanes}


def _lane_truth(row: Row, cup: Cup, render: Render, down_px: float) -> dict[str, Any]:
    truth = render.truth

    def known(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 3)

    return {
        "fruit": row.index,
        "seed": cup.seed,
        "content": cup.content.value,
        "empty": truth.empty,
        "angle_deg": known(truth.angle_deg),
        "stem_x_px": known(truth.stem_x_px),
        "stem_y_px": known(truth.stem_y_px + down_px),
        "variety": truth.variety,
        "suture_contrast": round(truth.suture_contrast, 4),
        "offset_px": down_px,
    }


def _machine(row: Row, state: MachineState, ids: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"state": state.value, "lot": f"lot-{row.lot}"}
    if row.variety is not None:
        said["variety"] = row.variety
    if ids:
        said["fruit_id"] = f"f{row.index}"
    return said
