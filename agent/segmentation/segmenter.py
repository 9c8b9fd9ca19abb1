"""Frames -> Segmentations: one batch through the network, one reading per picture.

A picture that the network cannot take (channels, type, size) or whose logits are not finite is
a fruit without a reading: it comes back as IMAGE_QUALITY, so that every frame taken is answered
and the machine gets its no-read. Whatever the network itself raises (out of memory) is the
caller's: it concerns the whole batch.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.models import pictures
from agent.models.card import ConfidenceCalibration
from agent.models.errors import ModelError
from agent.models.fusing import TRACING
from agent.models.loaded import LoadedModel, logits
from agent.models.plausibility import Plausibility
from agent.records import STEM, SUTURE, CaptureMode, Frame, NoReadReason, SegmentedFrame
from agent.segmentation.field import Field, field_of_view
from agent.segmentation.light import Light, measure_light
from agent.segmentation.reading import (
    FEATURES,
    LaneGeometry,
    Measurement,
    View,
    measure,
    no_read,
    read,
)
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

SMALLEST_SHARE = 1e-30
"""Of the other classes' probability: bounds the margin at 69, where float32 still has numbers."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """A segmentation and what its reading was made from; ``measurement`` None: nothing was seen."""

    segmentation: SegmentedFrame
    measurement: Measurement | None


@dataclass(frozen=True, slots=True)
class _Input:
    """A frame as the network takes it, with its aperture on the network's grid."""

    frame: Frame
    picture: NDArray[np.uint8]
    field: Field
    light: Light


@dataclass(frozen=True, slots=True)
class _Output:
    """What the network made of a batch, on the network's grid: arrays with the frames first."""

    mask: NDArray[np.uint8]
    margin: NDArray[np.float32]
    suture: NDArray[np.float32]
    entropy: NDArray[np.float32]
    finite: NDArray[np.bool_]
    plausibility: NDArray[np.float64]


