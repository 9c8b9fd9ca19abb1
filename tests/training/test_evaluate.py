from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.loaded import LoadedModel
from agent.records import CLASSES
from agent.simulator.machine import SEEDS_PER_RUN
from agent.simulator.render import Renderer
from agent.training.calibrate import fit_confidence
from agent.training.cases import Case, annotated_case, simulated_cases
from agent.training.errors import TrainingError
from agent.training.evaluate import Evaluation, Outcome, badness, evaluate
from agent.training.samples import TRAINING_SEEDS_FROM, Sample
from agent.training.worst import WorstSheet


class Oracle(nn.Module):
    """Answers with the class that is written into the picture's red channel (0, 100, 200)."""

    def forward(self, x: Tensor) -> Tensor:
        level = x[:, 0] * 255
        return torch.stack([-(level - wanted).abs() for wanted in (0.0, 100.0, 200.0)], 1) / 5


@pytest.fixture(scope="module")
def oracle() -> LoadedModel:
    return LoadedModel(
        module=Oracle().eval(),
        name="oracle",
        sha256="0" * 64,
        classes=CLASSES,
        head=Head.LOGITS,
        preprocessing=Preprocessing(width_px=96, height_px=96),
        layer=None,
        output_key=None,
        device=torch.device("cpu"),
        card=ModelCard(name="oracle"),
    )


def written(case: Case, mask: np.ndarray | None = None) -> Case:
    """The case with ``mask`` (default: its own) written where the oracle reads it."""
    shown = case.sample.mask if mask is None else mask
    image = np.zeros((*shown.shape, 3), np.uint8)
    image[..., 2] = shown * 100
    image[..., 1] = 120  # bright enough for a fruit
    sample = Sample(image, case.sample.aperture, case.sample.mask)
    return Case(
        case.name,
        sample,
        case.angle_deg,
        case.stem_x_px,
        case.stem_y_px,
        case.empty,
        case.readable,
        case.contrast,
    )


def test_a_perfect_prediction_is_judged_perfect(oracle: LoadedModel) -> None:
    cases = [written(c) for c in simulated_cases(1, 12, size_px=96, empty=0.0)]
    summary = evaluate(oracle, cases).summary()
    assert summary["fruit"] == 12
    assert summary["suture_dice"] == pytest.approx(1.0)
    assert summary["stem_dice"] == pytest.approx(1.0)
    assert summary["mean_dice"] == pytest.approx(1.0)
    assert summary["mean_iou"] == pytest.approx(1.0)
    assert summary["angle_error_median_deg"] < 0.5
    assert summary["no_read"] == 0.0
    assert summary["stem_error_median_px"] < 1.0


def test_a_prediction_turned_by_ten_degrees_is_ten_degrees_off(oracle: LoadedModel) -> None:
    (case,) = simulated_cases(2, 1, size_px=96, empty=0.0)
    turned = Case(
        case.name,
        case.sample,
        (case.angle_deg + 10) % 180,
        case.stem_x_px,
        case.stem_y_px,
        False,
        True,
        case.contrast,
    )
    (outcome,) = evaluate(oracle, [written(turned)]).outcomes
    assert outcome.line_error_deg == pytest.approx(10, abs=0.5)


def test_a_network_that_finds_nothing_reads_nothing_and_has_dice_zero(oracle: LoadedModel) -> None:
    cases = [written(c, np.zeros_like(c.sample.mask)) for c in simulated_cases(3, 5, 96, empty=0.0)]
    result = evaluate(oracle, cases)
    summary = result.summary()
    assert summary["suture_dice"] == 0.0
    assert summary["no_read"] == 1.0
    assert math.isnan(summary["angle_error_median_deg"])
    json.dumps(result.as_json(), allow_nan=False)


def test_a_line_seen_on_an_empty_cup_counts_as_read_on_empty(oracle: LoadedModel) -> None:
    fruit = next(iter(simulated_cases(4, 1, 96, empty=0.0)))
    cup = next(iter(simulated_cases(4, 1, 96, empty=1.0)))
    assert cup.empty
    seen = evaluate(oracle, [written(cup, fruit.sample.mask), written(cup)]).summary()
    assert seen["empty_cups"] == 2
    assert seen["read_on_empty"] == 0.5


def test_readable_is_a_matter_of_visible_contrast_alone() -> None:
    cases = list(simulated_cases(5, 30, 96, empty=0.2))
    assert any(case.empty for case in cases)
    for case in cases:
        assert case.readable == (not case.empty and case.contrast >= 0.04)


def test_evaluation_never_meets_a_fruit_of_the_training() -> None:
    assert 9999 * SEEDS_PER_RUN + SEEDS_PER_RUN <= TRAINING_SEEDS_FROM


def test_angle_and_stem_of_an_annotated_picture_come_from_its_mask() -> None:
    render = Renderer(128).fruit(9)
    case = annotated_case("x", Sample(render.image, render.aperture, render.mask))
    assert case.angle_deg == pytest.approx(render.truth.angle_deg, abs=0.6)
    assert case.readable
    assert not case.empty


def test_the_sheet_shows_the_worst_first(oracle: LoadedModel) -> None:
    good = [written(c) for c in simulated_cases(6, 6, 96, empty=0.0)]
    readable = next(c for c in good if c.readable)  # not to read another is no fault
    bad = written(readable, np.zeros_like(readable.sample.mask))
    sheet = WorstSheet(count=4)
    result = evaluate(oracle, [c for c in good if c is not readable] + [bad], on_case=sheet.add)
    assert max(result.outcomes, key=badness).name == bad.name
    assert sheet.image().shape[1] > sheet.image().shape[0]
    assert sheet.image().any()


def outcome(features: tuple[float, ...], error: float) -> Outcome:
    nan = math.nan
    return Outcome("x", False, True, *[nan] * 6, True, "", 0.0, nan, error, nan, features)


def test_the_calibration_learns_how_often_a_reading_is_right() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(3000):
        straight = float(rng.random())
        right = rng.random() < 0.1 + 0.9 * straight
        rows.append(outcome((0.0, 1.0, straight, 2.0, 1.0, 1.0, 0.1), 1.0 if right else 30.0))
    fitted = fit_confidence(rows)
    for straight in (0.2, 0.5, 0.8):
        features = np.array([0.0, 1.0, straight, 2.0, 1.0, 1.0, 0.1])
        score = fitted.intercept + float(np.dot(fitted.coefficients, features))
        assert 1 / (1 + math.exp(-score)) == pytest.approx(0.1 + 0.9 * straight, abs=0.08)


def test_too_few_or_one_sided_cases_give_no_calibration() -> None:
    row = (0.0, 1.0, 0.5, 2.0, 1.0, 1.0, 0.1)
    with pytest.raises(TrainingError, match="too few"):
        fit_confidence([outcome(row, 1.0)] * 20)
    with pytest.raises(TrainingError, match="all lines are right"):
        fit_confidence([outcome(row, 1.0)] * 200)


def test_nothing_to_judge_gives_a_summary_without_numbers(oracle: LoadedModel) -> None:
    summary = evaluate(oracle, []).summary()
    assert summary["fruit"] == 0
    assert math.isnan(summary["suture_dice"])
    assert isinstance(evaluate(oracle, []), Evaluation)
