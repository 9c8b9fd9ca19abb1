"""What survives a restart, and what is refused when it was damaged."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from agent import config
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.lifecycle.snapshot import SnapshotError
from agent.records import AlarmState, Quality
from tests.alarms.support import TimedManager, condition, utc_ms

ALARM_ID = "no_read_rate-cam1"


def exported(*, shelved: bool = False) -> tuple[TimedManager, dict[str, Any]]:
    timed = TimedManager()
    timed.update(condition(True, value=0.4, limit=0.2))
    timed.wait(5)
    if shelved:
        timed.manager.shelve(ALARM_ID, 100, "ann", timed.now, utc_ms(timed.now))
    return timed, json.loads(json.dumps(timed.manager.export(timed.now, utc_ms(timed.now))))


def restarted(
    state: object,
    alarm_ids: tuple[str, ...] = (ALARM_ID,),
    later_s: float = 0.0,
    **settings: object,
) -> TimedManager:
    """A new process: its monotonic clock has another origin, the wall clock went on."""
    timed = TimedManager()
    timed.manager = AlarmManager(config.Alarms(**settings), "agent1", "s2")
    timed.now = 5.0
    timed.manager.restore(state, alarm_ids, timed.now, utc_ms(1005.0 + later_s))
    return timed


def test_an_active_alarm_stays_active_with_its_event_id_and_bad_quality() -> None:
    before, state = exported()
    after = restarted(state)
    assert after.alarm.state is AlarmState.UNACK
    assert after.alarm.event_id == before.alarm.event_id
    assert after.alarm.message == before.alarm.message
    assert after.alarm.quality is Quality.BAD


def test_sequence_and_occurrences_go_on_where_they_were() -> None:
    before, state = exported()
    after = restarted(state)
    assert after.update(condition(False)) == ["quality"]
    assert after.records[0].seq == before.alarm.seq  # no event
    after.wait(30)
    after.update(condition(True), after_s=1)
    after.wait(5)
    assert after.alarm.event_id == "s2-2"
    assert after.alarm.count == 2


def test_shelving_ends_by_the_wall_clock_also_when_the_agent_was_down() -> None:
    _, state = exported(shelved=True)
    after = restarted(state, later_s=60)
    assert after.wait(39.9) == []
    assert after.wait(0.1) == ["unshelved"]
    assert restarted(state, later_s=500).wait(0.1) == ["unshelved"]


def test_a_suppressed_alarm_waits_for_its_condition_before_it_is_released() -> None:
    timed = TimedManager()
    timed.update(condition(True, suppressed_by="the machine is not running"))
    timed.wait(5)
    after = restarted(timed.manager.export(timed.now, utc_ms(timed.now)))
    assert after.wait(1000) == []
    assert after.alarm.suppressed
    assert after.update(condition(True))[-2:] == ["released", "raised"]
    assert after.events == ["raised"]


def test_an_earlier_version_told_of_everything() -> None:
    timed = TimedManager()
    timed.update(condition(True, suppressed_by="the machine is not running"))
    timed.wait(5)
    state = saved(timed)
    for alarm in state["alarms"]:
        del alarm["rang"], alarm["suppression_told"], alarm["record"]["quiet"]
    after = restarted(state)
    after.update(condition(False))
    after.wait(30)
    assert after.events == ["released", "cleared"]


def saved(timed: TimedManager) -> dict[str, Any]:
    state = json.loads(json.dumps(timed.manager.export(timed.now, utc_ms(timed.now))))
    assert isinstance(state, dict)
    return state


@pytest.mark.parametrize("listed", [ALARM_ID, "no_read_rate"])
def test_an_alarm_comes_back_into_service_when_the_configuration_no_longer_takes_it_out(
    listed: str,
) -> None:
    timed = TimedManager(out_of_service=(listed,))
    timed.update(condition(True))
    timed.wait(5)
    assert (timed.alarm.state, timed.alarm.active) == (AlarmState.OUT_OF_SERVICE, True)
    still = restarted(saved(timed), out_of_service=(listed,))
    assert "in_service" not in still.update(condition(True))
    after = restarted(saved(still))
    assert "in_service" in after.update(condition(True))
    assert (after.alarm.state, after.alarm.active) == (AlarmState.UNACK, True)
    assert after.alarm.event_id == timed.alarm.event_id, "the occurrence went on underneath"
    again = restarted(saved(after))
    assert again.update(condition(True)) == ["quality"], "once"


def test_an_alarm_that_a_command_took_out_of_service_waits_for_a_command() -> None:
    timed, _ = exported()
    timed.manager.take_out_of_service(ALARM_ID, "ann", timed.now, utc_ms(timed.now))
    listed = restarted(saved(timed), out_of_service=(ALARM_ID,))
    assert "out_of_service" not in listed.update(condition(True))
    after = restarted(saved(listed))
    after.update(condition(True))
    assert after.alarm.state is AlarmState.OUT_OF_SERVICE
    after.manager.put_into_service(ALARM_ID, "ann", after.now, utc_ms(after.now))
    assert after.alarm.state is AlarmState.UNACK


def test_a_command_may_take_the_place_of_the_configuration() -> None:
    timed = TimedManager(out_of_service=(ALARM_ID,))
    timed.update(condition(False))
    now = (timed.now, utc_ms(timed.now))
    timed.manager.put_into_service(ALARM_ID, "ann", *now)
    timed.manager.take_out_of_service(ALARM_ID, "ann", *now)
    after = restarted(saved(timed))
    after.update(condition(False))
    assert after.alarm.state is AlarmState.OUT_OF_SERVICE


def test_a_state_that_does_not_say_who_took_an_alarm_out_is_taken_for_the_configuration() -> None:
    timed = TimedManager(out_of_service=(ALARM_ID,))
    timed.update(condition(False))
    state = saved(timed)
    del state["alarms"][0]["out_by_configuration"]
    assert "in_service" in restarted(state).update(condition(False))


def test_a_message_with_bytes_that_are_no_utf_8_does_not_lose_the_state() -> None:
    timed, state = exported()
    state["alarms"][0]["message"] = "nothing reaches the disk (/state/\udcff)"
    after = restarted(state).alarm
    assert (after.event_id, after.state) == (timed.alarm.event_id, timed.alarm.state)


def test_an_alarm_of_a_camera_that_is_gone_is_forgotten() -> None:
    _, state = exported()
    assert restarted(state, alarm_ids=("no_read_rate-cam2",)).manager.current() == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.update(version=2),
        lambda s: s.pop("seq"),
        lambda s: s.update(seq=-1),
        lambda s: s.update(alarms={}),
        lambda s: s["alarms"].append(7),
        lambda s: s["alarms"][0].update(cause="nonsense"),
        lambda s: s["alarms"][0].update(occurrence="SHELVED"),
        lambda s: s["alarms"][0].update(covers=["NORM"]),
        lambda s: s["alarms"][0].update(covers=3),
        lambda s: s["alarms"][0].update(shelved_until_ms="soon"),
        lambda s: s["alarms"][0].update(out_by_configuration="yes"),
        lambda s: s["alarms"][0]["record"].pop("title"),
        lambda s: s["alarms"][0]["record"].update(active="yes"),
        lambda s: s["alarms"][0]["record"].update(count=True),
        lambda s: s["alarms"][0]["record"].update(quality="fine"),
        lambda s: s["alarms"][0]["record"].update(colour="red"),
    ],
)
def test_a_damaged_state_is_refused_with_its_place(damage: Any) -> None:
    _, state = exported()
    damaged = copy.deepcopy(state)
    damage(damaged)
    manager = AlarmManager(config.Alarms(), "agent1", "s2")
    with pytest.raises(SnapshotError, match="alarm state"):
        manager.restore(damaged, (ALARM_ID,), 0.0, 0)
    assert manager.current() == ()


@pytest.mark.parametrize("nonsense", [None, [], "x", 3])
def test_what_is_no_state_at_all_is_refused(nonsense: object) -> None:
    with pytest.raises(SnapshotError):
        restarted(nonsense)
