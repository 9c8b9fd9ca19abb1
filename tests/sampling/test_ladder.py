from __future__ import annotations

import pytest

from agent.records import Rung
from agent.sampling.ladder import LADDER, CostEstimates


def test_the_best_rung_that_fits_with_headroom_is_chosen() -> None:
    costs = CostEstimates()
    for rung, seconds in zip(LADDER, (4.0, 2.0, 1.0), strict=True):
        costs.measured(rung, seconds, now=0.0)
    chosen = {left: costs.choose(left, now=0.0) for left in (6.0, 5.9, 3.0, 2.9, 1.5, 1.4)}
    assert chosen == {
        6.0: Rung.EXACT,
        5.9: Rung.PARTIAL,
        3.0: Rung.PARTIAL,
        2.9: Rung.COARSE,
        1.5: Rung.COARSE,
        1.4: None,
    }


def test_a_rung_that_was_never_run_is_scaled_from_one_that_was() -> None:
    costs = CostEstimates()
    costs.measured(Rung.EXACT, 8.0, now=0.0)
    assert costs.seconds(Rung.PARTIAL, 0.0) == pytest.approx(4.0)
    assert costs.seconds(Rung.COARSE, 0.0) == pytest.approx(2.0)


def test_an_estimate_follows_the_measurements() -> None:
    costs = CostEstimates()
    costs.measured(Rung.EXACT, 1.0, now=0.0)
    for i in range(30):
        costs.measured(Rung.EXACT, 3.0, now=float(i))
    assert costs.seconds(Rung.EXACT, 29.0) == pytest.approx(3.0, rel=0.01)


def test_a_rung_that_overran_its_deadline_gives_way_and_is_tried_again_later() -> None:
    costs = CostEstimates()
    costs.overran(Rung.EXACT, 10.0, now=0.0)
    assert costs.choose(10.0, now=0.0) is Rung.COARSE
    costs.measured(Rung.COARSE, 0.5, now=0.0)
    assert costs.choose(10.0, now=0.0) is Rung.PARTIAL
    assert costs.choose(10.0, now=3600.0) is Rung.EXACT


def test_a_rung_never_counts_as_cheaper_than_a_coarser_one() -> None:
    costs = CostEstimates()
    costs.measured(Rung.EXACT, 1.0, now=0.0)
    costs.measured(Rung.COARSE, 3.0, now=0.0)
    assert costs.seconds(Rung.EXACT, 0.0) == pytest.approx(3.0)
