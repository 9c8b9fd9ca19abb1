"""Who goes next, by a clock that the tests move."""

from __future__ import annotations

import asyncio

from agent.ablation.pool.cluster.arbiter import Arbiter, Ask, Turns
from agent.records import SamplingClass

ALARM, PERIODIC = SamplingClass.ALARM.value, SamplingClass.PERIODIC.value


def ask(job: str, agent: str = "a", of: str = PERIODIC, **other: object) -> Ask:
    fields = {"place": "gpu0", "capacity": 1, "hold_s": 60.0, **other}
    return Ask(job, agent, of, **fields)  # type: ignore[arg-type]


def test_a_free_place_is_given_at_once_and_a_taken_one_is_not() -> None:
    turns = Turns()
    turns.ask(ask("1"))
    assert turns.granted(0.0) == ["1"]
    turns.ask(ask("2"))
    assert turns.granted(1.0) == []
    turns.forget("gpu0", "1")
    assert turns.granted(2.0) == ["2"]


def test_a_place_takes_as_many_jobs_as_it_has_room_for() -> None:
    turns = Turns()
    for job in "123":
        turns.ask(ask(job, capacity=2))
    assert turns.granted(0.0) == ["1", "2"]


def test_places_do_not_wait_for_each_other() -> None:
    turns = Turns()
    turns.ask(ask("1"))
    turns.ask(ask("2", place="gpu1"))
    assert sorted(turns.granted(0.0)) == ["1", "2"]


def test_an_alarm_goes_before_periodic_jobs_that_came_earlier() -> None:
    turns = Turns()
    turns.ask(ask("running"))
    turns.granted(0.0)
    turns.ask(ask("periodic", "b"))
    turns.ask(ask("alarm", "c", ALARM))
    turns.forget("gpu0", "running")
    assert turns.granted(1.0) == ["alarm"]
    turns.forget("gpu0", "alarm")
    assert turns.granted(1.0) == ["periodic"]


def test_an_agent_that_floods_waits_behind_its_own_jobs() -> None:
    turns = Turns()
    for number in range(5):
        turns.ask(ask(f"flood{number}", "flooding"))
    assert turns.granted(0.0) == ["flood0"]
    turns.ask(ask("other", "quiet"))
    turns.forget("gpu0", "flood0")
    assert turns.granted(1.0) == ["other"]


def test_a_turn_that_nobody_gives_back_ends_by_the_clock() -> None:
    turns = Turns()
    turns.ask(ask("lost", hold_s=5.0))
    turns.granted(0.0)
    turns.ask(ask("next"))
    assert turns.granted(4.9) == []
    assert turns.granted(5.0) == ["next"]


def test_a_job_that_was_given_up_takes_no_turn() -> None:
    turns = Turns()
    turns.ask(ask("1"))
    turns.granted(0.0)
    turns.ask(ask("2"))
    turns.forget("gpu0", "2")
    turns.forget("gpu0", "1")
    assert turns.granted(1.0) == []
    turns.forget("nowhere", "1")


def test_the_actor_wakes_who_waits_and_says_no_when_its_time_is_over() -> None:
    async def course() -> None:
        arbiter = Arbiter()
        assert await arbiter.take(ask("1"), 10.0)
        assert not await arbiter.take(ask("2"), 0.0)
        waiting = asyncio.create_task(arbiter.take(ask("3"), 60.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await arbiter.give_back("gpu0", "1")
        assert await waiting

    asyncio.run(course())
