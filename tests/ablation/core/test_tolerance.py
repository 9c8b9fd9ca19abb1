import math

import numpy as np
import pytest
import torch

from agent.ablation.core import tolerance
from agent.ablation.core.scores import MARGIN, SCORES, Target
from agent.config import Head


def test_rounding_grows_with_the_largest_logit_and_with_the_step_of_the_dtype():
    z = torch.tensor([[[[1.0, -8.0]]]])
    single = float(tolerance.logit_rounding(Head.LOGITS, z))
    assert single == pytest.approx(8 * tolerance.ROUNDING_STEPS * EPS)
    assert float(tolerance.logit_rounding(Head.LOGITS, z * 2)) == pytest.approx(2 * single)
    assert float(tolerance.logit_rounding(Head.LOGITS, z.double())) < 1e-8 * single


def test_a_saturated_probability_knows_its_logit_only_coarsely():
    z = torch.tensor([[[[0.0, 12.0]]]])
    for head in (Head.SIGMOID, Head.SOFTMAX):
        sure = torch.log_softmax(torch.cat((z, -z), 1), 1) if head is Head.SOFTMAX else z
        allowed = tolerance.logit_rounding(head, sure)
        assert float(allowed.max()) > 100 * float(allowed.min())


def test_a_probability_in_the_middle_was_made_of_numbers_as_large_as_those_beside_it():
    z = torch.tensor([[[[40.0, 0.3]], [[-40.0, 0.0]]]])
    for head, own in ((Head.SOFTMAX, z.log_softmax(1)), (Head.SIGMOID, z[:, :1])):
        middle = tolerance.logit_rounding(head, own)[0, 0, 0, 1]
        assert middle >= tolerance.logit_rounding(Head.LOGITS, z).amax()


def test_the_worst_excess_is_relative_to_what_each_place_may_be_off():
    difference, allowed = torch.tensor([1.0, 0.5]), torch.tensor([10.0, 0.1])
    assert tolerance.worst_excess(difference, allowed) == (0.5, pytest.approx(0.1))


def test_not_a_number_never_passes_for_a_small_difference():
    measured, allowed = tolerance.worst_excess(torch.tensor([0.0, math.nan]), torch.tensor(1.0))
    assert math.isnan(measured)
    assert not measured <= allowed


def test_what_lies_beyond_rounding_is_found_on_the_pixels_that_are_compared():
    plain = torch.randn((1, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    found = plain.clone()
    found[0, 1, 2, 3] += 0.5
    pixels = torch.ones((4, 5), dtype=torch.bool)
    assert tolerance.excess(Head.LOGITS, plain, plain) is None
    off = tolerance.excess(Head.LOGITS, found, plain)
    assert off == (
        pytest.approx(0.5, rel=1e-5),
        pytest.approx(plain.abs().amax().item() * tolerance.ROUNDING_STEPS * EPS),
    )
    assert tolerance.excess(Head.LOGITS, found[:, :, pixels], plain, pixels) == off
    pixels[2, 3] = False
    assert tolerance.excess(Head.LOGITS, found[:, :, pixels], plain, pixels) is None
    found[0, 0, 0, 0] = math.nan
    assert tolerance.excess(Head.LOGITS, found[:, :, pixels], plain, pixels) is not None


EPS = torch.finfo(torch.float32).eps


def test_the_score_of_a_larger_region_is_known_better_down_to_a_floor():
    z = torch.randn((1, 3, 4096), generator=torch.Generator().manual_seed(0))
    found = []
    for count in (1, 16, 64, 4096):
        region = torch.arange(4096) < count
        target = Target("suture", 1, region, region, MARGIN)
        found.append(tolerance.score_rounding(Head.LOGITS, z, target))
    assert found[0] == pytest.approx(4 * found[1])
    assert found[1] == pytest.approx(2 * found[2])
    assert found[2] == pytest.approx(found[3])


def test_dice_may_move_by_the_pixels_that_are_undecided():
    z = torch.zeros((1, 2, 4))
    z[0, 1] = torch.tensor([5.0, 5.0, 0.0, -5.0])
    region = torch.tensor([True, True, False, False])
    target = Target("suture", 1, region, region, SCORES["dice_drop"])
    assert tolerance.score_rounding(Head.LOGITS, z, target) == 0.5


def test_all_ones_share_is_one_for_equal_deltas_and_zero_for_balanced_ones():
    assert tolerance.all_ones_share(np.full(7, -2.0)) == pytest.approx(1.0)
    assert tolerance.all_ones_share(np.array([1.0, -1.0])) == 0.0
    assert math.isnan(tolerance.all_ones_share(np.zeros(3)))


def test_sign_balance_is_the_share_of_what_supports():
    assert tolerance.sign_balance(np.array([3.0, -1.0])) == 0.75
    assert math.isnan(tolerance.sign_balance(np.zeros(3)))


def test_a_ratio_is_clipped_and_undefined_below_the_minimum():
    assert tolerance.ratio(3.0, 2.0, 0.1) == 1.0
    assert tolerance.ratio(-1.0, 2.0, 0.1) == 0.0
    assert math.isnan(tolerance.ratio(0.05, 0.09, 0.1))
    assert math.isnan(tolerance.ratio(1.0, -5.0, 0.1))
    assert math.isnan(tolerance.ratio(math.nan, 5.0, 0.1))


def test_context_reliance_is_undefined_when_neither_region_matters():
    assert tolerance.context_reliance(0.3, 0.1, 0.02) == pytest.approx(0.25)
    assert math.isnan(tolerance.context_reliance(0.0, 0.001, 0.02))
    assert math.isnan(tolerance.context_reliance(math.nan, 0.5, 0.02))
