"""What the audit refuses, from numbers; the models themselves are tried in the slow tests."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.ablation.result import EngineResult
from agent.commissioning.audit import Audit, Audited, first_cells, judged
from agent.commissioning.pictures import sheet
from agent.records import Frame, Rung
from tests.alarms.support import explanation


def case(
    index: int,
    reliance: float = 0.1,
    sensitivity: float = 0.7,
    *,
    explainable: bool = True,
    over_random: float = 0.3,
    over_mean: float = 0.1,
    likeness: float = 0.1,
    same_mask: bool = False,
) -> Audited:
    from dataclasses import replace

    suture = explanation(
        0.0, reliance + 0.001 * (index % 5), sensitivity, explainable=explainable
    ).classes[0]
    suture = replace(suture, map=np.ones((4, 4), np.float32))
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 3 if same_mask else index % 16] = 1
    result = EngineResult(
        classes=(suture,), rung=Rung.EXACT, method="ablation-cam", layer="l", path="fx",
        score="margin", baseline="zero", region_threshold=0.5, region_source="predicted",
        left_out=(), seconds=0.1, seconds_by_method={}, input=np.zeros((3, 16, 16), np.float32),
        logits=np.zeros((3, 16, 16), np.float32), mask=mask, aperture=np.ones((16, 16), bool),
    )  # fmt: skip
    frame = Frame("cam1", f"f{index}", index, 0, 0.0, np.zeros((32, 32, 3), np.uint8))
    return Audited(frame, result, over_random, over_mean, likeness)


def refused(**changes: object) -> list[str]:
    cases = [case(index, **changes) for index in range(20)]
    return [finding.name for finding in judged(cases) if not finding.passed]


def test_a_model_that_looks_at_the_fruit_passes() -> None:
    assert refused() == []


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"reliance": 0.8}, ["context_reliance"]),
        ({"sensitivity": 0.05}, ["foreground_sensitivity"]),
        ({"reliance": math.nan}, ["context_reliance"]),
        ({"same_mask": True}, ["same_answer"]),
        ({"over_mean": -0.1}, ["gain_over_mean_map"]),
        ({"over_random": -0.1}, ["gain_over_random"]),
        ({"likeness": 0.95}, ["parameter_randomisation"]),
    ],
)
def test_each_fault_is_refused_for_its_own_reason(
    changes: dict[str, object], reasons: list[str]
) -> None:
    assert refused(**changes) == reasons


def test_a_model_without_sutures_is_refused_for_all_that_is_not_known() -> None:
    found = refused(explainable=False)
    assert found[:3] == ["explained", "foreground_sensitivity", "context_reliance"]


def test_a_number_that_is_nowhere_defined_says_so() -> None:
    cases = [case(index, sensitivity=math.nan) for index in range(20)]
    finding = next(f for f in judged(cases) if f.name == "foreground_sensitivity")
    assert "undefined everywhere" in finding.text


def test_the_sheet_shows_every_fruit_and_every_finding() -> None:
    cases = tuple(case(index, explainable=index > 0) for index in range(7))
    image = sheet(Audit(judged(cases), cases))
    assert 5 * 224 < image.shape[1] < 6 * 224
    assert image.shape[0] > 2 * 224
    head, first_row, second_row = image[:180], image[-500:-250, 20:200], image[-200:, 20:200]
    for part in (head, first_row, second_row):
        assert (part != 255).any()


def test_the_first_cells_are_the_largest() -> None:
    one = np.array([[3.0, 1.0], [2.0, -5.0]], np.float32)
    assert first_cells(one, 2).tolist() == [[True, False], [True, False]]
