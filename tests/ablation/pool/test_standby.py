"""When local workers stand in, by a clock that the tests move."""

from __future__ import annotations

import random

from agent.ablation.pool.lifecycle import End, WorkerLife, WorkerState
from agent.ablation.pool.standby import Standby
from tests.ablation.pool.support import workers


def test_local_workers_are_wanted_once_the_cluster_was_away_long_enough() -> None:
    standby = Standby(30.0)
    assert not standby.update(0, 100.0)
    assert not standby.update(0, 129.9)
    assert standby.update(0, 130.0)
    assert standby.wanted
    assert not standby.update(0, 140.0)


def test_they_are_wanted_no_more_as_soon_as_one_worker_of_the_cluster_is_ready() -> None:
    standby = Standby(30.0)
    standby.update(0, 0.0)
    standby.update(0, 30.0)
    assert standby.update(1, 31.0)
    assert not standby.wanted
    assert not standby.update(0, 60.0)  # counted from the new loss
    assert not standby.update(0, 89.0)
    assert standby.update(0, 90.0)


def test_a_short_loss_changes_nothing() -> None:
    standby = Standby(30.0)
    for now, ready in ((0.0, 1), (10.0, 0), (35.0, 1), (45.0, 0), (70.0, 1)):
        assert not standby.update(ready, now)


def test_an_end_because_the_cluster_is_back_is_no_failure() -> None:
    life = WorkerLife(workers(restart_budget=1), random.Random(0))
    for now in range(5):
        assert life.claim_start(float(now))
        life.ready(float(now))
        life.ended(End.NOT_WANTED, float(now))
        assert life.state is WorkerState.WAITING
