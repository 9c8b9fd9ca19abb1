"""What an engine is asked for: its arguments, converted and checked before anything is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.ablation.core.arguments import integer, one_of, switch, unique, words
from agent.ablation.core.case import Case, Picture, check_classes
from agent.ablation.core.errors import AblationError
from agent.ablation.core.own_scores import as_score
from agent.ablation.core.scores import ScoreFunction
from agent.models.loaded import LoadedModel
from agent.telemetry import Clock

Baseline = Literal["zero", "mean"]
BASELINES = ("zero", "mean")

Score = str | ScoreFunction | Callable[[Tensor], Tensor]
Scores = Sequence[Score] | Score
Pictures = Picture | Case | Sequence[Picture | Case]


@dataclass(frozen=True, slots=True)
class Tuning:
    """``reference`` (K,): mean of each channel over a reference set, for the baseline ``mean``.
    ``batch``: items per pass, None to time a few. ``clock``: seconds, for deadlines. ``rows``:
    whether channels may take the fast path."""

    reference: NDArray[np.float64] | None = None
    batch: int | None = None
    clock: Clock = time.perf_counter
    rows: bool = True

    def __post_init__(self) -> None:
        if self.reference is not None:
            object.__setattr__(self, "reference", _means(self.reference))
        if self.batch is not None:
            object.__setattr__(self, "batch", integer("batch", self.batch, least=1))
        if not callable(self.clock):
            raise AblationError("clock: expected a function that gives seconds")
        object.__setattr__(self, "rows", switch("rows", self.rows))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of one picture."""

    classes: tuple[str, ...]
    scores: tuple[ScoreFunction, ...]
    baseline: Baseline


def asked(
    model: LoadedModel,
    settings: config.Ablation,
    classes: Sequence[str] | str | None,
    scores: Scores | None,
    baseline: Baseline | None,
) -> Asked:
    """The settings' where an argument is None."""
    names = words("classes", settings.classes if classes is None else classes)
    check_classes(model, names)
    if scores is None:
        scores = settings.score
    several = (scores,) if isinstance(scores, str) or callable(scores) else scores
    if isinstance(several, ScoreFunction):
        several = (several,)
    if not isinstance(several, Iterable):
        raise AblationError(f"scores: expected names or functions, found {type(scores).__name__}")
    kinds = tuple(as_score(one) for one in several)
    unique("scores", [str(kind.name) for kind in kinds])
    used = one_of("baseline", settings.baseline if baseline is None else baseline, BASELINES)
    return Asked(names, kinds, cast(Baseline, used))


def one_by_one(pictures: object) -> list[Picture | Case]:
    """Several pictures, or a tensor (N, C, h, w) of them, as a list; one as a list of itself."""
    if isinstance(pictures, Tensor) and pictures.ndim == 4:
        several: list[Picture | Case] = list(pictures)
    elif isinstance(pictures, np.ndarray | Tensor | Case):
        several = [pictures]
    elif isinstance(pictures, Sequence) and not isinstance(pictures, str | bytes):
        several = list(pictures)
    else:
        raise AblationError(f"pictures: expected arrays or tensors, found {_kind(pictures)}")
    if not several:
        raise AblationError("pictures: a batch without a picture")
    return several


def picked(channels: object, depth: int) -> tuple[int, ...]:
    """Some of ``depth`` channels, each once."""
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise AblationError(f"channels: expected numbers, found {_kind(channels)}")
    found = tuple(integer("channels", k, 0, depth - 1) for k in channels)
    unique("channels", found)
    return found


def _means(given: object) -> NDArray[np.float64]:
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    means = np.asarray(given)
    if means.ndim != 1 or means.dtype.kind not in "fiu":
        raise AblationError(f"reference: expected one mean per channel, found {_kind(given)}")
    return means.astype(np.float64)


def _kind(value: object) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