class Segmenter:
    """Segments frames of any number of lanes with one model.

    A lane missing from ``lanes`` has the default geometry. ``plausible_from``: by variety the least
    plausibility that the line's own reference asks for, where that is more than the settings do;
    it holds while the machine announces that variety, and with a single one also while it announces
    none. Raises ``ModelError`` when the model has
    no class ``suture`` or its card's confidence was fitted on other features than these.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: config.Segmentation,
        lanes: Mapping[str, LaneGeometry],
        clock: Clock,
        plausible_from: Mapping[str, float] | None = None,
    ):
        if SUTURE not in model.classes:
            raise ModelError(
                f"{model.label}: no class {SUTURE!r} among its classes: {', '.join(model.classes)}"
            )
        self._model = model
        self._clock = clock
        self._plausible_from = dict(plausible_from or {})
        # Of each lane's last frame: a camera rarely changes its field of view.
        self._fields: dict[str, Field] = {}
        self._suture = model.classes.index(SUTURE)
        self._stem = model.classes.index(STEM) if STEM in model.classes else None
        self._calibration = check_calibration(model.card.confidence, model.label)
        self._free_run: bool | None = None
        self.configure(settings, lanes)

    def configure(self, settings: config.Segmentation, lanes: Mapping[str, LaneGeometry]) -> None:
        """Go by other settings and lanes from the next batch on; for the thread that segments."""
        if self._model.preprocessing.colour == "gray":
            settings = settings.model_copy(update={"empty_chroma": 0.0})
        self._settings = settings
        self._lanes = dict(lanes)
        self._fields = {lane: field for lane, field in self._fields.items() if lane in lanes}
        free_run = any(lane.mode is CaptureMode.FREE_RUN for lane in lanes.values())
        if free_run is not self._free_run:
            self._free_run = free_run
            self._plausibility = Plausibility(self._model, free_run)
        self._own = {
            variety: settings.model_copy(
                update={"min_plausibility": max(least, settings.min_plausibility)}
            )
            for variety, least in self._plausible_from.items()
        }

    @property
    def model_sha256(self) -> str:
        """Digest of the network."""
        return self._model.sha256

    def segment(self, frames: Sequence[Frame]) -> list[SegmentedFrame]:
        """One segmentation per frame, in their order; at most ``batch_max`` frames a batch."""
        return [analysis.segmentation for analysis in self.analyse(frames)]

    def analyse(self, frames: Sequence[Frame]) -> list[Analysis]:
        """As ``segment``, with the measurements that the readings were made from."""
        size = self._settings.batch_max
        return [
            analysis
            for start in range(0, len(frames), size)
            for analysis in self._batch(frames[start : start + size])
        ]

    def _batch(self, frames: Sequence[Frame]) -> list[Analysis]:
        started = self._clock()
        inputs = {
            index: ready for index, frame in enumerate(frames) if (ready := self._prepare(frame))
        }
        drafts: list[tuple[SegmentedFrame, Measurement | None]] = [
            (self._unusable(frame), None) for frame in frames
        ]
        if inputs:
            output = self._infer([ready.picture for ready in inputs.values()])
            for position, (index, ready) in enumerate(inputs.items()):
                if output.finite[position]:
                    drafts[index] = self._read(ready, output, position)
                else:
                    event = {"camera": ready.frame.lane, "frame_id": ready.frame.frame_id}
                    log_event(logger, logging.WARNING, "logits_not_finite", **event)
        done = self._clock()
        share = (done - started) / len(frames)
        return [
            Analysis(dataclasses.replace(segmentation, done_mono=done, seconds=share), measurement)
            for segmentation, measurement in drafts
        ]

    def _prepare(self, frame: Frame) -> _Input | None:
        """The frame at the network's size, or None for a picture that is not one."""
        preprocessing = self._model.preprocessing
        try:
            picture, aperture = pictures.standard(frame.image, frame.aperture)
        except pictures.PictureError as error:
            event = {"camera": frame.lane, "frame_id": frame.frame_id, "reason": str(error)}
            log_event(logger, logging.WARNING, "picture_refused", **event)
            return None
        fitted = pictures.fit(picture, aperture, preprocessing)
        field = self._fields.get(frame.lane)
        if field is None or not field.is_of(aperture):
            field = field_of_view(aperture, preprocessing.width_px, preprocessing.height_px)
            self._fields[frame.lane] = field
        light = measure_light(fitted, field.inside, self._settings.empty_brightness)
        return _Input(frame, fitted, field, light)

    def _infer(self, fitted: list[NDArray[np.uint8]]) -> _Output:
        # Another model may be made ready in another thread meanwhile.
        with TRACING, torch.inference_mode():
            batch = pictures.to_tensor(fitted, self._model.preprocessing, self._model.device)
            with self._plausibility.watching():
                z = logits(self._model, batch)
            return _interpret(z, self._suture, self._plausibility.plausibility(len(fitted)))

    def _read(self, given: _Input, output: _Output, at: int) -> tuple[SegmentedFrame, Measurement]:
        frame, field = given.frame, given.field
        mask, margin = output.mask[at], output.margin[at]
        height, width = frame.image.shape[:2]
        view = View(
            mask=mask,
            probability=output.suture[at],
            margin=margin,
            inside=field.inside,
            cells=field.cells,
            scale_x=width / mask.shape[1],
            scale_y=height / mask.shape[0],
        )
        measurement = measure(view, self._suture, self._stem)
        lane = self._lanes.get(frame.lane, LaneGeometry())
        limits = self._limits(frame.machine.variety)
        plausibility = float(output.plausibility[at, int(lane.mode is CaptureMode.FREE_RUN)])
        reading = read(measurement, given.light, lane, limits, self._calibration, plausibility)
        areas, margins = field.by_class(mask, margin, len(self._model.classes))
        segmentation = SegmentedFrame(
            lane=frame.lane,
            frame_id=frame.frame_id,
            seq=frame.seq,
            captured_utc_ms=frame.captured_utc_ms,
            captured_mono=frame.captured_mono,
            classes=self._model.classes,
            mask=mask,
            margins=margins,
            areas=areas,
            reading=reading,
            machine=frame.machine,
            chunks=frame.chunks,
            done_mono=0.0,
            seconds=0.0,
            brightness=given.light.brightness,
            entropy=field.mean(output.entropy[at]),
            coverage=given.light.coverage,
            focus=given.light.focus,
            warmth=given.light.warmth,
            model_sha256=self.model_sha256,
        )
        return segmentation, measurement

    def _limits(self, variety: str | None) -> config.Segmentation:
        """The settings, with the plausibility that this variety's own reference asks for."""
        if variety is None and len(self._own) == 1:
            (only,) = self._own.values()
            return only
        return self._own.get(variety or "", self._settings)

    def _unusable(self, frame: Frame) -> SegmentedFrame:
        """The answer for a frame in which nothing can be seen."""
        size = (self._model.preprocessing.height_px, self._model.preprocessing.width_px)
        count = len(self._model.classes)
        return SegmentedFrame(
            lane=frame.lane,
            frame_id=frame.frame_id,
            seq=frame.seq,
            captured_utc_ms=frame.captured_utc_ms,
            captured_mono=frame.captured_mono,
            classes=self._model.classes,
            mask=np.zeros(size, np.uint8),
            margins=(math.nan,) * count,
            areas=(0.0,) * count,
            reading=no_read(NoReadReason.IMAGE_QUALITY),
            machine=frame.machine,
            chunks=frame.chunks,
            done_mono=0.0,
            seconds=0.0,
            coverage=0.0,
            model_sha256=self.model_sha256,
        )


