from __future__ import annotations

import math

import pytest

from agent.scoring.strengths import Reads, middle_strength

USUAL = Reads(error_deg=0.5, share=0.98)


def test_the_middle_strength_is_where_the_error_doubles() -> None:
    found = middle_strength(lambda s: Reads(0.5 * (1 + 4 * s), 0.98), USUAL)
    assert found == pytest.approx(0.25, rel=0.06)


def test_the_middle_strength_is_where_half_of_the_readings_are_gone() -> None:
    found = middle_strength(lambda s: Reads(0.5, 0.98 - 4 * s), USUAL)
    assert found == pytest.approx(0.1225, rel=0.06)


def test_whichever_comes_first_counts() -> None:
    found = middle_strength(lambda s: Reads(0.5 * (1 + 40 * s), 0.98 - 4 * s), USUAL)
    assert found == pytest.approx(0.025, rel=0.06)


def test_what_does_no_harm_at_full_strength_is_scored_at_full_strength() -> None:
    assert middle_strength(lambda s: Reads(0.6, 0.9), USUAL) == 1.0


def test_no_reading_at_all_is_trouble() -> None:
    assert Reads(math.nan, 0.0).in_trouble(USUAL)
    assert not USUAL.in_trouble(USUAL)
