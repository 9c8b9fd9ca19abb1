"""The table of edges: complete, consistent, and what ISA-18.2 wants it to be."""

from __future__ import annotations

import itertools

import pytest

from agent.alarms.lifecycle.lifecycle import EDGES, Event, Life, UndefinedEdgeError
from agent.records import AlarmState as S

OCCURRENCES = (S.NORM, S.UNACK, S.ACKED, S.RTN_UNACK)
SUPPRESSIONS = (S.SHELVED, S.SUPPRESSED, S.OUT_OF_SERVICE)


def every_life() -> list[Life]:
    sets = itertools.chain.from_iterable(itertools.combinations(SUPPRESSIONS, n) for n in range(4))
    return [Life(o, frozenset(suppressions)) for suppressions in list(sets) for o in OCCURRENCES]


def after(*events: Event) -> Life:
    life = Life()
    for event in events:
        life = life.step(event)
    return life


@pytest.mark.parametrize(
    "life", every_life(), ids=lambda life: "-".join([life.occurrence, *sorted(life.suppressions)])
)
def test_every_allowed_event_follows_an_edge_of_the_table(life: Life) -> None:
    for event in Event:
        if not life.allows(event):
            with pytest.raises(UndefinedEdgeError):
                life.step(event)
            continue
        edge = EDGES[life.state, event]
        result = life.step(event)
        assert edge.target in (None, result.state)
        assert edge.cause


def test_every_edge_of_the_table_can_be_taken() -> None:
    taken = {(life.state, event) for life in every_life() for event in Event if life.allows(event)}
    assert taken == set(EDGES)


def test_every_life_can_be_reached_from_normal() -> None:
    reached = {Life()}
    front = [Life()]
    while front:
        life = front.pop()
        for event in Event:
            if life.allows(event) and (following := life.step(event)) not in reached:
                reached.add(following)
                front.append(following)
    assert reached == set(every_life())


def test_an_acknowledged_alarm_returns_to_normal_by_itself() -> None:
    assert after(Event.RAISE).state is S.UNACK
    assert after(Event.RAISE, Event.ACK).state is S.ACKED
    assert after(Event.RAISE, Event.ACK, Event.CLEAR).state is S.NORM


def test_where_operators_acknowledge_a_cleared_alarm_waits_for_them() -> None:
    waiting = after(Event.RAISE, Event.CLEAR_UNACKED)
    assert waiting.state is S.RTN_UNACK
    assert not waiting.active
    assert not waiting.acked
    assert waiting.step(Event.ACK).state is S.NORM
    assert waiting.step(Event.RAISE).state is S.UNACK


@pytest.mark.parametrize(
    ("suppress", "end", "state"),
    [
        (Event.SHELVE, Event.UNSHELVE, S.SHELVED),
        (Event.SUPPRESS, Event.RELEASE, S.SUPPRESSED),
        (Event.DISABLE, Event.ENABLE, S.OUT_OF_SERVICE),
    ],
)
def test_a_suppression_hides_the_state_and_never_the_condition(
    suppress: Event, end: Event, state: S
) -> None:
    hidden = after(suppress, Event.RAISE)
    assert hidden.state is state
    assert hidden.active
    assert hidden.step(end).state is S.UNACK
    assert hidden.step(Event.ACK).step(end).state is S.ACKED
    assert hidden.step(Event.CLEAR).step(end).state is S.NORM


def test_the_suppression_of_highest_precedence_shows_and_ending_it_shows_the_next() -> None:
    life = after(Event.RAISE, Event.SHELVE, Event.SUPPRESS, Event.DISABLE)
    states = []
    for event in (Event.ENABLE, Event.RELEASE, Event.UNSHELVE):
        states.append(life.state)
        life = life.step(event)
    assert [*states, life.state] == [S.OUT_OF_SERVICE, S.SUPPRESSED, S.SHELVED, S.UNACK]


def test_nothing_can_be_acknowledged_twice() -> None:
    assert not after(Event.RAISE, Event.ACK).allows(Event.ACK)
    assert not Life().allows(Event.ACK)
