"""The two controls of every explanation: the null item and a random channel run plainly."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from agent.ablation import scores
from agent.ablation.controls import logit_rounding, score_rounding, worst_excess
from agent.ablation.errors import AblationError, NullControlError
from agent.ablation.ledger import Ledger
from agent.ablation.masking import channel as channel_item
from agent.ablation.split import HookSplit
from agent.ablation.summary import Checked
from agent.config import Head
from agent.models.loaded import LoadedModel, as_logits


def null_control(head: Head, plain: Tensor, null: Tensor) -> None:
    """Compare the null item's logits with the plain model's, (1, C, h, w) each, at every pixel."""
    measured, tolerance = worst_excess((null - plain).abs(), logit_rounding(head, plain))
    if not measured <= tolerance:
        raise NullControlError("the logits", measured, tolerance)


def plain_rerun(
    model: LoadedModel, plain: HookSplit, x: Tensor, channel: int, baseline: Tensor
) -> Tensor:
    """(1, C, h, w) logits of the model itself with one channel replaced by a hook."""
    output = plain.rerun(x, channel_item(channel), baseline)
    return as_logits(model, output, (x.shape[2], x.shape[3]))


def checked(
    head: Head, plain: Tensor, ledger: Ledger, place: int, channel: int, again: Tensor
) -> Checked:
    """Both controls on the score of one class.

    ``again`` is the plain re-run of ``channel``. Its delta against the plain model must be the
    ledger's within rounding of the two logit maps that each delta is made of.
    """
    kind, target = ledger.kind, ledger.wide.targets[place]
    before, null, perturbed = (ledger.wide.of(t) for t in (plain, ledger.base, again))
    what = (target.index, target.region, target.prediction)
    y = float(scores.score(kind, before, *what)[0])
    tolerance = score_rounding(kind, head, before, *what)
    off = float(scores.drop(kind, before[0], null, *what)[0])
    if not abs(off) <= tolerance:
        raise NullControlError(f"the score of {target.name}", abs(off), tolerance)
    expected = float(scores.drop(kind, before[0], perturbed, *what)[0])
    allowed = tolerance + score_rounding(kind, head, perturbed, *what)
    difference = abs(float(ledger.deltas[place, channel]) - expected)
    if not difference <= allowed:
        raise AblationError(
            f"spot check failed on {target.name}: the delta of channel {channel} differs from a "
            f"plain re-run of the model by {difference:.3g}, more than rounding explains "
            f"({allowed:.3g}); no map is given"
        )
    largest = float(np.abs(ledger.deltas[place]).max())
    return Checked(
        y=y,
        y_null=y - off,
        tolerance=tolerance,
        spot_channel=channel,
        spot_error=difference / largest if largest > 0 else 0.0,
    )
