"""A score of one's own: any function of logits, made to obey what the built-in ones obey.

Nothing is known of such a function, so what the others know of themselves is measured: whether an
item's score depends on the items beside it, and how far it may be off where the logits are off by
rounding. The null control and the spot check then hold for it as for any other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final, Literal

import torch
from torch import Tensor

from agent.ablation.core.arguments import one_of, switch
from agent.ablation.core.errors import AblationError, ScoreError
from agent.ablation.core.scores import (
    CORRELATED,
    MARGIN,
    SCORES,
    ScoreFunction,
    Target,
    rows,
    score_named,
)
from agent.models.errors import first_line

Function = Callable[[Tensor], Tensor]
Reads = Literal["picture", "region"]

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
DRAWS = 8
"""Random roundings of the logits that a score is tried with."""
SPREAD = 3
"""Of so few draws the largest may be exceeded: by so many times never in 100,000 trials with normal
errors."""
SAME = 1e-9
"""Two evaluations in float64 of one item may differ by this share of the score."""


class OwnScore(ScoreFunction):
    """``own_score`` makes and checks one."""

    def __init__(self, function: Function, name: str, reads_all: bool, has_gradient: bool) -> None:
        self._function = function
        self._name = name
        self._reads_all = reads_all
        self._has_gradient = has_gradient

    @property
    def name(self) -> str:
        return self._name

    @property
    def reads_all(self) -> bool:
        return self._reads_all

    @property
    def is_smooth(self) -> bool:
        return self._has_gradient

    def value(self, logits: Tensor, target: Target) -> Tensor:
        return self._called(self._given(logits.to(torch.float64), target))

    def drop(self, base: Tensor, logits: Tensor, target: Target) -> Tensor:
        return self.value(base.unsqueeze(0), target) - self.value(logits, target)

    def smooth(self, logits: Tensor, target: Target) -> Tensor:
        if not self._has_gradient:
            return MARGIN.smooth(logits, target)
        y = self._called(self._given(logits, target))
        if logits.requires_grad and not y.requires_grad:
            raise ScoreError(
                f"score {self.name}: it gives no gradient (is something detached or rounded?), "
                "which estimates and gradient maps need: declare gradient=False to have channels "
                "ranked by the margin"
            )
        return y

    def rounding(self, logits: Tensor, allowed: Tensor, target: Target) -> float:
        """From the slope, as errors of pixels average out, and from random roundings, which see
        steps as well; a score without a slope is tried with all of one class's logits off too."""
        wide = logits.to(torch.float64)
        off = allowed.to(torch.float64).expand_as(wide)
        measured = self._slope_rounding(wide, off, target)
        pushes = _random_signs(wide) * off
        if measured is None:
            pushes = torch.cat((pushes, _class_signs(wide) * off))
        y = self.value(wide, target)
        moved = (self.value(wide + pushes, target) - y).abs()
        self._check_same(y, self.value(wide, target))  # what is random would pass for rounding
        steps = float(moved[:DRAWS].max()) * SPREAD
        return max(steps, float(moved.max()), measured or 0.0)

    def check(self, logits: Tensor, target: Target) -> None:
        pair = torch.cat((logits, logits * 0.5))
        together = self.value(pair, target)
        alone = torch.cat([self.value(pair[i : i + 1], target) for i in (0, 1)])
        self._check_same(self.value(pair, target), together)
        if not _same(together, alone):
            raise ScoreError(
                f"score {self.name}: an item's score changes with the items beside it; item i of "
                "the N it returns may depend on logits[i] alone"
            )

    def _check_same(self, one: Tensor, other: Tensor) -> None:
        if not _same(one, other):
            raise ScoreError(f"score {self.name}: two calls with the same logits differ")

    def _slope_rounding(self, wide: Tensor, off: Tensor, target: Target) -> float | None:
        """None where there is no slope."""
        if not self._has_gradient:  # it may be a function of numpy
            return None
        with torch.enable_grad():
            z = wide.detach().clone().requires_grad_()
            y = self._called(self._given(z * 1.0, target))
            if not y.requires_grad:
                return None
            (slope,) = torch.autograd.grad(y.sum(), z, materialize_grads=True)
        pixels = (slope.abs() * off).sum(1)
        total, squares = float(pixels.sum()), float((pixels**2).sum())
        if not math.isfinite(total) or squares == 0:
            return 0.0
        return total * max(CORRELATED, math.sqrt(squares) / total)

    def _given(self, logits: Tensor, target: Target) -> Tensor:
        """What the function is called with, new memory: (N, C, P) of M, or (N, C, h, w) with the
        plain logits where none were computed."""
        if not self._reads_all:
            return rows(logits, target.region)
        if target.seen is None or target.plain is None:
            return logits.clone()
        count, classes = logits.shape[:2]
        whole = target.plain.to(logits).expand(count, -1, -1, -1).clone()
        filled = whole.view(count, classes, -1).index_copy(2, target.seen, logits)
        return filled.view_as(whole)

    def _called(self, logits: Tensor) -> Tensor:
        """(N,) float64 or the dtype of ``logits``, checked."""
        count = len(logits)
        try:
            y: Any = self._function(logits)
        except Exception as error:  # somebody else's function may raise anything
            line = first_line(error)
            raise ScoreError(f"score {self.name} raised {type(error).__name__}: {line}") from error
        if not isinstance(y, Tensor) or y.shape != (count,):
            found = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ScoreError(
                f"score {self.name}: expected a tensor of shape ({count},), one number an item, "
                f"found {found}"
            )
        if not y.is_floating_point():
            raise ScoreError(f"score {self.name}: expected floating numbers, found {y.dtype}")
        if y.device != logits.device:
            raise ScoreError(
                f"score {self.name}: expected numbers on {logits.device}, found them on {y.device}"
            )
        if not bool(torch.isfinite(y).all()):
            raise ScoreError(f"score {self.name}: gives NaN or infinite numbers")
        return y.to(logits.dtype)


