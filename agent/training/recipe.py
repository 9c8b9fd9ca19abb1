"""How the default model is trained: sizes, steps, rates and seeds, as data."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace

from agent.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Stage:
    """``steps`` batches of ``batch`` pictures at ``size_px``; simulated ones at ``render_px``."""

    size_px: int
    steps: int
    batch: int
    render_px: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the outcome besides the data.

    The small first stage finds the foreground quickly; the second works at the size of the live
    path. The learning rate warms up over ``warmup`` steps, and falls to a hundredth by a cosine
    over the last ``decay`` (share) of the steps that follow, all stages together.
    ``start_sha256``: of the weights that a refinement starts from, "" for none. ``bfloat16`` holds
    on a GPU only: a CPU without instructions for it is eight times as slow with it as in float32
    (0.96 and 0.11 s a picture, measured on an AMD EPYC), one that has them only a quarter faster
    (0.025 and 0.033 s).
    """

    stages: tuple[Stage, ...] = (Stage(96, 2400, 24, 128), Stage(192, 3000, 16, 256))
    features: int = 8
    seed: int = 0
    lr: float = 4e-3
    weight_decay: float = 1e-3
    warmup: int = 150
    ema: float = 0.998
    class_weights: tuple[float, ...] = (0.4, 1.0, 1.4)
    bfloat16: bool = True
    start_sha256: str = ""
    decay: float = 1.0

    def __post_init__(self) -> None:
        if not self.stages or any(s.steps < 1 or s.batch < 1 for s in self.stages):
            raise TrainingError("a recipe needs stages of at least one step and one picture")
        if self.features < 1 or self.seed < 0:
            raise TrainingError(f"features {self.features}, seed {self.seed}: at least 1 and 0")
        for stage in self.stages:
            if stage.size_px % 16 or stage.size_px < 32:
                raise TrainingError(
                    f"stage size {stage.size_px} px must be a multiple of 16, >= 32"
                )

    @classmethod
    def refining(cls, sha256: str) -> Recipe:
        """For weights that already segment fruit: the live size alone, a lower rate, and suture and
        background weighted alike, since the background's plateau is behind them and a heavier
        foreground only widens the bar. What such weights lack is precision (most of the suture's
        Dice is lost to a bar that lies a pixel aside), so there are many small steps, and the
        rate falls from the first of them."""
        return cls(
            stages=(Stage(192, 1000, 8, 256),),
            lr=2e-3,
            warmup=30,
            ema=0.99,
            class_weights=(1.0, 1.0, 1.2),
            start_sha256=sha256,
        )

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage of this step, and the index of the step's first sample over all stages."""
        first = 0
        for stage in self.stages:
            if step < stage.steps:
                return stage, first + step * stage.batch
            step -= stage.steps
            first += stage.steps * stage.batch
        raise TrainingError(f"the recipe has {self.steps} steps")

    def rate(self, step: int) -> float:
        """Learning rate at this step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        falling = max(1.0, self.decay * (self.steps - self.warmup))
        done = min(1.0, max(0.0, (step - self.steps + falling) / falling))
        return self.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def scaled(self, effort: float) -> Recipe:
        """The same recipe with ``effort`` times the steps, at least one a stage."""
        if not 0 < effort <= 100:
            raise TrainingError(f"effort {effort:g} is outside 0..100")
        stages = tuple(replace(s, steps=max(1, round(s.steps * effort))) for s in self.stages)
        return replace(self, stages=stages, warmup=max(1, round(self.warmup * min(1.0, effort))))

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits: a checkpoint only resumes the recipe it was made with."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
