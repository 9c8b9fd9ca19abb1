import math

import numpy as np
import pytest
import torch

from agent.ablation.core import scores
from agent.config import Score


def logits(seed=0, n=3, c=3, size=(4, 5)):
    return torch.randn((n, c, *size), generator=torch.Generator().manual_seed(seed))


def region(size=(4, 5)):
    mask = torch.zeros(size, dtype=torch.bool)
    mask[1:3, 1:4] = True
    return mask


def test_the_margin_is_the_logit_minus_logsumexp_of_the_others():
    z = torch.tensor([[[[1.0]], [[2.0]], [[4.0]]]])
    expected = 4.0 - math.log(math.exp(1.0) + math.exp(2.0))
    assert scores.class_margin(z, 2).item() == pytest.approx(expected, abs=1e-12)


def test_with_two_classes_the_margin_is_the_plain_difference():
    z = torch.tensor([[[[1.5]], [[-2.0]]]])
    assert scores.class_margin(z, 1).item() == -3.5


def test_the_margin_ignores_a_constant_added_to_all_logits():
    z = logits().double()
    shifted = z + torch.randn((3, 1, 4, 5), dtype=torch.float64) * 50
    assert torch.allclose(scores.class_margin(z, 1), scores.class_margin(shifted, 1), atol=1e-12)


def test_logit_sum_adds_up_the_raw_logits_of_the_region():
    z, m = logits(), region()
    expected = z[:, 2, 1:3, 1:4].double().sum((1, 2))
    assert torch.equal(scores.score(Score.LOGIT_SUM, z, 2, m, m), expected)


def test_dice_counts_overlap_twice_over_both_sizes():
    found = torch.tensor([[True, True, False, False]])
    reference = torch.tensor([False, True, True, True])
    assert scores.dice(found, reference).item() == pytest.approx(2 / 5)


def test_dice_of_two_empty_masks_is_not_counted_and_of_one_is_zero():
    none, some = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    assert math.isnan(scores.dice(none[None], none).item())
    assert scores.dice(some[None], none).item() == 0
    assert scores.dice(none[None], some).item() == 0


@pytest.mark.parametrize("kind", list(Score))
def test_a_drop_is_the_difference_of_the_two_scores(kind):
    z, base, m = logits(), logits(seed=1, n=1), region()
    prediction = scores.predicted(base, 1)[0]
    expected = scores.score(kind, base, 1, m, prediction) - scores.score(kind, z, 1, m, prediction)
    found = scores.drop(kind, base[0], z, 1, m, prediction)
    assert torch.allclose(found, expected, atol=1e-10)


def test_summing_differences_keeps_digits_that_the_difference_of_two_sums_loses():
    """Pixels of +-1e6 hide a change of 1 in the sum of float32 logits, but not in the drop."""
    base = torch.zeros((2, 1000))
    base[1] = torch.where(torch.arange(1000) % 2 == 0, 1.0e6, -1.0e6)
    changed = base.clone()
    changed[1] -= 1.0
    m = torch.ones(1000, dtype=torch.bool)
    drop = scores.drop(Score.LOGIT_SUM, base, changed[None], 1, m, m)
    assert drop.item() == 1000.0


def test_scores_do_not_depend_on_the_order_of_the_pixels():
    z, m = logits(), region()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    shuffled, mask = z.flatten(2)[:, :, order], m.flatten()[order]
    for kind in Score:
        prediction = scores.predicted(z[:1], 1)[0]
        direct = scores.score(kind, z, 1, m, prediction)
        moved = scores.score(kind, shuffled, 1, mask, prediction.flatten()[order])
        assert torch.allclose(direct, moved, atol=1e-12)


@pytest.mark.parametrize("kind", [Score.MARGIN, Score.LOGIT_SUM])
def test_the_differentiable_score_has_the_value_of_the_score(kind):
    z, m = logits().double(), region()
    smooth = scores.differentiable(kind, z, 0, m)
    np.testing.assert_allclose(smooth, scores.score(kind, z, 0, m, m), atol=1e-12)