def own_score(
    function: Function,
    name: str | None = None,
    *,
    reads: Reads = "picture",
    gradient: bool = True,
) -> ScoreFunction:
    """``function`` as a score: logits -> (N,), one floating number an item, larger for more of what
    is to be explained. Item i may depend on ``logits[i]`` alone.

    With ``reads="picture"`` it is called with (N, C, h, w) on the network's grid; outside the
    aperture those are always the plain model's. ``reads="region"`` declares that it reads the P
    pixels of M alone, which is much faster where M is small: it is called with (N, C, P). Logits
    come as float64, for gradients in the network's own dtype. ``gradient=False`` declares that it
    has steps and no slope: the margin then ranks channels for it, as for a Dice.

    ``name`` is how results call it: 1 to 40 letters, digits, _ or -, by default the function's own.
    ``AblationError`` for anything that this does not allow, here or at the first picture.
    """
    if not callable(function) or isinstance(function, type | str):
        raise AblationError(f"a score is a function of logits, found {type(function).__name__}")
    found = getattr(function, "__name__", type(function).__name__) if name is None else name
    if name is None and not NAME.fullmatch(str(found)):
        found = "own"  # a lambda has no name
    if not isinstance(found, str) or not NAME.fullmatch(found):
        raise AblationError(f"score {found!r}: a name is 1 to 40 letters, digits, _ or -")
    if found in SCORES:
        raise AblationError(f"score {found}: this is the name of a built-in score; give another")
    reads_all = one_of("pixels that a score reads", reads, ("picture", "region")) == "picture"
    return OwnScore(function, found, reads_all, switch("gradient", gradient))


def as_score(given: object) -> ScoreFunction:
    """A score by its name, by its function, or as it is; ``AblationError`` for anything else."""
    if isinstance(given, ScoreFunction):
        return given
    if not isinstance(given, str) and callable(given):
        return own_score(given)
    return score_named(one_of("score", given, SCORES))


def _same(one: Tensor, other: Tensor) -> bool:
    return bool(((one - other).abs() <= SAME * (1 + other.abs())).all())


def _random_signs(logits: Tensor) -> Tensor:
    """(DRAWS, C, *S) of 1 and -1, the same at every call."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (DRAWS, *logits.shape[1:]), generator=generator)
    return (signs * 2 - 1).to(logits)


def _class_signs(logits: Tensor) -> Tensor:
    """(2 C, C, *S): each class up and all others down, and the reverse."""
    classes = logits.shape[1]
    signs = 2 * torch.eye(classes, dtype=logits.dtype, device=logits.device) - 1
    shape = (2 * classes, classes, *[1] * (logits.ndim - 2))
    return torch.cat((signs, -signs)).view(shape).expand(-1, -1, *logits.shape[2:])
