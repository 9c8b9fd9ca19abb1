"""The table of states: what a camera may and may not do."""

from __future__ import annotations

import pytest

from agent.capture.states import EDGES, Cause, IllegalEdge, check_edge
from agent.records import CameraState


def reachable(origin: CameraState) -> set[CameraState]:
    seen: set[CameraState] = set()
    todo = [origin]
    while todo:
        state = todo.pop()
        for start, to in EDGES:
            if start is state and to not in seen:
                seen.add(to)
                todo.append(to)
    return seen


def test_every_state_can_be_reached_from_the_first() -> None:
    assert reachable(CameraState.CONNECTING) == set(CameraState)


def test_failed_and_ended_are_final() -> None:
    assert not {to for start, to in EDGES if start in (CameraState.FAILED, CameraState.ENDED)}


def test_every_other_state_finds_back_to_live() -> None:
    for state in set(CameraState) - {CameraState.FAILED, CameraState.ENDED}:
        assert CameraState.LIVE in reachable(state)


def test_every_cause_but_the_start_stands_on_an_edge() -> None:
    used = set().union(*EDGES.values())
    assert used == set(Cause) - {Cause.START}


def test_an_edge_or_a_cause_that_is_not_in_the_table_is_refused() -> None:
    check_edge(CameraState.LIVE, CameraState.STALLED, Cause.SILENCE)
    with pytest.raises(IllegalEdge):
        check_edge(CameraState.LIVE, CameraState.STALLED, Cause.IDENTICAL)
    with pytest.raises(IllegalEdge):
        check_edge(CameraState.BACKOFF, CameraState.LIVE, Cause.FIRST_FRAME)