def check_calibration(
    calibration: ConfidenceCalibration | None, label: str
) -> ConfidenceCalibration | None:
    """The calibration as given; ``ModelError`` when it does not belong to these features."""
    if calibration is not None and (
        calibration.features != FEATURES or len(calibration.coefficients) != len(FEATURES)
    ):
        raise ModelError(
            f"{label}: the card's confidence was fitted on {', '.join(calibration.features)}; "
            f"expected one coefficient for each of {', '.join(FEATURES)}"
        )
    return calibration


def _interpret(z: Tensor, suture: int, plausibility: NDArray[np.float64]) -> _Output:
    """Logits (N, C, h, w) -> predicted class, its margin, suture probability and entropy.

    With t = the largest logit and s = sum over the others of exp(z - t): the margin of the
    predicted class, t - logsumexp(others), is -log(s); its probability is 1 / (1 + s); the entropy
    is log(1 + s) - sum of p (z - t). Computed so, nothing cancels when the network is sure.
    """
    z = z.contiguous()
    finite = torch.isfinite(z.flatten(1).sum(1))  # a sum is not finite when one of its terms is not
    top = z.amax(1, keepdim=True)
    below = z - top
    shares = below.exp()
    # Class by class, which is ten times as fast here as argmax and scatter over the channels.
    label = torch.zeros_like(top[:, 0], dtype=torch.uint8)
    for index in reversed(range(z.shape[1])):
        label.masked_fill_(below[:, index] == 0.0, index)
    others = torch.zeros_like(top[:, 0])
    for index in range(z.shape[1]):
        others += shares[:, index].masked_fill(label == index, 0.0)
    total = others + 1.0
    entropy = total.log() - (shares * below).sum(1) / total
    return _Output(
        mask=label.cpu().numpy(),
        margin=others.clamp_min(SMALLEST_SHARE).log_().neg_().float().cpu().numpy(),
        suture=(shares[:, suture] / total).float().cpu().numpy(),
        entropy=entropy.float().cpu().numpy(),
        finite=finite.cpu().numpy(),
        plausibility=plausibility,
    )
