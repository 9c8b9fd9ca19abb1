"""One picture of a source -> the frames of its lanes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from agent.config import Camera, Lane
from agent.records import Frame, MachineInfo, MachineState
from agent.supervision.ring import RingFrame

Pixel = TypeVar("Pixel", bound=np.generic)


@lru_cache(maxsize=64)  # one of each size of a lane
def circle(height: int, width: int) -> NDArray[np.bool_]:
    """Return (height, width) bool: the largest circle in the middle of a picture."""
    y, x = np.ogrid[:height, :width]
    radius = min(height, width) / 2
    inside = (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2 <= radius**2
    return np.asarray(inside, np.bool_)


class LaneCutter:
    """Cuts the lanes of one camera."""

    def __init__(self, camera: Camera) -> None:
        self.lanes = camera.effective_lanes()
        self._round = camera.round_aperture

    def cut(
        self, picture: RingFrame, session: str, seq: int, machines: Mapping[str, MachineInfo]
    ) -> list[Frame]:
        """Return one frame per lane, in the order of the configuration.

        A region is copied, so that one lane's frame does not keep the whole picture in memory.
        ``machines``: the machine's own report by lane, where there is one; what the picture itself
        says (a simulator) wins.
        """
        truth, own = read_meta(picture.meta)
        chunks = read_chunks(picture.meta)
        return [
            Frame(
                lane=lane.name,
                frame_id=f"{lane.name}-{session}-{seq}",
                seq=seq,
                captured_utc_ms=picture.captured_utc_ms,
                captured_mono=picture.captured_mono,
                image=_region(picture.image, lane),
                aperture=self._aperture(picture, lane),
                machine=merged(machines.get(lane.name, MachineInfo()), own),
                truth=_truth_of(truth, lane, picture.image.shape[1]),
                chunks=chunks,
            )
            for lane in self.lanes
        ]

    def _aperture(self, picture: RingFrame, lane: Lane) -> NDArray[np.bool_] | None:
        if self._round:
            image = _region(picture.image, lane, copy=False)
            return circle(*image.shape[:2])
        if self._round is False or picture.aperture is None:
            return None
        aperture = _region(picture.aperture, lane)
        return None if aperture.all() else aperture


def read_meta(meta: bytes) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return (truth, machine) of a picture's meta; both empty where there is none."""
    if not meta:
        return {}, {}
    both = json.loads(meta)
    return both.get("truth", {}), both.get("machine", {})


def read_chunks(meta: bytes) -> Mapping[str, Any]:
    """Return what the camera itself has put into the picture."""
    found: Mapping[str, Any] = json.loads(meta).get("chunks", {}) if meta else {}
    return found


def arrival(picture: RingFrame) -> float:
    """When the picture came here: at its capture, unless its source says that it waited."""
    meta = json.loads(picture.meta) if picture.meta else {}
    return float(meta.get("arrived_mono", picture.captured_mono))


def merged(said: MachineInfo, own: Mapping[str, Any]) -> MachineInfo:
    """Return what the machine said, with the fields that a picture brings itself laid over it."""
    if not own:
        return said
    names = ("fruit_id", "encoder", "variety", "lot")
    fields = {name: own[name] for name in names if own.get(name) is not None}
    fields["pictured"] = "fruit_id" in fields
    with contextlib.suppress(ValueError):  # a state that this version does not know
        fields["state"] = MachineState(own.get("state", said.state))
    return replace(said, **fields)


def _region(array: NDArray[Pixel], lane: Lane, copy: bool = True) -> NDArray[Pixel]:
    if lane.region is None:
        return array
    x, y, width, height = lane.region
    part = array[y : y + height, x : x + width]
    return part.copy() if copy else part


def _truth_of(truth: Mapping[str, Any], lane: Lane, width_px: int) -> Mapping[str, Any]:
    """A simulated picture of several lanes lists their truths from left to right."""
    several = truth.get("lanes")
    if not isinstance(several, list) or not several:
        return truth
    x, _, width, _ = lane.region or (0, 0, width_px, 0)
    place = min(len(several) - 1, int((x + width / 2) * len(several) / width_px))
    shared = {name: value for name, value in truth.items() if name != "lanes"}
    return {**shared, **several[place]}
