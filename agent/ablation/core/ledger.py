"""Where the effects of one picture's items are collected as their logits come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core import scores
from agent.ablation.core.case import Case
from agent.ablation.core.effects import Effect, View, effects, scores_alone, view
from agent.ablation.core.errors import AblationError
from agent.ablation.core.plan import Planned
from agent.ablation.core.scores import Target


class Ledger:
    """Effects on T targets (a class by a score) of K channels and of any number of regions.

    The base that items are compared with is the null item, which took their own path; the null
    control compares that base with the plain model. ``deltas`` is (T, K) float64, ``exact`` (K,).
    ``wide`` sees all pixels inside the aperture; ``narrow`` those of the regions M, which is all
    that a channel's delta reads (unless the score is a Dice, which reads every pixel).
    """

    def __init__(self, case: Case, targets: Sequence[Target], depth: int) -> None:
        self.targets = tuple(targets)
        self.deltas: NDArray[np.float64] = np.zeros((len(targets), depth))
        self.exact: NDArray[np.bool_] = np.zeros(depth, np.bool_)
        self.occlusions: list[list[tuple[Planned, Effect]]] = [[] for _ in targets]
        aperture = torch.from_numpy(case.aperture).to(case.logits.device)
        self.wide: View = view(aperture, targets)
        reads_all = any(t.score.reads_all for t in targets)
        needed = torch.stack([t.region for t in targets]).any(0)
        self.narrow: View = self.wide if reads_all else view(needed, targets)
        self._narrow_in_wide = self.narrow.pixels[aperture]
        self._wide_base: Tensor | None = None
        self._narrow_base: Tensor | None = None

    @property
    def wide_base(self) -> Tensor:
        """(1, C, P) logits of the null item on the pixels of ``wide``."""
        if self._wide_base is None:
            raise AblationError("the first item of an explanation must be the null item")
        return self._wide_base

    @property
    def narrow_base(self) -> Tensor:
        """(1, C, P) logits that channels are compared with, on the pixels of ``narrow``."""
        if self._narrow_base is None:
            self._narrow_base = self.narrowed(self.wide_base)
        return self._narrow_base

    @property
    def null_bases(self) -> list[Tensor]:
        """(1, C, P) of the null item on ``narrow``, by each path that items took."""
        wide = [] if self._wide_base is None else [self.narrowed(self._wide_base)]
        return [*wide, self.narrow_base]

    def narrowed(self, rows: Tensor) -> Tensor:
        """(n, C, P) on the pixels of ``wide`` -> on those of ``narrow``."""
        return rows if self.narrow is self.wide else scores.rows(rows, self._narrow_in_wide)

    def record(self, planned: Sequence[Planned], rows: Tensor, *, alone: bool = False) -> None:
        """Read n items off (n, C, P) logits on ``wide``; the very first must be the null item.

        ``alone``: on ``narrow``. The first that takes a path of its own there must be the null item
        as well, and is their base from then on.
        """
        if alone and self._narrow_base is None:
            self._narrow_base = rows[:1].clone()
        elif self._wide_base is None and planned[0].item.channels == ():
            self._wide_base = rows[:1].clone()
        channels = [i for i, p in enumerate(planned) if p.channel >= 0]
        if channels:
            own = rows[channels] if alone else self.narrowed(rows[channels])
            self._record_channels([planned[i].channel for i in channels], own)
        view, read = (self.narrow, scores_alone) if alone else (self.wide, effects)
        for place, target in enumerate(view.targets):
            mine = [
                i for i, p in enumerate(planned) if p.region and p.class_name in ("", target.name)
            ]
            if mine:
                base = self.narrow_base if alone else self.wide_base
                found = read(base[0], rows[mine], target)
                self.occlusions[place].extend(zip([planned[i] for i in mine], found, strict=True))

    def _record_channels(self, indices: list[int], rows: Tensor) -> None:
        """Read deltas off (n, C, P) logits on the pixels of ``narrow``."""
        base = self.narrow_base[0]
        for place, target in enumerate(self.narrow.targets):
            drop = target.score.drop(base, rows, target)
            self.deltas[place, indices] = drop.cpu().numpy()
        self.exact[indices] = True
