import enum
import math
import runpy

import numpy as np
import pytest
import torch

from agent.ablation.core import scores
from agent.ablation.core.errors import AblationError
from agent.ablation.core.scores import SCORES
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
    target = scores.Target("stem", 2, m, m, SCORES[Score.LOGIT_SUM])
    assert torch.equal(target.score.value(z, target), expected)


def test_dice_counts_overlap_twice_over_both_sizes():
    found = torch.tensor([[True, True, False, False]])
    reference = torch.tensor([False, True, True, True])
    assert scores.dice(found, reference).item() == pytest.approx(2 / 5)


def test_dice_of_two_empty_masks_is_not_counted_and_of_one_is_zero():
    none, some = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    assert math.isnan(scores.dice(none[None], none).item())
    assert scores.dice(some[None], none).item() == 0
    assert scores.dice(none[None], some).item() == 0


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_drop_is_the_difference_of_the_two_scores(score):
    z, base = logits(), logits(seed=1, n=1)
    target = scores.Target("suture", 1, region(), scores.predicted(base, 1)[0], score)
    expected = score.value(base, target) - score.value(z, target)
    assert torch.allclose(score.drop(base[0], z, target), expected, atol=1e-10)


def test_summing_differences_keeps_digits_that_the_difference_of_two_sums_loses():
    """Pixels of +-1e6 hide a change of 1 in the sum of float32 logits, but not in the drop."""
    base = torch.zeros((2, 1000))
    base[1] = torch.where(torch.arange(1000) % 2 == 0, 1.0e6, -1.0e6)
    changed = base.clone()
    changed[1] -= 1.0
    m = torch.ones(1000, dtype=torch.bool)
    target = scores.Target("suture", 1, m, m, SCORES[Score.LOGIT_SUM])
    assert target.score.drop(base, changed[None], target).item() == 1000.0


def test_scores_do_not_depend_on_the_order_of_the_pixels():
    z, m = logits(), region()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    shuffled, mask = z.flatten(2)[:, :, order], m.flatten()[order]
    prediction = scores.predicted(z[:1], 1)[0]
    for score in SCORES.values():
        direct = score.value(z, scores.Target("suture", 1, m, prediction, score))
        target = scores.Target("suture", 1, mask, prediction.flatten()[order], score)
        assert torch.allclose(direct, score.value(shuffled, target), atol=1e-12)


SMOOTH = {name: score for name, score in SCORES.items() if score.is_smooth}


@pytest.mark.parametrize("score", SMOOTH.values(), ids=SMOOTH)
def test_the_differentiable_score_has_the_value_of_the_score(score):
    z, m = logits().double(), region()
    target = scores.Target("background", 0, m, m, score)
    np.testing.assert_allclose(score.smooth(z, target), score.value(z, target), atol=1e-12)


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_a_score_moves_no_further_than_it_says_where_logits_move_as_far_as_they_may(score):
    """Errors of one sign at every pixel do not average out: M of one pixel, where none does."""
    rng = torch.Generator().manual_seed(0)
    one = torch.zeros((4, 5), dtype=torch.bool)
    one[2, 3] = True
    for seed in range(200):
        z = logits(seed, n=1).double() * 3
        allowed = torch.rand(z.shape, generator=rng, dtype=torch.float64) * 0.1
        signs = torch.sign(torch.rand(z.shape, generator=rng, dtype=torch.float64) - 0.5)
        target = scores.Target("suture", 1, one, scores.predicted(z, 1)[0] | one, score)
        off = score.drop(z[0], z + signs * allowed, target).abs().item()
        assert off <= score.rounding(z, allowed, target) + 1e-12


def test_a_score_that_reads_no_pixel_outside_the_region_says_so():
    z, m = logits(n=1), region()
    elsewhere = torch.where(m, z, z.roll(1, 1))
    for score in SCORES.values():
        target = scores.Target("suture", 1, m, scores.predicted(z, 1)[0], score)
        unread = torch.equal(score.value(z, target), score.value(elsewhere, target))
        assert unread is not score.reads_all


def test_a_score_without_one_of_its_methods_is_not_made():
    class Half(scores.PixelScore):
        name = "half"

        def pixels(self, logits, class_index):
            return logits[:, class_index]

    with pytest.raises(TypeError, match=r"over_region.*pixel_rounding"):
        Half()


def test_a_score_of_ones_own_needs_no_name_in_the_configuration():
    class Largest(scores.LogitSum):
        name = "largest"

        def over_region(self, pixels):
            return pixels.amax(1)

    z, m = logits(), region()
    target = scores.Target("stem", 2, m, m, Largest())
    assert torch.equal(target.score.value(z, target), z[:, 2, 1:3, 1:4].double().amax((1, 2)))


def test_a_name_without_a_score_is_refused_when_scores_are_imported(monkeypatch):
    names = {one.name: one.value for one in Score} | {"NOWHERE": "nowhere"}
    monkeypatch.setattr("agent.config.Score", enum.StrEnum("Score", names))
    with pytest.raises(ImportError, match=r"a name and no class, .*: nowhere"):
        runpy.run_path(scores.__file__)


def test_a_score_that_is_not_there_is_refused_by_name():
    with pytest.raises(AblationError, match="'mean'; there are: margin, logit_sum, dice"):
        scores.score_named("mean")
