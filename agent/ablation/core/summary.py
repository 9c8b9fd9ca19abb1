"""From measured effects to the record of one class. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.effects import Effect
from agent.ablation.core.ledger import Ledger
from agent.ablation.core.plan import Planned
from agent.ablation.core.tolerance import all_ones_share, context_reliance, ratio, sign_balance
from agent.records import ClassExplanation, Region, RegionOcclusion

MIN_LAYER_EFFECT = 0.1
"""Margin (in logits) that ablating the whole layer must cost, or sensitivities are undefined: with
less at stake the ratio of two small numbers says nothing."""
MIN_SENSITIVITY = 0.02
"""Both sensitivities together must reach this, or the context reliance is undefined: where skips of
earlier levels carry a class, occluding either region at this layer does nothing, and the share of
nothing would come out as anything from 0 to 1."""
Occlusions = Sequence[tuple[Planned, Effect]]
BLANK = "blank: no channel's ablation moves the score beyond rounding"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the controls found for one class; ``spot_error`` is relative to max |delta|."""

    y: float
    y_null: float
    tolerance: float
    spot_channel: int
    spot_error: float


def explanation(
    ledger: Ledger,
    place: int,
    checked: Checked,
    estimate_error: float,
    activation: NDArray[np.float32],
) -> ClassExplanation:
    """The record of the target at ``place``; ``activation`` is (K, h, w), the maps the deltas
    belong to."""
    target, deltas, found = ledger.targets[place], ledger.deltas[place], ledger.occlusions[place]
    whole = _margin_drop(found, Region.WHOLE)
    foreground = ratio(_margin_drop(found, Region.FOREGROUND), whole, MIN_LAYER_EFFECT)
    background = ratio(_margin_drop(found, Region.BACKGROUND_EQUAL), whole, MIN_LAYER_EFFECT)
    largest = float(np.abs(deltas).max())
    return ClassExplanation(
        class_name=target.name,
        score=str(target.score.name),
        explainable=True,
        reason=BLANK if largest <= checked.tolerance else "",
        y=checked.y,
        y_null=checked.y_null,
        null_tolerance=checked.tolerance,
        y_all=checked.y - _mean(_effects(found, Region.WHOLE), "drop"),
        deltas=deltas,
        map=signed_map(deltas, activation),
        mean_map=activation.mean(axis=0, dtype=np.float64).astype(np.float32),
        exact=ledger.exact,
        estimate_error=estimate_error,
        spot_channel=checked.spot_channel,
        spot_error=checked.spot_error,
        all_ones_share=all_ones_share(deltas),
        sign_balance=sign_balance(deltas),
        sensitivity_foreground=foreground,
        sensitivity_background=background,
        context_reliance=context_reliance(foreground, background, MIN_SENSITIVITY),
        occlusions=_occlusions(found, checked.y),
    )


def signed_map(deltas: NDArray[np.float64], activation: NDArray[np.float32]) -> NDArray[np.float32]:
    """h = sum over k of delta_k A_k: (K,) and (K, h, w) -> (h, w), signed."""
    return np.tensordot(deltas, activation.astype(np.float64), axes=1).astype(np.float32)


def _effects(found: Occlusions, region: Region) -> list[Effect]:
    """At 100 % of the region; several for seeded draws, none where the region is empty."""
    return [e for p, e in found if p.region is region and p.fraction == 1.0]


def _margin_drop(found: Occlusions, region: Region) -> float:
    return _mean(_effects(found, region), "margin_drop")


def _mean(measured: Sequence[Effect], name: str) -> float:
    values = [float(getattr(effect, name)) for effect in measured]
    return math.fsum(values) / len(values) if values else math.nan


def _occlusions(found: Occlusions, y: float) -> tuple[RegionOcclusion, ...]:
    """One entry per region and fraction, seeded draws averaged, in the order they were planned."""
    groups: dict[tuple[Region, float, int], list[Effect]] = {}
    for planned, effect in found:
        if planned.region is not None:
            key = (planned.region, planned.fraction, planned.cells)
            groups.setdefault(key, []).append(effect)
    return tuple(
        RegionOcclusion(
            region=region,
            fraction=fraction,
            cells=cells,
            y=y - _mean(measured, "drop"),
            dice=_mean([e for e in measured if e.all_read], "dice"),
            margin_inside=_mean(measured, "margin_inside"),
            margin_outside=_mean([e for e in measured if e.all_read], "margin_outside"),
        )
        for (region, fraction, cells), measured in groups.items()
    )
