"""The controls of every explanation: the null item, and random items run plainly."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from agent.ablation.core.effects import View
from agent.ablation.core.errors import AblationError, NullControlError
from agent.ablation.core.ledger import Ledger
from agent.ablation.core.summary import Checked
from agent.ablation.core.tolerance import excess, score_rounding
from agent.config import Head


def null_control(head: Head, plain: Tensor, null: Tensor, view: View) -> None:
    """Compare the null item's (1, C, P) logits with the plain model's (1, C, h, w) at each pixel
    of ``view``."""
    if (off := excess(head, null, plain, view.pixels)) is not None:
        raise NullControlError("the logits", *off)


def checked(
    head: Head, plain: Tensor, ledger: Ledger, place: int, channel: int, again: Tensor
) -> Checked:
    """Both controls on the score of one class; ``again`` is the plain re-run of ``channel``."""
    target = ledger.narrow.targets[place]
    before = ledger.narrow.of(plain)
    tolerance = score_rounding(head, before, target, plain.abs().amax())
    off = _null_drop(plain, ledger, place)
    if not abs(off) <= tolerance:
        raise NullControlError(f"the score of {target.name}", abs(off), tolerance)
    delta = float(ledger.deltas[place, channel])
    name = f"the delta of channel {channel}"
    difference = spot_check(head, plain, ledger.narrow, place, name, delta, again)
    largest = float(np.abs(ledger.deltas[place]).max())
    y = float(target.score.value(before, target)[0])
    return Checked(
        y=y,
        y_null=y - off,
        tolerance=tolerance,
        spot_channel=channel,
        spot_error=difference / largest if largest > 0 else 0.0,
    )


def spot_check(
    head: Head,
    plain: Tensor,
    view: View,
    place: int,
    name: str,
    drop: float,
    again: Tensor,
) -> float:
    """Compare the ``drop`` of an item with that of its plain re-run ``again``; the difference.

    It must lie within rounding of the two logit maps that a drop is made of, or no map is given.
    """
    target = view.targets[place]
    before, perturbed = view.of(plain), view.of(again)
    expected = float(target.score.drop(before[0], perturbed, target)[0])
    allowed = score_rounding(head, before, target, plain.abs().amax())
    allowed += score_rounding(head, perturbed, target, again.abs().amax())
    difference = abs(drop - expected)
    if not difference <= allowed:
        raise AblationError(
            f"spot check failed on {target.name}: {name} differs from a plain re-run of the model "
            f"by {difference:.3g}, more than rounding explains ({allowed:.3g}); no map is given"
        )
    return difference


def _null_drop(plain: Tensor, ledger: Ledger, place: int) -> float:
    """By how much the null item's score falls short of the plain one, on the worse of its paths."""
    target = ledger.narrow.targets[place]
    before = ledger.narrow.of(plain)[0]
    found = [float(target.score.drop(before, null, target)[0]) for null in ledger.null_bases]
    return max(found, key=lambda drop: (math.isnan(drop), abs(drop)))
