"""Where the effects of one picture's items are collected as their logits come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.errors import AblationError
from agent.ablation.measure import Effect, Target, View, drops, effects, view
from agent.ablation.picture import Case
from agent.ablation.plan import Planned
from agent.config import Score
from agent.records import Region


class Ledger:
    """Effects on T classes of K channels and of any number of regions.

    The base that items are compared with is the null item, which took their own path; the null
    control compares that base with the plain model. ``deltas`` is (T, K) float64, ``exact`` (K,).
    """

    def __init__(self, kind: Score, case: Case, targets: Sequence[Target], depth: int) -> None:
        self.kind = kind
        self.targets = tuple(targets)
        self.deltas: NDArray[np.float64] = np.zeros((len(targets), depth))
        self.exact: NDArray[np.bool_] = np.zeros(depth, np.bool_)
        self.occlusions: list[list[tuple[Planned, Effect]]] = [[] for _ in targets]
        aperture = torch.from_numpy(case.aperture).to(case.logits.device)
        self.wide: View = view(aperture, targets)
        needed = torch.stack([t.region for t in targets]).any(0)
        self.narrow: View = self.wide if kind is Score.DICE_DROP else view(needed, targets)
        self._base: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing has been recorded yet."""
        return self._base is None

    @property
    def base(self) -> Tensor:
        """(1, C, h, w) logits of the null item."""
        if self._base is None:
            raise AblationError("the first item of an explanation must be the null item")
        return self._base

    def record(self, planned: Sequence[Planned], logits: Tensor) -> None:
        """Read (n, C, h, w) logits of n items; the very first item must be the null item."""
        if self._base is None and planned[0].item.channels == ():
            self._base = logits[:1].clone()
        channels = [i for i, p in enumerate(planned) if p.channel >= 0]
        if channels:
            self._record_channels([planned[i].channel for i in channels], logits[channels])
        for place in range(len(self.targets)):
            mine = [i for i, p in enumerate(planned) if p.region and p.target in (place, -1)]
            if mine:
                self._record_regions(place, [planned[i] for i in mine], logits[mine])

    def _record_channels(self, indices: list[int], logits: Tensor) -> None:
        base, perturbed = self.narrow.of(self.base)[0], self.narrow.of(logits)
        for place, target in enumerate(self.narrow.targets):
            drop = drops(self.kind, base, perturbed, target)
            self.deltas[place, indices] = drop.cpu().numpy()
        self.exact[indices] = True

    def _record_regions(self, place: int, planned: list[Planned], logits: Tensor) -> None:
        base, perturbed = self.wide.of(self.base)[0], self.wide.of(logits)
        found = effects(self.kind, base, perturbed, self.wide.targets[place])
        self.occlusions[place].extend(zip(planned, found, strict=True))

    def of_region(self, place: int, region: Region, fraction: float = 1.0) -> list[Effect]:
        """The effects of one region at one fraction on one class; several for seeded draws."""
        return [
            effect
            for planned, effect in self.occlusions[place]
            if planned.region is region and planned.fraction == fraction
        ]
