"""What a reference says of itself."""

from __future__ import annotations

import pytest

from agent.commissioning.claim import claim, significant
from agent.commissioning.conditional import ConditionalRun
from agent.commissioning.design import widened
from tests.commissioning.test_design import BUDGET, design

RUN = ConditionalRun(2.8, 312.0, 4_011_000.0)


def test_it_says_what_the_limits_are_designed_for() -> None:
    words = claim(design(), BUDGET, RUN)
    assert "one false alarm in 3 production days" in words
    assert "From 12 lots" in words
    assert "times the run length" not in words


def test_it_says_how_much_wider_the_limits_were_made() -> None:
    made = design()
    words = claim(widened(made, 123 * made.run_length), BUDGET, RUN)
    assert "given 120 times the run length of its share" in words


def test_it_says_in_plain_numbers_how_long_charts_run() -> None:
    words = claim(design(), BUDGET, RUN)
    assert "about 300 production days" in words
    assert "that 3 or less, one 4,000,000 or more" in words
    assert "breaks the budget" not in words


def test_it_says_where_the_budget_does_not_hold() -> None:
    words = claim(design(), BUDGET, ConditionalRun(0.9, 3.0, 9.0))
    assert "More than one sample in twenty breaks the budget of 1 days" in words


def test_it_says_where_limits_could_not_be_widened() -> None:
    words = claim(design(), BUDGET, None)
    assert "no limit is widened" in words
    assert "samples of the fitted model" not in words


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.034, 1, "0.03"), (3.4, 1, "3"), (34.0, 1, "30"), (1e6, 1, "1,000,000"), (1.78, 2, "1.8")],
)
def test_numbers_have_the_digits_that_are_known(value: float, digits: int, text: str) -> None:
    assert significant(value, digits) == text
