"""What ``pitwatch explain`` asks for. Importing this module loads no network library."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent import config

METHODS = ("ablation-cam", "region-occlusion")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """One picture to explain.

    With none of ``out``, ``json`` and ``npz`` given, the figure goes to
    ``<picture's stem>-explained.png`` in the working directory. ``layer`` and ``class_name`` at
    None mean the model card's layer and every foreground class; ``class_name`` may be an index.
    ``mask`` is a colour mask (white bar = suture, green = stem) shown beside the prediction.
    """

    picture: Path
    out: Path | None = None
    json: Path | None = None
    npz: Path | None = None
    mask: Path | None = None
    model: config.Model = field(default_factory=config.Model)
    layer: str | None = None
    class_name: str | None = None
    method: str = "ablation-cam"
    score: config.Score = config.Score.MARGIN
    region_threshold: float = 0.5
    overlay_range: float | None = None
    seed: int = 0
