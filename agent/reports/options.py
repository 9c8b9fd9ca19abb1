"""What the two commands can be asked for.

Importing this module loads no network library, so that a command line can be built from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent import config

if TYPE_CHECKING:
    from agent.reports.sources import Shot

METHODS = (
    "ablation-cam",
    "occlusion",
    "region-occlusion",
    "hires",
    "seg-grad-cam",
    "seg-eigen-cam",
)
FILLS = ("zero", "mean", "blur")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchOptions:
    """Of the occlusion of the input, on the network's grid: one number or (height, width)."""

    size_px: int | tuple[int, int] = 16
    stride_px: int | tuple[int, int] = 8
    fill: str = "blur"
    dice: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Of both commands. ``layer`` at None is the model card's. ``reference`` are the pictures for
    the baseline ``mean``, where the model's card has no means."""

    model: config.Model = field(default_factory=config.Model)
    layer: str | None = None
    score: config.Score = config.Score.MARGIN
    baseline: Literal["zero", "mean"] = "zero"
    reference: Sequence[Shot] = ()
    groups: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions(EngineOptions):
    """One picture or a folder of them, one class.

    With none of ``out``, ``json``, ``npz`` and ``sheet`` given, the figure goes to
    ``<picture's stem>-explained.png`` in the working directory; of a folder the three are folders,
    and figures go to ``<folder>-explained``. ``class_name`` at None is the first foreground class,
    and it may be an index. ``mask`` is a colour mask (white
    bar = suture, green = stem) shown beside the prediction and compared with it; ``region`` is in
    the words of ``focus.FORMS``. ``sheet`` is one picture of the maps of all layers that the
    pattern ``layers`` fits. ``bit_depth`` is what the camera's key of that name says.
    """

    picture: Path
    bit_depth: int | None = None
    out: Path | None = None
    json: Path | None = None
    npz: Path | None = None
    sheet: Path | None = None
    layers: str = "*"
    mask: Path | None = None
    class_name: str | None = None
    method: str = "ablation-cam"
    region: str = "predicted"
    checks: bool = False
    patch: PatchOptions = PatchOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions(EngineOptions):
    """``shots`` are the pictures and ``source`` what they were called; ``out`` is the folder of the
    report, made where it is missing. ``classes`` empty: all foreground classes. ``examples``: of
    how many pictures the figures go into the report. ``maps``: regions in each map separately,
    which is most of the work. ``methods``: the maps of other methods beside Ablation-CAM's."""

    shots: Sequence[Shot]
    source: str
    out: Path
    classes: tuple[str, ...] = ()
    examples: int = 3
    maps: bool = True
    methods: bool = True
