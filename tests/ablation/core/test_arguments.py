"""What callers give, converted where it enters; everything else is one clear error."""

import re

import numpy as np
import pytest
import torch

from agent.ablation import (
    AblationError,
    CurveSettings,
    Fill,
    PatchSettings,
    Studies,
    Tuning,
    box,
    clustered,
    component,
    contiguous,
    given,
    rank_correlation,
    render_overlay,
)
from agent.ablation.core import arguments
from agent.ablation.result import not_explainable
from agent.config import Head
from tests.ablation.networks import picture


def test_a_word_becomes_the_member_that_it_spells():
    assert arguments.named(Head, "head", "sigmoid") is Head.SIGMOID
    assert arguments.named(Head, "head", Head.SOFTMAX) is Head.SOFTMAX
    assert PatchSettings(fill="zero").fill is Fill.ZERO
    assert PatchSettings(fill=Fill.MEAN).fill is Fill.MEAN


@pytest.mark.parametrize("wrong", ["Sigmoid", "", None, 1, b"sigmoid", ["sigmoid"]])
def test_any_other_word_is_refused_with_the_list(wrong):
    with pytest.raises(AblationError, match=r"no head .*; there are: logits, sigmoid, softmax"):
        arguments.named(Head, "head", wrong)


def test_one_word_is_a_list_of_itself_and_not_its_letters():
    assert arguments.words("classes", "suture") == ("suture",)
    assert arguments.words("classes", ["a", np.str_("b")]) == ("a", "b")
    for wrong, words in (((), "none"), (("a", "a"), "twice"), ((1,), "names"), (3, "names")):
        with pytest.raises(AblationError, match=words):
            arguments.words("classes", wrong)


@pytest.mark.parametrize("right", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_other_libraries_are_whole_numbers(right):
    found = arguments.integer("size", right, 1, 3)
    assert type(found) is int
    assert found == 3


@pytest.mark.parametrize("wrong", [3.0, True, np.True_, torch.tensor(True), "3", None, np.ones(2)])
def test_what_is_no_whole_number_is_refused(wrong):
    with pytest.raises(AblationError, match="size: expected a whole number, found"):
        arguments.integer("size", wrong)


def test_numbers_and_switches_are_what_they_seem():
    assert arguments.number("range", np.float32(0.5)) == 0.5
    assert arguments.number("range", torch.tensor(2)) == 2.0
    assert arguments.switch("dice", np.True_) is True
    for wrong in (float("nan"), float("inf"), True, "1", None, np.ones(2)):
        with pytest.raises(AblationError, match="range: expected a"):
            arguments.number("range", wrong)
    for wrong in (1, 0, "no", None):
        with pytest.raises(AblationError, match="dice: expected True or False"):
            arguments.switch("dice", wrong)


MAPS = np.random.default_rng(0).random((4, 3, 3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: PatchSettings(fill="median"), "no fill 'median'; there are: zero, mean, blur"),
        (lambda: PatchSettings(16.0, 8), "patches of 16.0: size and stride are one whole number"),
        (lambda: PatchSettings(8, True), "patches of True: size and stride are one whole"),
        (lambda: PatchSettings(8, -1), "the stride must be at least 1"),
        (lambda: PatchSettings(dice="no"), "dice: expected True or False"),
        (lambda: CurveSettings(steps=2.5), "steps: expected a whole number"),
        (lambda: CurveSettings(seed=-1), "seed: expected at least 0, found -1"),
        (lambda: Studies(hires="yes"), "hires: expected True or False"),
        (lambda: Studies(block_cells=1.5), "block_cells: expected a whole number"),
        (lambda: Studies(patches=8), "patches: expected PatchSettings, found 8"),
        (lambda: Studies(methods=3), "methods: expected names, found 3"),
        (lambda: Studies(methods="lime"), "no method 'lime'; there are"),
        (lambda: Studies(input_features=3), "input_features: expected InputFeatures, found 3"),
        (lambda: Studies(curves="all"), "curves: expected CurveSettings, found 'all'"),
        (lambda: Studies(groups="foo"), "no groups 'foo'; groups are contiguous:N, cluster:N"),
        (lambda: Studies(groups=((0, 1.5),)), "a channel of a group: expected a whole number"),
        (lambda: Tuning(batch=0), "batch: expected at least 1, found 0"),
        (lambda: Tuning(rows=1), "rows: expected True or False"),
        (lambda: Tuning(clock=3), "clock: expected a function"),
        (lambda: Tuning(reference=np.ones((2, 2))), "one mean per channel"),
        (lambda: component(1.0), "component: expected a whole number"),
        (lambda: box(0, 0, 4, True), "box: height: expected a whole number"),
        (lambda: given([[True]]), r"a mask must be \(H, W\) bool"),
        (lambda: contiguous(8, "2"), "groups: expected a whole number, found '2'"),
        (lambda: clustered(MAPS * np.nan, 2), "maps to cluster must be finite"),
        (lambda: clustered(MAPS, 2.0), "groups: expected a whole number"),
        (lambda: rank_correlation(np.ones(3), np.ones(4)), r"arrays of \(3,\) and \(4,\)"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_made(call, words):
    with pytest.raises(AblationError, match=words):
        call()


def test_an_overlay_takes_a_finite_range_and_a_quality_that_there_is():
    record = not_explainable("stem", "no stem")
    assert render_overlay(picture(64), record, np.float64(1)).data
    for value, quality, words in (
        (float("nan"), 85, "value_range: expected a finite number"),
        (-1.0, 85, "value_range: expected at least 0"),
        ("1", 85, "value_range: expected a number"),
        (1.0, 0, "quality: expected 1 to 100"),
        (1.0, 85.0, "quality: expected a whole number"),
    ):
        with pytest.raises(AblationError, match=re.escape(words)):
            render_overlay(picture(64), record, value, quality=quality)


def test_given_groups_are_converted_and_checked_for_the_layer():
    from agent.ablation.core.groups import parse_groups

    assert Studies(groups=[[np.int64(0), 1], (3,)]).groups == ((0, 1), (3,))
    assert parse_groups(((0, 1), (3,)), MAPS) == ((0, 1), (3,))
    with pytest.raises(AblationError, match="no channel 4; there are 0 to 3"):
        parse_groups(((4,),), MAPS)
