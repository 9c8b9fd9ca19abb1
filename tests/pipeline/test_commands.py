"""What commands do: on a real manager and a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent import config
from agent.alarms.catalogue import watched_ids
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.manager import AlarmManager
from agent.pipeline.commands import CommandHandler, CommandTargets
from agent.pipeline.persistence import AlarmPersistence
from agent.records import Command, CommandOutcome, CommandResult, MachineInfo, Origin
from agent.storage.store import Store
from agent.telemetry import NullTelemetry

ALARM = "camera_lost-cam1"
UTC_MS = 1_760_000_000_000


class Control:
    """A manager with one active alarm, and everything that a command acts on."""

    def __init__(self, folder: Path, *, raised: bool = True, session: str = "s1") -> None:
        self.now = 1000.0
        self.utc_ms = UTC_MS
        self.store = Store(folder, NullTelemetry())
        self.manager = AlarmManager(config.Alarms(), "pitter", session)
        self.machine = MachineInfo(fruit_id="4711")
        self.explained: list[str] = []
        self.periods: list[float] = []
        targets = CommandTargets(
            explain=lambda camera: camera == "cam1" and not self.explained.append(camera),
            sampling=self.periods.append,
            machine=lambda: self.machine,
            set_machine=lambda machine: setattr(self, "machine", machine),
            lanes=("cam1", "cam2"),
            varieties=("Redhaven", "Elegant Lady"),
        )
        clock, utc_ms = (lambda: self.now), (lambda: self.utc_ms)
        self.handler = CommandHandler(self.manager, targets, self.store, clock, utc_ms)
        self.persistence = AlarmPersistence(
            self.manager, self.store, watched_ids(["cam1"], ["cam1"], ()), clock, utc_ms
        )
        self.persistence.restore()
        if raised:
            self.condition(beyond=True)

    def condition(self, *, beyond: bool) -> None:
        condition = Condition("camera_lost", "cam1", beyond, back=not beyond)
        records = self.manager.update(condition, self.now, self.utc_ms)
        self.persistence.save(records)

    def ask(self, name: str, command_id: str = "c-1", **arguments: Any) -> CommandOutcome:
        return self.answer(name, command_id, **arguments).outcome

    def answer(self, name: str, command_id: str = "c-1", **arguments: Any) -> CommandResult:
        command = Command(name, command_id, "anna", arguments, self.utc_ms)
        result = self.handler(command)
        self.persistence.save(result.records)
        self.handler.audit(command, result)
        return result

    @property
    def alarm(self) -> Any:
        (alarm,) = self.manager.current()
        return alarm


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return Control(tmp_path)


def test_a_camera_that_there_is_not_is_told_from_one_without_pictures(tmp_path: Path) -> None:
    control = Control(tmp_path)
    assert control.answer("explain", "c-1", camera="cam2").detail.startswith("cam2: no pictures")
    told = control.answer("explain", "c-2", camera="cma1").detail
    assert told == "unknown camera 'cma1'; did you mean cam1; there are cam1, cam2"


def test_an_acknowledgement_names_its_occurrence(control: Control) -> None:
    event_id = control.alarm.event_id
    assert control.ask("ack", "a", alarm_id=ALARM, event_id="s0-1") is CommandOutcome.STALE
    assert control.ask("ack", "b", alarm_id=ALARM, event_id=event_id) is CommandOutcome.DONE
    assert control.alarm.acked_by == "anna"
    assert control.ask("ack", "c", alarm_id=ALARM, event_id=event_id) is CommandOutcome.ALREADY
    assert control.ask("ack", "d", alarm_id="x", event_id=event_id) is CommandOutcome.UNKNOWN
    audited = control.store.database.rows("SELECT command_id, outcome FROM audit ORDER BY id DESC")
    assert audited == [("d", "unknown_alarm"), ("c", "already"), ("b", "done"), ("a", "stale")]


def test_the_same_command_twice_is_carried_out_once_also_over_a_restart(
    control: Control, tmp_path: Path
) -> None:
    assert control.ask("explain", camera="cam1") is CommandOutcome.DONE
    assert control.ask("explain", camera="cam1") is CommandOutcome.ALREADY
    assert control.explained == ["cam1"]
    control.store.close()
    again = Control(tmp_path, raised=False)
    assert again.ask("explain", camera="cam1") is CommandOutcome.ALREADY
    assert again.ask("explain", "c-2", camera="cam1") is CommandOutcome.DONE


def test_every_other_command_moves_its_lever(control: Control) -> None:
    ids = iter("bcdefghijk")
    assert control.ask("shelve", next(ids), alarm_id=ALARM, duration_s=60.0) is CommandOutcome.DONE
    assert control.alarm.shelved
    assert control.ask("unshelve", next(ids), alarm_id=ALARM) is CommandOutcome.DONE
    assert not control.alarm.shelved
    said = {"alarm_id": ALARM, "event_id": control.alarm.event_id, "text": "cable"}
    assert control.ask("comment", next(ids), **said) is CommandOutcome.DONE
    assert control.alarm.comment == "cable"
    assert control.ask("disable", next(ids), alarm_id=ALARM) is CommandOutcome.DONE
    assert control.alarm.state == "OUT_OF_SERVICE"
    assert control.ask("enable", next(ids), alarm_id=ALARM) is CommandOutcome.DONE
    assert control.ask("sampling", next(ids), period_s=7.0) is CommandOutcome.DONE
    assert control.periods == [7.0]
    assert control.ask("variety", next(ids), variety="Redhaven", lot="") is CommandOutcome.DONE
    assert (control.machine.variety, control.machine.lot) == ("Redhaven", None)
    misspelt = control.answer("variety", next(ids), variety="Redhavn", lot="")
    assert misspelt.outcome is CommandOutcome.DONE  # a new variety may run before it is charted
    assert "charts are held" in misspelt.detail
    assert "Redhaven" in misspelt.detail
    assert control.machine.origin is Origin.OPERATOR, "it names no fruit"
    assert control.machine.fruit_id == "4711"
    assert control.ask("explain", next(ids), camera="cam9") is CommandOutcome.REFUSED


def test_a_refused_command_is_only_written_down(control: Control) -> None:
    command = Command(
        "explain", "c-1", "anna", {"camera": "cam1"}, UTC_MS,
        refusal=CommandOutcome.EXPIRED, detail="issued 61 s ago",
    )  # fmt: skip
    result = control.handler(command)
    control.handler.audit(command, result)
    assert result.outcome is CommandOutcome.EXPIRED
    assert control.explained == []
    assert control.store.database.rows("SELECT detail FROM audit") == [("issued 61 s ago",)]


def test_alarms_come_back_after_a_restart_with_everything_that_was_known(
    control: Control, tmp_path: Path
) -> None:
    before = control.alarm
    control.ask("ack", "a", alarm_id=ALARM, event_id=before.event_id)
    control.ask("shelve", "b", alarm_id=ALARM, duration_s=600.0)
    before = control.alarm
    control.store.close()
    again = Control(tmp_path, raised=False, session="s2")
    (restored,) = again.persistence.restored()
    assert restored.transition == "initial"  # the state is said again; nothing has happened
    kept = ("alarm_id", "event_id", "state", "active", "acked", "acked_by", "count", "shelved",
            "active_since_ms", "shelved_until_ms", "seq")  # fmt: skip
    assert {key: getattr(restored, key) for key in kept} == {
        key: getattr(before, key) for key in kept
    }
    again.condition(beyond=True)
    assert again.alarm.event_id == before.event_id  # still the same occurrence
    again.now += 601
    (unshelved,) = again.manager.tick(again.now, again.utc_ms)
    assert (unshelved.transition, unshelved.seq) == ("unshelved", before.seq + 1)


def test_shelving_ends_by_itself_although_the_wall_clock_was_set_back(
    control: Control, tmp_path: Path
) -> None:
    control.ask("shelve", alarm_id=ALARM, duration_s=600.0)
    control.store.close()
    again = Control(tmp_path, raised=False)
    again.utc_ms -= 365 * 86_400_000
    again.persistence.restore()
    again.now += config.Alarms().shelve_max_s + 1
    assert [one.transition for one in again.manager.tick(again.now, again.utc_ms)] == ["unshelved"]


def test_a_state_that_cannot_be_read_is_a_loss_and_no_reason_not_to_start(
    control: Control, tmp_path: Path
) -> None:
    control.store.database.run(lambda c: c.execute("UPDATE alarm SET state = '{}'"))
    control.store.close()
    again = Control(tmp_path, raised=False)
    assert again.manager.current() == ()
    assert again.store.status().losses == 1


@pytest.mark.parametrize("name", ["shelve", "unshelve"])
def test_a_shelving_that_names_an_occurrence_is_for_that_one_alone(
    control: Control, name: str
) -> None:
    event_id = control.alarm.event_id
    if name == "unshelve":
        assert control.ask("shelve", "s", alarm_id=ALARM, duration_s=60.0) is CommandOutcome.DONE
    arguments = {"alarm_id": ALARM} | ({"duration_s": 60.0} if name == "shelve" else {})
    stale = control.ask(name, "a", event_id="s0-1", **arguments)
    assert (stale, control.alarm.shelved) == (CommandOutcome.STALE, name == "unshelve")
    assert control.ask(name, "b", event_id=event_id, **arguments) is CommandOutcome.DONE
    assert control.alarm.shelved is (name == "shelve")
