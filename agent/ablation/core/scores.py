"""Scores of a segmentation over a frozen region, and their drops, in float64: a class each.

Everywhere: ``logits`` is (N, C, *S) of any float dtype, ``base`` is (C, *S) (the unperturbed one),
a ``target``'s region and prediction are (*S) bool, frozen before anything was perturbed. S is
(h, w), or one axis of pixels when only some were computed: a score never looks beyond the pixels it
is given.

- margin:    y = mean over M of z_c(p) - logsumexp over j != c of z_j(p)
- logit_sum: y = sum over M of z_c(p)
- dice_drop: y = Dice of the perturbed against the unperturbed prediction of class c

A drop is the sum of the per-pixel differences to the base, not the difference of two sums: the sums
are large and nearly equal, so their difference would lose an order of magnitude of precision.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from agent.ablation.core.errors import AblationError
from agent.config import Score

CORRELATED = 1 / 8
"""Share of the rounding that does not average out over a region. Rounding of different pixels is
nearly independent: measured over 40 pictures of the shipped model, the score of the null item was
off by at most an eighth of what one pixel is allowed."""


def class_margin(logits: Tensor, class_index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """(N, C, *S) -> (N, *S) ``dtype``: logit of the class minus logsumexp of the other classes."""
    wide = logits.to(dtype)
    others = torch.cat((wide[:, :class_index], wide[:, class_index + 1 :]), dim=1)
    rest = others[:, 0] if others.shape[1] == 1 else torch.logsumexp(others, dim=1)
    return wide[:, class_index] - rest


def predicted(logits: Tensor, class_index: int) -> Tensor:
    """(N, C, *S) -> (N, *S) bool: where the class wins; a tie goes to the lower index.

    By comparisons: an argmax over a handful of channels is ten times slower.
    """
    own = logits[:, class_index]
    wins = torch.ones_like(own, dtype=torch.bool)
    for other in range(logits.shape[1]):
        if other < class_index:
            wins &= own > logits[:, other]
        elif other > class_index:
            wins &= own >= logits[:, other]
    return wins


def winners(logits: Tensor) -> Tensor:
    """(C, *S) -> (*S) uint8: the class of the largest logit, the lowest of equal ones."""
    best = logits.amax(0)
    found = torch.zeros_like(best, dtype=torch.uint8)
    for index in reversed(range(len(logits))):
        found.masked_fill_(logits[index] == best, index)
    return found


def dice(prediction: Tensor, reference: Tensor) -> Tensor:
    """(N, *S) and (*S) bool -> (N,) float64; NaN where both are empty, 0 where only one is."""
    flat, ref = prediction.flatten(1), reference.flatten()
    both = (flat & ref).sum(1).to(torch.float64)
    return 2 * both / (flat.sum(1) + ref.sum()).to(torch.float64)


def rows(logits: Tensor, region: Tensor) -> Tensor:
    """(N, C, *S) -> (N, C, P): the pixels of the region alone.

    Gathered pixel by pixel with the channels side by side, as the logits lie in channels-last
    memory: gathering along the last axis costs twenty times as much.
    """
    flat = logits.flatten(2).transpose(1, 2)
    items, pixels, channels = flat.shape
    index = region.flatten().nonzero().squeeze(1)
    start = torch.arange(items, device=index.device)[:, None] * pixels
    picked = flat.reshape(items * pixels, channels).index_select(0, (start + index).flatten())
    return picked.view(items, -1, channels).transpose(1, 2)


@dataclass(frozen=True, slots=True)
class Target:
    """One class to explain by one score: ``region`` is M and ``prediction`` the class's unperturbed
    pixels, (h, w) bool.

    Both lie inside the aperture and stay as they are whatever is perturbed. ``plain`` (C, h, w) are
    the unperturbed logits. Where only some pixels are read, P of them, ``seen`` (P,) says which, in
    raster order, and region and prediction are (P,).
    """

    name: str
    index: int
    region: Tensor
    prediction: Tensor
    score: ScoreFunction
    plain: Tensor | None = None
    seen: Tensor | None = None


class ScoreFunction(abc.ABC):
    """How much of a class a prediction shows, and whatever else must be known of such a number."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What records and configuration call it."""

    @property
    @abc.abstractmethod
    def reads_all(self) -> bool:
        """Whether it reads all pixels inside the aperture, or those of M alone."""

    @property
    @abc.abstractmethod
    def is_smooth(self) -> bool:
        """Whether ``smooth`` is the score itself. If not, it only ranks channels, and is brought to
        the score's scale by channels that are known exactly."""

    @abc.abstractmethod
    def value(self, logits: Tensor, target: Target) -> Tensor:
        """(N,) float64: y of each item."""

    @abc.abstractmethod
    def drop(self, base: Tensor, logits: Tensor, target: Target) -> Tensor:
        """(N,) float64: y of ``base`` minus y of each item."""

    @abc.abstractmethod
    def smooth(self, logits: Tensor, target: Target) -> Tensor:
        """(N,) y for a gradient, in the dtype of ``logits``."""

    @abc.abstractmethod
    def rounding(self, logits: Tensor, allowed: Tensor, target: Target) -> float:
        """How far y of ``logits`` (1, C, *S) may be off where each may be by ``allowed``, of the
        same shape."""

    def why_not(self, target: Target) -> str:
        """Why there is no such score of a target that has a region; empty when there is."""
        return ""

    def check(self, logits: Tensor, target: Target) -> None:
        """``AblationError`` where ``logits`` (1, C, h, w) show that this is no score."""
        return


