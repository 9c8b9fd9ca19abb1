"""What is watched: one table of signals, each with its unit, range, bad direction and transform.

A signal of a fruit is read from every reading, one of an explanation from every explained fruit;
the values of a window are averaged, after the transform, into one point of the signal's charts.
``cause`` is the alarm that its charts raise.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.alarms.catalogue import Cause


class Per(enum.StrEnum):
    FRUIT = "fruit"
    EXPLANATION = "explanation"
    WINDOW = "window"  # made of all fruit of a window at once


class Bad(enum.StrEnum):
    """Which way is the bad one."""

    HIGH = "high"
    LOW = "low"
    BOTH = "both"

    @property
    def signs(self) -> tuple[int, ...]:
        """What a score is multiplied by so that positive is bad: one per charted side."""
        return {Bad.HIGH: (1,), Bad.LOW: (-1,), Bad.BOTH: (1, -1)}[self]


class Transform(enum.StrEnum):
    """What is done to single values before they are averaged, so that means are nearly normal."""

    NONE = "none"
    LOG = "log"  # of positive, skewed values
    LOGIT = "logit"  # of shares that crowd at 0 or 1
    FISHER = "fisher"  # of a cosine or a correlation: artanh


SHARE_EDGE = 0.005
"""Shares are kept this far from 0 and 1 before a logit, correlations from -1 and 1."""
LOG_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Signal:
    """``low`` and ``high`` bound what the signal itself, before the transform, can be."""

    name: str
    unit: str
    low: float
    high: float
    per: Per
    bad: Bad
    transform: Transform
    cause: Cause
    title: str


_F, _E, _W = Per.FRUIT, Per.EXPLANATION, Per.WINDOW
_HIGH, _LOW, _BOTH = Bad.HIGH, Bad.LOW, Bad.BOTH
_NONE, _LOG, _LOGIT, _FISHER = Transform.NONE, Transform.LOG, Transform.LOGIT, Transform.FISHER
_READ, _SEEN = Cause.NO_READ_RATE, Cause.SEGMENTATION_DEGRADED
_IMAGE, _DRIFT = Cause.IMAGE_QUALITY, Cause.EXPLANATION_DRIFT
_BACK, _FORE = Cause.BACKGROUND_RELIANCE, Cause.FOREGROUND_INSENSITIVE
_INF = 1e6

SIGNALS: tuple[Signal, ...] = (
    # of every fruit
    Signal("no_read", "ratio", 0, 1, _F, _HIGH, _NONE, _READ, "share of fruit without an angle"),
    Signal("confidence", "ratio", 0, 1, _F, _LOW, _LOGIT, _SEEN, "confidence of the angle"),
    Signal("suture_margin", "logit", -_INF, _INF, _F, _LOW, _NONE, _SEEN, "margin of the suture"),
    Signal("stem_margin", "logit", -_INF, _INF, _F, _LOW, _NONE, _SEEN, "margin of the stem"),
    Signal("suture_area", "ratio", 0, 1, _F, _BOTH, _LOG, _SEEN, "area of the suture"),
    Signal("stem_area", "ratio", 0, 1, _F, _BOTH, _LOG, _SEEN, "area of the stem"),
    Signal("elongation", "", 1, _INF, _F, _LOW, _LOG, _SEEN, "length over width of the suture"),
    Signal("entropy", "nat", 0, 10, _F, _HIGH, _LOG, _SEEN, "entropy of the classes"),
    Signal("angle_concentration", "", 0, _INF, _W, _HIGH, _LOG, _SEEN, "angles that are alike"),
    Signal("brightness", "grey level", 0, 255, _F, _BOTH, _NONE, _IMAGE, "brightness"),
    Signal("focus", "grey level", 0, 1020, _F, _BOTH, _LOG, _IMAGE, "sharpness"),
    Signal("warmth", "grey level", -255, 255, _F, _BOTH, _NONE, _IMAGE, "red minus blue"),
    Signal("chromaticity", "", -9, 4, _F, _BOTH, _NONE, _IMAGE, "red minus blue, over brightness"),
    Signal("aperture", "ratio", 0, 1, _F, _LOW, _LOGIT, _IMAGE, "share of the view that is lit"),
    Signal("plausibility", "ratio", 0, 1, _F, _LOW, _LOGIT, _SEEN, "likeness to known fruit"),
    # of every explained fruit, of its suture
    Signal("reliance_input", "ratio", 0, 1, _E, _HIGH, _LOGIT, _BACK,
           "share of the background, picture hidden"),
    Signal("reliance_layer", "ratio", 0, 1, _E, _HIGH, _LOGIT, _BACK,
           "share of the background, maps hidden"),
    Signal("background_input", "ratio", 0, 1, _E, _HIGH, _LOGIT, _BACK,
           "effect of hiding background in the picture"),
    Signal("background_layer", "ratio", 0, 1, _E, _HIGH, _LOGIT, _BACK,
           "effect of hiding background in the maps"),
    Signal("foreground_input", "ratio", 0, 1, _E, _LOW, _LOGIT, _FORE,
           "effect of hiding the suture in the picture"),
    Signal("foreground_layer", "ratio", 0, 1, _E, _LOW, _LOGIT, _FORE,
           "effect of hiding the suture in the maps"),
    Signal("profile_cosine", "", -1, 1, _E, _LOW, _FISHER, _DRIFT,
           "likeness of the channels' effects to the reference"),
    Signal("profile_ndcg", "ratio", 0, 1, _E, _LOW, _LOGIT, _DRIFT,
           "likeness of the channels' order to the reference"),
    Signal("mass_suture", "ratio", 0, 1, _E, _LOW, _LOGIT, _DRIFT, "relevance on the suture"),
    Signal("mass_stem", "ratio", 0, 1, _E, _BOTH, _LOGIT, _DRIFT, "relevance on the stem"),
    Signal("mass_elsewhere", "ratio", 0, 1, _E, _HIGH, _LOGIT, _DRIFT, "relevance elsewhere"),
    Signal("total_effect", "logit", 0, _INF, _E, _BOTH, _LOG, _DRIFT,
           "sum of the channels' effects"),
    Signal("all_ones_share", "ratio", 0, 1, _E, _HIGH, _LOGIT, _DRIFT,
           "effects that are the same for all channels"),
    Signal("agreement", "", -1, 1, _E, _LOW, _FISHER, _DRIFT,
           "agreement of the map with hiding block by block"),
    Signal("score", "logit", -_INF, _INF, _E, _LOW, _NONE, _DRIFT, "score that is explained"),
)  # fmt: skip

BY_NAME: Mapping[str, Signal] = MappingProxyType({signal.name: signal for signal in SIGNALS})


def transformed(signal: Signal, value: float) -> float:
    """A single value on the scale on which it is averaged; NaN for what is not finite."""
    if not math.isfinite(value):
        return math.nan
    return _FORWARD[signal.transform](value)


def natural(signal: Signal, value: float) -> float:
    """A mean back on the signal's own scale, within its range: for people and for the wire."""
    if not math.isfinite(value):
        return math.nan
    return min(signal.high, max(signal.low, _BACKWARD[signal.transform](value)))


