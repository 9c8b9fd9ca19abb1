"""The newest of everything per lane: all that page, terminal and pictures need.

Fed from the live path and the alarm loop, read for every view. Per lane it holds one reading, the
pictures of the newest fruit, one set of overlays and mean maps with the frames that they explain,
and a short history of numbers; in all, the pictures behind the newest alarms. The other arrays of
an explanation are released at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.observability.fruit_frames import AnnotatedFrame, FruitFrames
from agent.observability.quantiles import WindowQuantiles
from agent.observability.view import ClassHistory, ClassView, ExplanationView, MapView, ReadingView
from agent.records import (
    ClassExplanation,
    Explanation,
    Frame,
    FruitReading,
    Overlay,
    SegmentedFrame,
    Selection,
)

HISTORY = 60
"""Explanations in the small charts of the page: two minutes at the default period."""
EVIDENCE_MAX = 32
"""Pictures behind alarms kept for the page, at most 100 KiB each."""


@dataclass(frozen=True, slots=True)
class MeanMap:
    """The control of a heat map: (h, w) float32, the mean of all activation maps, unweighted."""

    frame_id: str
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A heat map before it is drawn: ``values`` (h, w) float32, signed, empty where the class could
    not be explained, over ``frame``, None where it is not known. ``value_range``: a strength that
    few maps reach."""

    class_name: str
    frame_id: str
    values: NDArray[np.float32]
    value_range: float
    frame: AnnotatedFrame | None


@dataclass(frozen=True, slots=True)
class _HeatMap:
    """The newest heat map of one class, and the frame that it explains, where that is known."""

    overlay: Overlay
    values: NDArray[np.float32]
    said: MapView
    captured_mono: float
    frame: AnnotatedFrame | None

    @property
    def frame_id(self) -> str:
        return self.said.frame_id

    def view(self, now: float) -> MapView:
        return dataclasses.replace(self.said, age_s=max(0.0, now - self.captured_mono))


@dataclass(frozen=True, slots=True)
class _Explained:
    explanation: ExplanationView
    captured_mono: float
    heat_maps: dict[str, _HeatMap]
    mean_maps: dict[str, MeanMap]
    history: dict[str, ClassHistory]


