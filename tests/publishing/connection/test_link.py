"""The life of a connection: edges, waits, and the choice of the protocol."""

from __future__ import annotations

import random

import pytest

from agent.config import Mqtt
from agent.publishing.connection.link import (
    EDGES,
    STOOD_ALONE_S,
    TAKEOVERS_MAX,
    V5,
    V311,
    Cause,
    Link,
    LinkState,
)

AUTO = Mqtt(reconnect_first_s=1.0, reconnect_max_s=60.0, reconnect_penalty_s=60.0)
RETRIES = [cause for (state, cause), after in EDGES.items() if state is LinkState.CONNECTING
           and after is LinkState.WAITING]  # fmt: skip


class Worst(random.Random):
    """Draws the upper end, so that the ceiling of the back-off shows."""

    def uniform(self, a: float, b: float) -> float:
        return b


def link(settings: Mqtt = AUTO, rng: random.Random | None = None) -> Link:
    return Link(settings, rng or Worst(), 0.0)


def fail(subject: Link, cause: Cause, now: float) -> float:
    """One attempt that fails; return how long the link waits."""
    subject.on(Cause.DUE, now)
    subject.on(cause, now)
    return subject.due_at - now


def stand(subject: Link, now: float, seconds: float, cause: Cause = Cause.LOST) -> float:
    """One connection that stands for a while; return how long the link waits after it."""
    subject.on(Cause.DUE, now)
    subject.on(Cause.CONNECTED, now)
    subject.on(cause, now + seconds)
    return subject.due_at - now - seconds


def test_the_first_attempt_is_due_at_once() -> None:
    assert link().due(0.0)


def test_every_edge_of_the_table_is_followed_and_no_other() -> None:
    for (state, cause), after in EDGES.items():
        subject = link()
        subject.state = state
        assert subject.on(cause, 0.0) is after
    for state in LinkState:
        for cause in Cause:
            if (state, cause) not in EDGES:
                subject = link()
                subject.state = state
                with pytest.raises(ValueError, match="no edge"):
                    subject.on(cause, 0.0)


def test_waits_grow_exponentially_to_the_maximum() -> None:
    subject = link()
    waits = [fail(subject, Cause.UNREACHABLE, 1000.0 * i) for i in range(9)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_waits_are_spread_over_the_whole_range() -> None:
    subject = link(rng=random.Random(1))
    waits = [fail(subject, Cause.UNREACHABLE, 1000.0 * i) for i in range(200)][10:]
    assert min(waits) < 6.0
    assert max(waits) > 54.0


@pytest.mark.parametrize("cause", [Cause.UNAUTHORISED])
def test_refused_credentials_wait_at_least_the_penalty(cause: Cause) -> None:
    assert fail(link(rng=random.Random(1)), cause, 0.0) >= 60.0


def test_a_taken_session_waits_at_least_the_penalty() -> None:
    assert stand(link(rng=random.Random(1)), 0.0, 5.0, Cause.TAKEN_OVER) >= 60.0


def test_each_takeover_waits_for_longer_until_a_connection_stood_alone() -> None:
    subject = link(AUTO.model_copy(update={"reconnect_max_s": 1.0}))
    waits = [stand(subject, 10_000.0 * i, 5.0, Cause.TAKEN_OVER) for i in range(8)]
    assert waits == [60.0 * 2 * 2 ** min(i, TAKEOVERS_MAX) + 1.0 for i in range(8)]
    assert stand(subject, 90_000.0, STOOD_ALONE_S, Cause.TAKEN_OVER) == 121.0


def test_two_that_were_taken_over_do_not_come_back_together() -> None:
    waits = [stand(link(rng=random.Random(i)), 0.0, 5.0, Cause.TAKEN_OVER) for i in range(50)]
    assert min(waits) >= 60.0
    assert max(waits) - min(waits) > 30.0


def test_one_that_knows_that_the_other_steps_back_takes_its_session_back_soon() -> None:
    subject = link()
    subject.keeps_session = True
    waits = [stand(subject, 1000.0 * i, 5.0, Cause.TAKEN_OVER) for i in range(4)]
    assert waits == [1.0, 2.0, 4.0, 8.0], "two that both believe so slow down all the same"


@pytest.mark.parametrize("cause", [Cause.NO_RETAIN, Cause.NO_QOS])
def test_an_attempt_that_asks_for_less_follows_at_once_and_the_same_one_does_not(
    cause: Cause,
) -> None:
    subject = link()
    subject.on(Cause.DUE, 0.0)
    subject.on(cause, 0.0, at_once=True)
    assert subject.due_at == 0.0
    assert subject.protocol == V5
    assert fail(subject, cause, 0.0) > 0.0


def test_a_connection_that_stood_starts_the_back_off_over() -> None:
    subject = link()
    for i in range(5):
        fail(subject, Cause.UNREACHABLE, 1000.0 * i)
    assert stand(subject, 6000.0, 31.0) == 1.0


def test_two_clients_that_throw_each_other_out_slow_down() -> None:
    subject = link()
    waits = [stand(subject, 1000.0 * i, 0.5) for i in range(5)]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_auto_falls_back_at_once_when_the_broker_says_that_it_does_not_speak_5() -> None:
    subject = link()
    assert subject.protocol == V5
    assert fail(subject, Cause.UNSUPPORTED, 0.0) == 0.0
    assert subject.protocol == V311


def test_a_known_fallback_is_kept_over_reconnects() -> None:
    subject = link()
    fail(subject, Cause.UNSUPPORTED, 0.0)
    stand(subject, 1.0, 100.0)
    assert subject.protocol == V311
    fail(subject, Cause.UNREACHABLE, 200.0)
    assert subject.protocol == V311


def test_a_broker_that_refuses_both_protocols_is_not_hammered() -> None:
    subject = link()
    waits = [fail(subject, Cause.UNSUPPORTED, 1000.0 * i) for i in range(6)]
    assert waits == [0.0, 1.0, 0.0, 2.0, 0.0, 4.0]


def test_a_broker_that_twice_says_nothing_is_tried_with_3_1_1_and_then_again_with_5() -> None:
    subject = link()
    tried = []
    for i in range(6):
        tried.append(subject.protocol)
        fail(subject, Cause.NO_ANSWER, 1000.0 * i)
    assert tried == [V5, V5, V311, V5, V5, V311]


def test_one_silent_attempt_while_a_broker_restarts_costs_no_protocol() -> None:
    subject = link()
    fail(subject, Cause.NO_ANSWER, 0.0)
    fail(subject, Cause.UNREACHABLE, 10.0)
    fail(subject, Cause.NO_ANSWER, 20.0)
    assert subject.protocol == V5


def test_a_fallback_that_was_only_guessed_is_forgotten_with_its_connection() -> None:
    subject = link()
    fail(subject, Cause.NO_ANSWER, 0.0)
    fail(subject, Cause.NO_ANSWER, 10.0)
    assert subject.protocol == V311
    stand(subject, 20.0, 100.0)
    assert subject.protocol == V5


@pytest.mark.parametrize("protocol", [V5, V311])
@pytest.mark.parametrize("cause", RETRIES)
def test_a_protocol_that_is_configured_is_never_changed(protocol: str, cause: Cause) -> None:
    subject = link(AUTO.model_copy(update={"protocol": protocol}))
    for i in range(5):
        assert fail(subject, cause, 1000.0 * i) > 0.0
        assert subject.protocol == protocol
