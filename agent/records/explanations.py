"""Which frames are explained, and what the workers answer."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.records.frames import Frame, SegmentedFrame


class SamplingClass(enum.StrEnum):
    """Why a frame is explained, highest priority first."""

    ALARM = "alarm"
    OPERATOR = "operator"
    UNCERTAIN = "uncertain"
    PERIODIC = "periodic"


class Rung(enum.StrEnum):
    """The quality ladder: what an explanation may leave out when time is short."""

    EXACT = "exact"  # every channel, every fraction
    PARTIAL = "partial"  # exact for some channels, the rest estimated with its error
    COARSE = "coarse"  # as PARTIAL, and regions at 100 % only


@dataclass(frozen=True, slots=True)
class Selection:
    """One explanation job: a frame, what the live path saw in it, and what it may cost."""

    job_id: str
    frame: Frame
    segmentation: SegmentedFrame
    sampling_class: SamplingClass
    rung: Rung
    selected_mono: float
    deadline_s: float
    compute_s: float = 0.0
    """Worker-seconds booked for it; PARTIAL and COARSE refine no longer than this (0: deadline)."""


# --- explanation ---------------------------------------------------------------------------------


class Region(enum.StrEnum):
    """Which cells of the layer an occlusion sets to the baseline."""

    FOREGROUND = "foreground"  # the class's own cells
    BACKGROUND = "background"  # the complement inside the aperture
    BACKGROUND_EQUAL = "background_equal"  # as many background cells as the foreground has
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class RegionOcclusion:
    """Effect of one region occlusion on one class, after the formulas of region occlusion."""

    region: Region
    fraction: float  # share of the region's cells, 0..1
    cells: int
    y: float  # score with the region occluded
    dice: float  # perturbed against unperturbed prediction of the class; NaN when both are empty
    margin_inside: float
    margin_outside: float


@dataclass(frozen=True, slots=True)
class Gain:
    """Area under one curve of insertion or deletion, and what it wins over its controls.

    The score runs from 0 (all hidden) to 1 (nothing hidden). Positive gains are better for both
    measures. NaN where hiding everything hardly costs anything.
    """

    measure: str  # insertion or deletion
    fill: str  # mean or blur
    auc: float
    over_random: float
    over_mean_map: float


@dataclass(frozen=True, slots=True)
class CrossChecks:
    """Costly checks, made on one explanation in so many and in studies; NaN where one is missing.

    Both correlations are Spearman's, of ranks.
    """

    hires_correlation: float = math.nan  # map with the HiRes gradient map, cell by cell
    baseline_correlation: float = math.nan  # deltas of the two baselines, channel by channel
    gains: tuple[Gain, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassExplanation:
    """Everything that one pass says about one class.

    ``deltas`` is (K,) float64 ``y - y_k``; ``map`` is (h, w) float32, signed, on the layer's grid.
    ``exact`` is (K,) bool: which deltas were computed, the others being estimates. A class that
    cannot be explained has ``explainable`` false, a reason, and empty arrays.
    """

    class_name: str
    explainable: bool
    reason: str
    y: float
    y_null: float
    null_tolerance: float
    y_all: float
    deltas: NDArray[np.float64]
    map: NDArray[np.float32]
    mean_map: NDArray[np.float32]  # unweighted mean of the activation maps: the control picture
    exact: NDArray[np.bool_]
    estimate_error: float  # mean |estimate - exact| on random channels over max |delta|; 0 if exact
    spot_channel: int
    spot_error: float  # relative error of that channel against a plain re-run of the model
    all_ones_share: float
    sign_balance: float
    sensitivity_foreground: float  # [0, 1]; NaN when undefined
    sensitivity_background: float  # background_equal, averaged over draws
    context_reliance: float
    occlusions: tuple[RegionOcclusion, ...]
    # The same cells hidden in the input, which no skip of the network bypasses: the arbiter.
    input_sensitivity_foreground: float = math.nan
    input_sensitivity_background: float = math.nan
    input_context_reliance: float = math.nan
    score: str = ""  # which score the deltas and y are of
    relevance_mass: Mapping[str, float] = field(default_factory=dict)
    """Share of the map's positive relevance per foreground class and ``elsewhere``."""
    agreement: float = math.nan  # rank correlation of the positive map with spatial occlusion
    checks: CrossChecks | None = None  # None: not made for this explanation


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture for people: the heat map of one class over the frame."""

    class_name: str
    content_type: str
    data: bytes
    width_px: int
    height_px: int
    value_range: float = 0.0  # the map's value drawn in full colour; 0 when nothing is drawn
    range_fixed: bool = True  # false: nothing is known of usual maps, it is this map's own largest


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to one Selection."""

    job_id: str
    lane: str
    frame_id: str
    captured_utc_ms: int
    captured_mono: float
    sampling_class: SamplingClass
    rung: Rung
    method: str
    layer: str
    score: str
    baseline: str
    model_name: str
    model_sha256: str
    classes: tuple[ClassExplanation, ...]
    overlays: tuple[Overlay, ...]
    left_out: tuple[str, ...]
    seconds: float
    seconds_by_method: Mapping[str, float]
    region_threshold: float
    region_source: str  # predicted, true, component:N, box:X,Y,W,H or mask


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that gave no explanation: counted, named, and nothing else lost."""

    job_id: str
    lane: str
    frame_id: str
    sampling_class: SamplingClass
    reason: str  # deadline, crashed, out_of_memory, null_control, error, expired ...
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """State of the ablation workers as a whole."""

    workers: int
    ready: int
    busy: int
    restarts: int
    breaker_open: bool
    reason: str = ""
