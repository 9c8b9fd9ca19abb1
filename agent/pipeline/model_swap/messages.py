"""What the agent and the process that tries a staged model say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent import config
from agent.ablation.pool.messages import ImageHeader
from agent.pipeline.model_swap.tally import Answer, Compared
from agent.segmentation.reading import LaneGeometry


@dataclass(frozen=True, slots=True)
class TrialArgs:
    """``live``: the model that reads the fruit now, loaded for a comparison of costs alone.
    ``fruit``: how many the audit explains."""

    own: config.Model
    live: config.Model
    segmentation: config.Segmentation
    ablation: config.Ablation
    lanes: Mapping[str, LaneGeometry]
    plausible_from: Mapping[str, float]
    device: str
    fruit: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """It could be loaded, and this is what it is."""

    name: str
    sha256: str
    classes: tuple[str, ...]
    layer: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be used; the process ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class Audit:
    """A fruit for the audit, its picture in shared memory."""

    lane: str
    image: ImageHeader


@dataclass(frozen=True, slots=True)
class Taken:
    """It is kept for the audit; ``left``: how many more are wanted."""

    left: int


@dataclass(frozen=True, slots=True)
class Finding:
    """As ``agent.alarms.charts.reference.Finding``."""

    name: str
    value: float
    limit: float
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Audited:
    """The judgement, and what one picture costs each model, in ms of processor time."""

    findings: tuple[Finding, ...]
    own_ms: float
    live_ms: float


@dataclass(frozen=True, slots=True)
class Look:
    """A picture for the shadow. ``mask``: the live model's, as (h, w) uint8 bytes."""

    lane: str
    variety: str | None
    image: ImageHeader
    mask: bytes
    size: tuple[int, int]
    live: Answer
    explain: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """The comparison; None with the reason: it made nothing of the picture. ``busy_s``: time that
    the process took."""

    compared: Compared | None
    busy_s: float
    reason: str = ""