class Newest:
    """Newest frame, fruit and explanation per camera.

    Each write replaces one reference, so that writers never wait for readers. Only the lanes that
    are named exist: a lookup of any other name gives None. ``compute`` holds the
    compute seconds of the explanations whose frame was grabbed within the last minute.
    """

    def __init__(
        self, lanes: Iterable[str], cutting_lines_deg: Mapping[str, float] | None = None
    ) -> None:
        self.lanes = tuple(lanes)
        self._cutting_lines_deg = dict(cutting_lines_deg or {})
        self.compute = WindowQuantiles()
        self._frames: dict[str, AnnotatedFrame | None] = dict.fromkeys(self.lanes)
        self._fruit_frames = {lane: FruitFrames() for lane in self.lanes}
        self._fruit: dict[str, FruitReading | None] = dict.fromkeys(self.lanes)
        self._explained: dict[str, _Explained | None] = dict.fromkeys(self.lanes)
        self._evidence: dict[str, Overlay | None] = {}

    def change_lanes(
        self, lanes: Iterable[str], cutting_lines_deg: Mapping[str, float] | None = None
    ) -> None:
        """Go on with these lanes; what stays keeps what it has."""
        self._cutting_lines_deg = dict(cutting_lines_deg or {})
        wanted = tuple(lanes)
        # Whoever writes meanwhile looks at these in the order of ``on_segmented``: frames last.
        self._fruit_frames = {
            lane: self._fruit_frames.get(lane) or FruitFrames() for lane in wanted
        }
        self._fruit = {lane: self._fruit.get(lane) for lane in wanted}
        self._explained = {lane: self._explained.get(lane) for lane in wanted}
        self._frames = {lane: self._frames.get(lane) for lane in wanted}
        self.lanes = wanted

    def on_segmented(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        """Keep a frame with its mask; both are only referenced, never copied."""
        kept = self._fruit_frames.get(frame.lane)
        if kept is not None and frame.lane in self._frames:
            seen = self._frames[frame.lane] = self._annotated(frame, segmentation)
            kept.add(seen)

    def _annotated(self, frame: Frame, segmentation: SegmentedFrame) -> AnnotatedFrame:
        return AnnotatedFrame(frame, segmentation, self._cutting_lines_deg.get(frame.lane, 0.0))

    def on_fruit(self, fruit: FruitReading) -> None:
        """Keep the reading of a fruit and its picture; an empty cup is none and leaves the last one
        standing."""
        lane = fruit.segmentation.lane
        kept = self._fruit_frames.get(lane)
        if kept is not None and lane in self._fruit and not fruit.empty:
            kept.choose(fruit.segmentation.frame_id)
            self._fruit[lane] = fruit

    def on_explanation(self, explanation: Explanation, selection: Selection | None = None) -> None:
        """Keep numbers, overlays and mean maps; a class that is missing keeps its older ones.

        ``selection`` brings the frame that is explained.
        """
        explained = self._explained
        if explanation.lane not in explained:
            return
        self.compute.add(explanation.seconds, explanation.captured_mono)
        before = explained[explanation.lane]
        frame = self._annotated(selection.frame, selection.segmentation) if selection else None
        heat_maps = dict(before.heat_maps) if before else {}
        parts = {one.class_name: one for one in explanation.classes}
        for overlay in explanation.overlays:
            found = parts[overlay.class_name]
            heat_maps[overlay.class_name] = _HeatMap(
                overlay,
                found.map,
                _said(explanation, found, overlay),
                explanation.captured_mono,
                frame,
            )
        mean_maps = dict(before.mean_maps) if before else {}
        history = dict(before.history) if before else {}
        for one in explanation.classes:
            if one.explainable:
                mean_maps[one.class_name] = MeanMap(explanation.frame_id, one.mean_map)
                history[one.class_name] = _continued(history.get(one.class_name), one)
        explained[explanation.lane] = _Explained(
            _summary(explanation, history),
            explanation.captured_mono,
            heat_maps,
            mean_maps,
            history,
        )

    def on_evidence(self, event_id: str, picture: Overlay | None) -> None:
        """Keep the picture behind one occurrence of an alarm; beyond 32 the oldest goes.

        None for one that only the disk has: its id is kept, so that it can be requested.
        """
        kept = {**self._evidence, event_id: picture}
        self._evidence = dict(list(kept.items())[-EVIDENCE_MAX:])

    def frame(self, lane: str) -> AnnotatedFrame | None:
        """Return the newest frame with its mask."""
        return self._frames.get(lane)

    def frame_of(self, lane: str, frame_id: str) -> AnnotatedFrame | None:
        """Return the frame of that id: of one of the newest fruit, or of a kept heat map."""
        frames = self._fruit_frames.get(lane)
        found = frames.get(frame_id) if frames else None
        explained = self._explained.get(lane)
        if found is None and explained is not None:
            maps = explained.heat_maps.values()
            return next((one.frame for one in maps if one.frame_id == frame_id), None)
        return found

    def overlay(self, lane: str, class_name: str, frame_id: str = "") -> Overlay | None:
        """Return the newest heat map of one class; None when it is not that of ``frame_id``."""
        explained = self._explained.get(lane)
        found = explained.heat_maps.get(class_name) if explained else None
        return found.overlay if found and frame_id in ("", found.frame_id) else None

    def heat_map(self, lane: str, class_name: str, frame_id: str = "") -> HeatMap | None:
        """Return what ``overlay`` is a picture of, likewise."""
        explained = self._explained.get(lane)
        found = explained.heat_maps.get(class_name) if explained else None
        if found is None or frame_id not in ("", found.frame_id):
            return None
        strong = found.overlay.value_range
        return HeatMap(class_name, found.frame_id, found.values, strong, found.frame)

    def mean_map(self, lane: str, class_name: str, frame_id: str = "") -> MeanMap | None:
        """Return the control beside the newest heat map of one class, likewise."""
        explained = self._explained.get(lane)
        found = explained.mean_maps.get(class_name) if explained else None
        return found if found and frame_id in ("", found.frame_id) else None

    def evidence(self, event_id: str) -> Overlay | None:
        """Return the picture behind one occurrence of an alarm, if it is in memory."""
        return self._evidence.get(event_id)

    def evidence_ids(self) -> tuple[str, ...]:
        """Return the occurrences that have a picture, oldest first."""
        return tuple(self._evidence)

    def reading(self, lane: str, now: float) -> ReadingView | None:
        """Return the newest fruit; ``now`` is monotonic and ages it."""
        fruit = self._fruit.get(lane)
        if fruit is None:
            return None
        segmented, reading = fruit.segmentation, fruit.segmentation.reading
        return ReadingView(
            frame_id=segmented.frame_id,
            captured_utc_ms=segmented.captured_utc_ms,
            age_s=max(0.0, now - segmented.captured_mono),
            read=reading.read,
            angle_deg=reading.angle_deg,
            reason=reading.reason.value,
            confidence=reading.confidence,
            confidence_raw=reading.confidence_raw,
            plausibility=reading.plausibility,
            fruit_id=segmented.machine.fruit_id,
            stem_x_px=reading.stem_x_px,
            stem_y_px=reading.stem_y_px,
            chunks=segmented.chunks,
        )

    def frame_age_s(self, lane: str, now: float) -> float:
        """Return seconds since the newest segmented frame was grabbed; NaN before the first."""
        newest = self._frames.get(lane)
        return max(0.0, now - newest.frame.captured_mono) if newest else math.nan

    def explanation(self, lane: str, now: float) -> ExplanationView | None:
        """Return the newest explanation; ``now`` is monotonic and ages it."""
        explained = self._explained.get(lane)
        if explained is None:
            return None
        age_s = max(0.0, now - explained.captured_mono)
        maps = tuple(heat_map.view(now) for heat_map in explained.heat_maps.values())
        return dataclasses.replace(explained.explanation, age_s=age_s, maps=maps)


def _continued(before: ClassHistory | None, one: ClassExplanation) -> ClassHistory:
    before = before or ClassHistory()
    return ClassHistory(
        (*before.foreground, one.input_sensitivity_foreground)[-HISTORY:],
        (*before.background, one.input_sensitivity_background)[-HISTORY:],
        (*before.reliance, one.input_context_reliance)[-HISTORY:],
    )


def _said(explanation: Explanation, one: ClassExplanation, overlay: Overlay) -> MapView:
    return MapView(
        class_name=one.class_name,
        frame_id=explanation.frame_id,
        captured_utc_ms=explanation.captured_utc_ms,
        age_s=math.nan,
        value_range=overlay.value_range or math.nan,
        range_fixed=overlay.range_fixed,
        explainable=one.explainable,
        reason=one.reason,
        sampling_class=explanation.sampling_class.value,
        rung=explanation.rung.value,
        context_reliance=one.input_context_reliance,
        sensitivity_foreground=one.input_sensitivity_foreground,
        sensitivity_background=one.input_sensitivity_background,
        relevance_mass=one.relevance_mass,
    )


def _summary(explanation: Explanation, history: Mapping[str, ClassHistory]) -> ExplanationView:
    ranges = {overlay.class_name: overlay.value_range for overlay in explanation.overlays}
    return ExplanationView(
        camera=explanation.lane,
        frame_id=explanation.frame_id,
        captured_utc_ms=explanation.captured_utc_ms,
        age_s=math.nan,
        sampling_class=explanation.sampling_class.value,
        rung=explanation.rung.value,
        method=explanation.method,
        layer=explanation.layer,
        seconds=explanation.seconds,
        classes=tuple(
            ClassView(
                class_name=one.class_name,
                explainable=one.explainable,
                reason=one.reason,
                sensitivity_foreground=one.sensitivity_foreground,
                sensitivity_background=one.sensitivity_background,
                context_reliance=one.context_reliance,
                input_sensitivity_foreground=one.input_sensitivity_foreground,
                input_sensitivity_background=one.input_sensitivity_background,
                input_context_reliance=one.input_context_reliance,
                value_range=ranges.get(one.class_name) or math.nan,
                spot_error=one.spot_error,
                estimate_error=one.estimate_error,
                history=history.get(one.class_name, ClassHistory()),
            )
            for one in explanation.classes
        ),
    )
