"""What a line's fruit are like to a network that is not there: signals with their usual values.

The network of a lane is the one part that is not run: it takes ten thousand times what all others
take. What it would have said is drawn around the usual values here, moved by what is planted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.alarms.signals.extract import cosine
from agent.records import (
    ANGLE_NO_READ,
    BACKGROUND,
    STEM,
    SUTURE,
    Explanation,
    Frame,
    NoReadReason,
    Reading,
    SegmentedFrame,
    Selection,
)
from tests.alarms.support import explanation

CHANNELS = 8
EFFECT_NOISE = 1.0
PROFILE = tuple(float(CHANNELS - i) for i in range(CHANNELS))
USUAL: dict[str, tuple[float, float]] = {
    # signal: usual value of one fruit, and its spread from fruit to fruit, on its own scale
    "confidence": (0.95, 0.01),
    "suture_margin": (6.0, 0.4),
    "stem_margin": (5.0, 0.4),
    "suture_area": (0.05, 0.002),
    "stem_area": (0.02, 0.001),
    "entropy": (0.05, 0.003),
    "brightness": (120.0, 2.0),
    "focus": (30.0, 1.0),
    "warmth": (40.0, 1.0),
    "aperture": (0.8, 0.01),
    "plausibility": (0.95, 0.01),
    "reliance_input": (0.2, 0.02),
    "foreground_input": (0.8, 0.02),
    "background_input": (0.1, 0.01),
    "mass_suture": (0.7, 0.02),
    "mass_stem": (0.1, 0.01),
    "mass_elsewhere": (0.2, 0.02),
    "all_ones_share": (0.1, 0.01),
    "agreement": (0.8, 0.02),
    "score": (6.0, 0.3),
}


def drawn(name: str, count: int = 4000) -> list[float]:
    """Usual values of a signal, on its own scale."""
    draw = np.random.default_rng(0)
    if name != "profile_cosine":
        usual, spread = USUAL[name]
        return [float(one) for one in usual + spread * draw.standard_normal(count)]
    profile = np.array(PROFILE)
    effects = profile + EFFECT_NOISE * draw.standard_normal((count, CHANNELS))
    return [cosine(one, profile) for one in effects]


@dataclass(slots=True)
class LaneLook:
    """How a lane's fruit look at present. ``moved``: signals at other values than the usual ones.
    ``angles``: ``any`` or ``alike``."""

    moved: dict[str, float] = field(default_factory=dict)
    unread: float = 0.0
    reason: NoReadReason = NoReadReason.NO_SUTURE
    angles: str = "any"
    empty: bool = False
    explainable: bool = True
    other_channels: bool = False
    slow_s: float = 0.02
    raises: bool = False


class Fruit:
    """The looks of all lanes, in the place of the network and of the workers."""

    def __init__(self, lanes: Sequence[str], model_sha256: str, seed: int) -> None:
        self.looks = {lane: LaneLook() for lane in lanes}
        self.model_sha256 = model_sha256
        self.explained_sha256 = model_sha256
        self._draw = np.random.default_rng(seed)

    def _value(self, look: LaneLook, name: str) -> float:
        usual, spread = USUAL[name]
        middle = look.moved.get(name, usual)
        return float(middle + spread * self._draw.standard_normal())

    def segment(self, frames: Sequence[Frame], mono: float) -> list[SegmentedFrame]:
        """In the place of ``Segmenter.segment``."""
        return [self._segmented(frame, mono) for frame in frames]

    def _segmented(self, frame: Frame, mono: float) -> SegmentedFrame:
        look = self.looks[frame.lane]
        if look.raises:
            raise RuntimeError("planted: out of memory")
        reason = NoReadReason.NONE
        if look.empty:
            reason = NoReadReason.EMPTY
        elif self._draw.random() < look.unread:
            reason = look.reason
        read = reason is NoReadReason.NONE
        angle = 90.0 if look.angles == "alike" else float(self._draw.uniform(0.0, 180.0))
        nan = float("nan")
        mask = np.zeros((24, 24), np.uint8)
        mask[11:13, 4:20] = 1
        mask[11:13, 2:4] = 2
        area = self._value(look, "suture_area")
        stem = self._value(look, "stem_area")
        dark = self._value(look, "brightness")
        return SegmentedFrame(
            lane=frame.lane,
            frame_id=frame.frame_id,
            seq=frame.seq,
            captured_utc_ms=frame.captured_utc_ms,
            captured_mono=frame.captured_mono,
            classes=(BACKGROUND, SUTURE, STEM),
            mask=mask,
            margins=(8.0, self._value(look, "suture_margin"), self._value(look, "stem_margin")),
            areas=(1.0 - area - stem, area, stem),
            reading=Reading(
                read,
                angle if read else ANGLE_NO_READ,
                reason,
                min(1.0, max(0.0, self._value(look, "confidence"))) if read else 0.0,
                nan, nan, nan, nan,
                plausibility=min(1.0, max(0.0, self._value(look, "plausibility"))),
            ),
            machine=frame.machine,
            done_mono=frame.captured_mono + look.slow_s,
            seconds=0.01,
            brightness=max(0.0, dark),
            entropy=max(0.0, self._value(look, "entropy")),
            coverage=min(1.0, max(0.0, self._value(look, "aperture"))),
            focus=max(0.0, self._value(look, "focus")),
            warmth=self._value(look, "warmth"),
            model_sha256=self.model_sha256,
        )  # fmt: skip

    def explain(self, selection: Selection) -> Explanation:
        """What a worker would have found."""
        look, frame = self.looks[selection.frame.lane], selection.frame
        made = explanation(
            frame.captured_mono,
            self._share(look, "reliance_input"),
            self._share(look, "foreground_input"),
            camera=frame.lane,
            explainable=look.explainable,
        )
        effects = np.array(PROFILE) + EFFECT_NOISE * self._draw.standard_normal(CHANNELS)
        (suture,) = made.classes
        if look.explainable:
            suture = replace(
                suture,
                y=self._value(look, "score"),
                deltas=effects[::-1].copy() if look.other_channels else effects,
                exact=np.ones(CHANNELS, np.bool_),
                all_ones_share=self._share(look, "all_ones_share"),
                input_sensitivity_background=self._share(look, "background_input"),
                relevance_mass={
                    SUTURE: self._share(look, "mass_suture"),
                    STEM: self._share(look, "mass_stem"),
                    "elsewhere": self._share(look, "mass_elsewhere"),
                },
                agreement=self._share(look, "agreement"),
            )
        return replace(
            made,
            job_id=selection.job_id,
            frame_id=frame.frame_id,
            captured_utc_ms=frame.captured_utc_ms,
            sampling_class=selection.sampling_class,
            model_sha256=self.explained_sha256,
            classes=(suture,),
        )

    def _share(self, look: LaneLook, name: str) -> float:
        return min(1.0, max(0.0, self._value(look, name)))
