from __future__ import annotations

import pytest

from agent.records import Rung
from agent.sampling.ladder import LADDER, CostEstimates, Plan


def took(costs: CostEstimates, rung: Rung, seconds: float, now: float = 0.0) -> None:
    costs.measured(Plan(rung, 0.0), seconds, now)


def chosen(costs: CostEstimates, left_s: float, now: float = 0.0) -> Rung | None:
    plan = costs.plan(left_s, left_s, now)
    return plan.rung if plan else None


def test_the_best_rung_that_fits_with_headroom_is_chosen() -> None:
    costs = CostEstimates()
    for rung, seconds in zip(LADDER, (4.0, 2.0, 1.0), strict=True):
        took(costs, rung, seconds, 0.0)
    found = {left: chosen(costs, left) for left in (6.0, 5.9, 3.0, 2.9, 1.5, 1.4)}
    assert found == {
        6.0: Rung.EXACT,
        5.9: Rung.PARTIAL,
        3.0: Rung.PARTIAL,
        2.9: Rung.COARSE,
        1.5: Rung.COARSE,
        1.4: None,
    }


def test_a_rung_that_was_never_run_is_scaled_from_one_that_was() -> None:
    costs = CostEstimates()
    took(costs, Rung.EXACT, 8.0, 0.0)
    assert costs.seconds(Rung.PARTIAL, 0.0) == pytest.approx(4.0)
    assert costs.seconds(Rung.COARSE, 0.0) == pytest.approx(2.0)


def test_an_estimate_follows_the_measurements() -> None:
    costs = CostEstimates()
    took(costs, Rung.EXACT, 1.0, 0.0)
    for i in range(30):
        took(costs, Rung.EXACT, 3.0, float(i))
    assert costs.seconds(Rung.EXACT, 29.0) == pytest.approx(3.0, rel=0.01)


def test_a_rung_that_overran_its_deadline_gives_way_and_is_tried_again_later() -> None:
    costs = CostEstimates()
    costs.overran(Rung.EXACT, 10.0, now=0.0)
    assert chosen(costs, 10.0, 0.0) is Rung.COARSE
    took(costs, Rung.COARSE, 0.5, 0.0)
    assert chosen(costs, 10.0, 0.0) is Rung.PARTIAL
    assert chosen(costs, 10.0, 3600.0) is Rung.EXACT


def test_a_rung_never_counts_as_cheaper_than_a_coarser_one() -> None:
    costs = CostEstimates()
    took(costs, Rung.EXACT, 1.0, 0.0)
    took(costs, Rung.COARSE, 3.0, 0.0)
    assert costs.seconds(Rung.EXACT, 0.0) == pytest.approx(3.0)


def test_an_elastic_rung_is_granted_the_time_there_is() -> None:
    costs = CostEstimates()
    took(costs, Rung.EXACT, 8.0)
    took(costs, Rung.PARTIAL, 2.0)
    assert costs.plan(9.0, 9.0, 0.0) == Plan(Rung.PARTIAL, 6.0)


def test_an_elastic_rung_that_filled_its_grant_does_not_look_dearer_for_it() -> None:
    costs = CostEstimates()
    took(costs, Rung.EXACT, 8.0)
    took(costs, Rung.PARTIAL, 2.0)
    for _ in range(20):
        costs.measured(Plan(Rung.PARTIAL, 6.0), 6.1, 0.0)
    assert costs.seconds(Rung.PARTIAL, 0.0) == pytest.approx(2.0)
    costs.measured(Plan(Rung.PARTIAL, 2.0), 3.0, 0.0)  # it could not keep to this one
    assert costs.seconds(Rung.PARTIAL, 0.0) == pytest.approx(2.2)


def test_with_no_rung_for_its_share_the_coarsest_takes_what_is_left() -> None:
    costs = CostEstimates()
    took(costs, Rung.COARSE, 2.0)
    assert costs.plan(1.0, 9.0, 0.0) == Plan(Rung.COARSE, 2.0)
    assert costs.plan(1.0, 2.9, 0.0) is None
