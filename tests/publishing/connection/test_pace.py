"""How many messages a second are sent, as configured and as brokers teach."""

from __future__ import annotations

import math

import pytest

from agent.config import Mqtt
from agent.config.problems import ConfigErrors
from agent.preflight import load_config
from agent.publishing.connection.pace import (
    BURST_MIN,
    CLOSES_MAX,
    RELAX_S,
    SAID_MIN,
    UNLIMITED_PER_S,
    Pace,
)
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.connection.test_faults import EVENT, raise_alarms, seqs
from tests.publishing.rig import running
from tests.support import wait_until
from tests.support.fault_broker import FaultBroker, fault_broker


def times(pace: Pace, until: float, step_s: float = 0.001) -> list[float]:
    """When messages go out of a queue that never ends."""
    sent, now = [], 0.0
    while now < until:
        if pace.wait_s(now) == 0.0:
            pace.sent(now)
            sent.append(now)
        else:
            now += step_s
    return sent


def burst(pace: Pace, answers: int, now: float, *, unanswered: int = 5) -> float | None:
    """One connection that ends after so many answers; the pace that it taught."""
    pace.opened()
    for i in range(answers):
        pace.answered(now + 0.001 * i)
    return pace.closed(unanswered, now + 1.0)


@pytest.mark.parametrize("limit", [1, 2, 20, 150])
def test_in_no_second_more_is_sent_than_the_limit_and_not_far_less(limit: float) -> None:
    sent = times(Pace(limit, 0.0), 5.0)
    most = max(sum(1 for one in sent if start <= one < start + 1.0) for start in sent)
    assert most <= limit
    assert len(sent) >= 5 * 0.5 * limit


def test_without_a_limit_nothing_waits() -> None:
    pace = Pace(0.0, 0.0)
    for _ in range(1000):
        assert pace.wait_s(0.0) == 0.0
        pace.sent(0.0)
    assert pace.limit_per_s == math.inf


def test_connections_that_end_at_the_same_message_again_and_again_teach_a_pace() -> None:
    pace = Pace(0.0, 0.0)
    taught = [burst(pace, 20, 10.0 * i) for i in range(CLOSES_MAX)]
    assert taught == [None] * (CLOSES_MAX - 1) + [16.0]
    assert pace.limit_per_s == 16.0
    assert burst(pace, 16, 100.0) == 12.8, "even that was too fast, and once is enough by now"
    assert burst(pace, 500, 200.0) == pytest.approx(10.24), "slower whatever it took"
    for i in range(50):
        burst(pace, 500, 300.0 + 10 * i)
    assert pace.limit_per_s == 1.0


def test_answers_that_are_lost_with_the_connection_are_made_up_for_by_what_was_sent() -> None:
    pace = Pace(0.0, 0.0)
    for i in range(CLOSES_MAX):
        pace.opened()
        for k in range(40):
            pace.sent(10.0 * i + 0.001 * k)
        pace.closed(20, 10.0 * i + 0.1)
    assert pace.limit_per_s == 16.0


@pytest.mark.parametrize(
    ("answers", "unanswered"),
    [
        ([20, 20, 20], 0),  # it ended while nothing was under way
        ([BURST_MIN - 1] * 3, 5),  # too few to be too many
        ([100, 12, 45], 5),  # a different place each time: a network that breaks
        ([20, 20, 0, 20, 20, 0], 5),
    ],
)
def test_connections_that_end_for_another_reason_teach_nothing(
    answers: list[int], unanswered: int
) -> None:
    pace = Pace(0.0, 0.0)
    for i, count in enumerate(answers):
        assert burst(pace, count, 10.0 * i, unanswered=unanswered) is None
    assert pace.limit_per_s == math.inf


def test_a_broker_that_says_so_is_taken_at_its_word() -> None:
    pace = Pace(0.0, 0.0)
    for _ in range(50):
        pace.answered(1.0)
    assert pace.closed(0, 1.0, said=True) == 40.0
    pace.opened()
    assert pace.closed(0, 2.0, said=True) == SAID_MIN * 0.8