class PixelScore(ScoreFunction):
    """A score that is made of one value for each pixel of M."""

    reads_all = False
    is_smooth = True

    @abc.abstractmethod
    def pixels(self, logits: Tensor, class_index: int) -> Tensor:
        """(N, C, P) -> (N, P): the value of each pixel, in the dtype of ``logits``."""

    @abc.abstractmethod
    def pixel_rounding(self, allowed: Tensor, class_index: int) -> Tensor:
        """(1, C, P) -> (1, P): how far that value may be off where the logits may be so far."""

    @abc.abstractmethod
    def over_region(self, pixels: Tensor) -> Tensor:
        """(N, P) -> (N,): the values of all pixels as one."""

    def value(self, logits: Tensor, target: Target) -> Tensor:
        return self.over_region(self._read(logits, target))

    def drop(self, base: Tensor, logits: Tensor, target: Target) -> Tensor:
        before = self._read(base.unsqueeze(0), target)
        return self.over_region(before - self._read(logits, target))

    def smooth(self, logits: Tensor, target: Target) -> Tensor:
        return self.over_region(self.pixels(rows(logits, target.region), target.index))

    def rounding(self, logits: Tensor, allowed: Tensor, target: Target) -> float:
        """Over a region the errors of pixels average out, down to the share ``CORRELATED``."""
        off = self.pixel_rounding(rows(allowed, target.region), target.index)
        averaging = max(CORRELATED, 1 / math.sqrt(off.shape[1]))
        return float(self.over_region(off)[0]) * averaging

    def _read(self, logits: Tensor, target: Target) -> Tensor:
        return self.pixels(rows(logits, target.region).to(torch.float64), target.index)


class Margin(PixelScore):
    name = Score.MARGIN

    def pixels(self, logits: Tensor, class_index: int) -> Tensor:
        return class_margin(logits, class_index, logits.dtype)

    def pixel_rounding(self, allowed: Tensor, class_index: int) -> Tensor:
        """No more than the class's logit and the worst other one together."""
        return allowed[:, class_index] + allowed.amax(1)

    def over_region(self, pixels: Tensor) -> Tensor:
        return pixels.mean(1)


class LogitSum(PixelScore):
    name = Score.LOGIT_SUM

    def pixels(self, logits: Tensor, class_index: int) -> Tensor:
        return logits[:, class_index]

    def pixel_rounding(self, allowed: Tensor, class_index: int) -> Tensor:
        return allowed[:, class_index]

    def over_region(self, pixels: Tensor) -> Tensor:
        return pixels.sum(1)


class DiceDrop(ScoreFunction):
    """1 when nothing is perturbed. It has steps and no slope: the margin ranks channels for it."""

    name = Score.DICE_DROP
    reads_all = True
    is_smooth = False

    def value(self, logits: Tensor, target: Target) -> Tensor:
        return dice(predicted(logits, target.index), target.prediction)

    def drop(self, base: Tensor, logits: Tensor, target: Target) -> Tensor:
        return self.value(base.unsqueeze(0), target) - self.value(logits, target)

    def smooth(self, logits: Tensor, target: Target) -> Tensor:
        return MARGIN.smooth(logits, target)

    def rounding(self, logits: Tensor, allowed: Tensor, target: Target) -> float:
        """By whole pixels: those whose best two logits lie within rounding of each other."""
        best, second = logits.to(torch.float64).topk(2, dim=1).values.unbind(1)
        close = (best - second) <= 2 * allowed.amax(1)
        return float(close.sum()) / max(1, int(target.prediction.sum()))

    def why_not(self, target: Target) -> str:
        if bool(target.prediction.any()):
            return ""
        return f"no pixel of {target.name} is predicted, so no Dice can drop"


MARGIN = Margin()
_ALL = (MARGIN, LogitSum(), DiceDrop())
SCORES: Mapping[str, ScoreFunction] = {one.name: one for one in _ALL}
"""Every score that can be named."""
if SCORES.keys() != set(Score):
    alone = ", ".join(SCORES.keys() ^ set(Score))
    raise ImportError(f"scores with a name and no class, or a class and no name: {alone}")


def score_named(name: str) -> ScoreFunction:
    """``AblationError`` naming those that there are for any other."""
    if name not in SCORES:
        raise AblationError(f"no score {name!r}; there are: {', '.join(SCORES)}")
    return SCORES[name]