def _logit(value: float) -> float:
    share = min(1.0 - SHARE_EDGE, max(SHARE_EDGE, value))
    return math.log(share / (1.0 - share))


def _fisher(value: float) -> float:
    return math.atanh(min(1.0 - SHARE_EDGE, max(SHARE_EDGE - 1.0, value)))


_FORWARD: Mapping[Transform, Callable[[float], float]] = MappingProxyType(
    {
        Transform.NONE: lambda value: value,
        Transform.LOG: lambda value: math.log(max(LOG_FLOOR, value)),
        Transform.LOGIT: _logit,
        Transform.FISHER: _fisher,
    }
)
_BACKWARD: Mapping[Transform, Callable[[float], float]] = MappingProxyType(
    {
        Transform.NONE: lambda value: value,
        Transform.LOG: lambda value: math.exp(min(50.0, value)),
        Transform.LOGIT: lambda value: 0.5 * (1.0 + math.tanh(0.5 * value)),
        Transform.FISHER: math.tanh,
    }
)


def describe_signals() -> dict[str, object]:
    """What ``meta`` says of every signal."""
    return {
        signal.name: {
            "unit": signal.unit,
            "type": "float",
            "low": float(signal.low),
            "high": float(signal.high),
            "per": signal.per.value,
            "bad": signal.bad.value,
            "alarm": signal.cause.value,
        }
        for signal in SIGNALS
    }