def test_a_learnt_pace_relaxes_and_more_slowly_each_time_that_this_was_wrong() -> None:
    pace = Pace(0.0, 0.0)
    for i in range(CLOSES_MAX):
        burst(pace, 20, float(i))
    learnt_at = CLOSES_MAX - 1 + 1.0
    pace.wait_s(learnt_at + RELAX_S - 1)
    assert pace.limit_per_s == 16.0
    pace.wait_s(learnt_at + RELAX_S)
    assert pace.limit_per_s == 32.0
    assert burst(pace, 20, 700.0) == 16.0, "what it was before"
    pace.wait_s(701.0 + RELAX_S)
    assert pace.limit_per_s == 16.0, "twice as long this time"
    now = 701.0
    while pace.limit_per_s < math.inf:
        now += 2 * RELAX_S
        pace.wait_s(now)
        assert pace.limit_per_s <= UNLIMITED_PER_S or pace.limit_per_s == math.inf
    assert now < 701.0 + 10 * 2 * RELAX_S


def test_a_configured_limit_holds_whatever_is_learnt_or_forgotten() -> None:
    pace = Pace(30.0, 0.0)
    for i in range(CLOSES_MAX):
        burst(pace, 30, float(i))
    assert pace.limit_per_s == 24.0
    pace.wait_s(1e6)
    pace.wait_s(2e6)
    assert pace.limit_per_s == 30.0


@pytest.mark.parametrize("wrong", ["0.5", "-1", "100001", "fast", ".nan", ".inf"])
def test_a_pace_that_is_none_is_an_error_with_its_place(tmp_path: object, wrong: str) -> None:
    file = tmp_path / "pitwatch.yaml"  # type: ignore[operator]
    file.write_text(f"mqtt: {{broker: embedded, publish_per_s: {wrong}}}\n")
    with pytest.raises(ConfigErrors, match=r"mqtt\.publish_per_s"):
        load_config(file, environment={})


def test_no_limit_is_the_default() -> None:
    assert Mqtt().publish_per_s == 0


def states_of_this_connection(broker: FaultBroker) -> set[str]:
    return {
        one.topic.removeprefix(f"{examples.BASE}/") for one in broker.published[broker.before :]
    }


@pytest.mark.long
@pytest.mark.parametrize("says", [False, True])
def test_a_broker_that_hangs_up_above_a_rate_is_found_out_and_gets_everything(
    says: bool,
) -> None:
    """The snapshot of many states never came past the message at which the broker hung up."""
    names = {f"metric/cam1/value_{i}" for i in range(80)}
    with fault_broker(publish_max_per_s=40, says_too_fast=says) as broker:
        quick = {"reconnect_first_s": 0.05, "reconnect_max_s": 0.1, "stop_s": 0.2}
        with running(broker.url, wait=False, protocol="5", **quick) as rig:
            for name in names:
                rig.publisher.metric("cam1", name.rsplit("/", 1)[1], 1.0, Quality.GOOD, 1)
            wait_until(
                lambda: names <= states_of_this_connection(broker), 30, "all on one connection"
            )
            raise_alarms(rig, 1, 3)
            wait_until(lambda: set(seqs(broker)) == {1, 2, 3}, 10, f"three on {EVENT}")


def test_fruit_and_alarms_go_before_a_snapshot_that_is_paced() -> None:
    """Those of the outage, too: the snapshot may take a minute."""
    states = {f"metric/cam1/value_{i}" for i in range(30)}
    with fault_broker() as broker:
        broker.refuse()
        with running(broker.url, wait=False, stop_s=0.2, protocol="5", publish_per_s=50) as rig:
            for name in states:
                rig.publisher.metric("cam1", name.rsplit("/", 1)[1], 1.0, Quality.GOOD, 1)
            rig.publisher.fruit(examples.fruit(), "cam1")
            rig.publisher.alarm(examples.alarm())
            broker.open()
            wait_until(lambda: states <= states_of_this_connection(broker), 30, "every state")
            came = [one.topic.removeprefix(f"{examples.BASE}/") for one in broker.published]
    first_state = min(came.index(state) for state in states)
    assert came.index("fruit/cam1") < first_state
    assert came.index(EVENT) < first_state
