from __future__ import annotations

from itertools import islice, pairwise

import pytest

from agent.records import MachineState
from agent.simulator.machine import Belt, Content, MachineSettings
from agent.simulator.machine import rows as rows_of


def rows(settings: MachineSettings, count: int) -> list:
    return list(islice(rows_of(settings), count))


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_the_rate_is_the_machines_total_over_its_lanes(lanes: int) -> None:
    made = rows(MachineSettings(rate_per_min=280, lanes=lanes), 281)
    cups_per_min = lanes * 280 / (made[280].due_s - made[0].due_s) * 60
    assert cups_per_min == pytest.approx(280)
    assert all(len(row.cups) == lanes for row in made)


def test_the_schedule_does_not_drift() -> None:
    last = rows(MachineSettings(rate_per_min=280), 20_001)[-1]
    assert last.due_s == pytest.approx(20_000 * 60 / 280, abs=1e-6)


def test_empty_and_double_cups_come_in_their_shares() -> None:
    cups = [row.cups[0] for row in rows(MachineSettings(empty=0.2, doubles=0.1), 3000)]
    share = {kind: sum(c.content is kind for c in cups) / 3000 for kind in Content}
    assert share[Content.EMPTY] == pytest.approx(0.2, abs=0.03)
    assert share[Content.DOUBLE] == pytest.approx(0.1, abs=0.03)


def test_no_fruit_comes_twice_in_a_run_and_none_in_two_runs() -> None:
    one = {c.seed for row in rows(MachineSettings(lanes=3, seed=1), 500) for c in row.cups}
    two = {c.seed for row in rows(MachineSettings(lanes=3, seed=2), 500) for c in row.cups}
    assert len(one) == 1500
    assert not one & two


def test_a_belt_stop_delays_what_follows_and_is_said_by_the_machine() -> None:
    made = rows(MachineSettings(stops_per_h=600, stop_s=4), 500)
    stopped = [row for row in made if row.state is MachineState.STOPPED]
    assert stopped
    period = MachineSettings().row_period_s
    for row, following in pairwise(made):
        assert following.due_s - row.due_s == pytest.approx(period + row.halt_s)
        assert (row.halt_s > 0) == (row.state is not MachineState.RUNNING)


def test_a_new_lot_brings_the_next_variety_after_a_change_over() -> None:
    made = rows(MachineSettings(lot_rows=10, varieties=("pale", "golden")), 30)
    assert [row.variety for row in made[8:12]] == ["pale", "pale", "golden", "golden"]
    assert [row.lot for row in made[8:12]] == [0, 0, 1, 1]
    assert made[9].state is MachineState.CHANGE_OVER
    assert made[20].variety == "pale"


def test_the_same_seed_gives_the_same_timeline() -> None:
    settings = MachineSettings(seed=7, empty=0.3, stops_per_h=100)
    assert rows(settings, 100) == rows(settings, 100)


def test_the_belt_moves_evenly_between_rows_and_stands_during_a_stop() -> None:
    settings = MachineSettings(rate_per_min=60, stops_per_h=3600, stop_s=5)
    belt = Belt(settings)
    row, _, progress, state = belt.at(0.0)
    assert (row.index, progress) == (0, 0.0)
    assert state is row.state is MachineState.STOPPED
    assert belt.at(row.halt_s - 0.01)[2] == 0.0
    assert belt.at(row.halt_s + 0.25)[2] == pytest.approx(0.25)
    assert belt.at(row.halt_s + 0.25)[3] is MachineState.RUNNING
    assert belt.at(row.halt_s + 1.0)[0].index == 1
