"""Which variety and lot run: said by whom, and still in force after a restart."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.alarms.watch import Watch
from agent.config import Alarms
from agent.pipeline.running_word import NAME, SAVE_EVERY_S, InForce, RunningWord
from agent.records import MachineInfo, MachineState, Origin, StorageCause
from agent.storage.file import opening
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.alarms.references import reference
from tests.storage.hanging import hangs_at_the_start
from tests.support import wait_until

LANES = ("left", "right")
UTC_MS = 1_760_000_000_000
REFERENCES = {"golden": reference(()), "blush": reference((), variety="blush")}


class Line:
    """A line whose agent can be restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.utc_ms = folder, 100.0, UTC_MS
        self.start()

    def start(self, lanes: tuple[str, ...] = LANES, references: Iterable[str] = REFERENCES) -> None:
        self.store = Store(self.folder, NullTelemetry())
        self.word = RunningWord(self.store.kept, lanes, tuple(references), lambda: self.now)
        self.word.restore()
        self.restored = self.word.heard()

    def restart(
        self, lanes: tuple[str, ...] = LANES, references: Iterable[str] = REFERENCES
    ) -> None:
        self.word.save()
        self.store.close()
        self.now += 50.0
        self.start(lanes, references)

    def say(self, origin: Origin = Origin.MACHINE, **said: Any) -> MachineInfo:
        self.utc_ms += 1000
        info = MachineInfo(MachineState.RUNNING, received_utc_ms=self.utc_ms, origin=origin, **said)
        return self.word.take(info)

    def operator(self, variety: str, lot: str | None = None) -> None:
        self.say(Origin.OPERATOR, variety=variety, lot=lot)

    def runs(self) -> list[tuple[str, str, str]]:
        return [(one.variety, one.lot, one.origin) for one in self.word.in_force()]


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(tmp_path)


@pytest.mark.parametrize("origin", [Origin.OPERATOR, Origin.MACHINE, Origin.STORED])
def test_a_word_is_in_force_after_a_restart_with_its_time_and_origin(
    line: Line, origin: Origin
) -> None:
    line.say(origin, variety="blush", lot="L-7")
    said_ms = line.utc_ms
    line.say(origin, variety="blush", lot="L-7")  # again: no other word
    line.restart()
    by = "operator" if origin is Origin.OPERATOR else "machine"
    assert line.word.in_force() == [InForce(lane, "blush", "L-7", by, said_ms) for lane in LANES]
    (info,) = line.restored
    assert (info.variety, info.lot, info.lane) == ("blush", "L-7", None)
    assert (info.received_utc_ms, info.arrived_mono) == (said_ms, line.now)
    assert info.fruit_id is None
    assert info.origin is (Origin.OPERATOR if by == "operator" else Origin.STORED)


def test_charts_of_several_references_go_on_after_a_restart(line: Line) -> None:
    line.operator("blush")
    line.restart()
    watch = Watch(Alarms(), LANES, REFERENCES)
    assert {charts.held for charts in watch.charts().values()} == {
        "no variety is announced, and there are several"
    }
    for info in line.restored:
        watch.on_machine(info)
    assert {charts.held for charts in watch.charts().values()} == {""}


def test_the_newest_word_counts(line: Line) -> None:
    line.operator("blush", "A")
    line.say(variety="golden", lot="B")
    assert line.runs() == [("golden", "B", "machine")] * 2
    line.operator("blush")
    line.restart()
    assert line.runs() == [("blush", "", "operator")] * 2


def test_a_machine_that_does_not_know_the_variety_takes_nothing_back(line: Line) -> None:
    line.operator("blush", "A")
    line.say(fruit_id="f1")
    line.restart()
    line.say(fruit_id="f2")
    assert line.runs() == [("blush", "A", "operator")] * 2
    shown = line.word.shown(MachineInfo(MachineState.RUNNING, fruit_id="f2"))
    assert (shown.variety, shown.lot, shown.fruit_id) == ("blush", "A", "f2")


def test_a_lot_alone_leaves_the_variety(line: Line) -> None:
    line.operator("blush", "A")
    line.say(lot="B")
    line.restart()
    assert line.runs() == [("blush", "B", "operator")] * 2


def test_what_a_broker_hands_over_is_older_than_the_operators_word_unless_it_is_new(
    line: Line,
) -> None:
    line.say(variety="golden", lot="L-1")
    line.operator("blush")
    for _ in range(2):  # at a connect of the same start, and of the next one
        kept = line.say(Origin.STORED, variety="golden", lot="L-1")
        assert (kept.variety, kept.lot, kept.state) == (None, None, MachineState.RUNNING)
        assert line.runs() == [("blush", "", "operator")] * 2
        line.restart()
    assert line.say(Origin.STORED, variety="golden", lot="L-2").lot == "L-2"
    assert line.runs() == [("golden", "L-2", "machine")] * 2


def test_the_same_word_said_live_is_new(line: Line) -> None:
    line.say(variety="golden")
    line.operator("blush")
    assert line.say(variety="golden").variety == "golden"
    assert line.runs() == [("golden", "", "machine")] * 2


def test_each_lane_may_have_its_own_word_until_one_is_said_for_all(line: Line) -> None:
    line.operator("blush")
    line.say(lane="left", variety="golden")
    line.restart()
    assert line.runs() == [("golden", "", "machine"), ("blush", "", "operator")]
    assert [(info.lane, info.variety) for info in line.restored] == [
        (None, "blush"),
        ("left", "golden"),
    ]
    line.operator("blush")
    line.restart()
    assert line.runs() == [("blush", "", "operator")] * 2
    assert [info.lane for info in line.restored] == [None]


def test_a_lane_that_is_new_runs_what_all_run_and_one_that_is_gone_is_forgotten(line: Line) -> None:
    line.operator("blush")
    line.say(lane="left", variety="golden")
    line.restart(("right", "third"))
    assert line.runs() == [("blush", "", "operator")] * 2
    unknown = line.say(lane="left", variety="golden")
    assert unknown.variety == "golden"
    assert line.runs() == [("blush", "", "operator")] * 2


@pytest.mark.parametrize(
    ("references", "runs", "level", "charts"),
    [
        ({}, ("", "", "nobody"), "INFO", "none configured"),
        (("golden",), ("golden", "", "configuration"), "INFO", "at work"),
        (
            ("golden", "blush"),
            ("", "", "nobody"),
            "WARNING",
            "they rest: no variety was announced, and there are several references",
        ),
    ],
)
def test_until_somebody_says_it_the_configuration_does_where_it_has_one_variety(
    line: Line,
    caplog: pytest.LogCaptureFixture,
    references: Any,
    runs: tuple[str, str, str],
    level: str,
    charts: str,
) -> None:
    line.restart(references=references)
    assert line.runs() == [runs] * 2
    assert said_at_start(line, caplog) == [(level, charts)] * 2


@pytest.mark.parametrize("references", [("golden",), ("golden", "amber")])
def test_a_configuration_that_changed_meanwhile_changes_nothing_of_what_runs_and_is_told(
    line: Line, caplog: pytest.LogCaptureFixture, references: tuple[str, ...]
) -> None:
    line.operator("blush")
    line.restart(references=references)
    assert line.runs() == [("blush", "", "operator")] * 2
    charts = "they rest: alarms.reference has no file of variety blush"
    assert said_at_start(line, caplog) == [("WARNING", charts)] * 2


def test_charts_can_judge_a_lane_until_the_reference_of_its_variety_is_taken_out(
    line: Line,
) -> None:
    line.say(lane="left", variety="golden")
    line.say(lane="right", variety="amber")  # which never had one: its charts rest meanwhile
    line.restart()
    assert line.word.charted() == ["left", "right"]
    line.restart(references=("blush",))
    assert line.word.charted() == ["right"]
    line.restart(references=())
    assert line.word.charted() == []


def said_at_start(line: Line, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    with caplog.at_level(logging.INFO, "agent.pipeline.running_word"):
        line.word.say()
    said = [one for one in caplog.records if one.getMessage() == "running_word"]
    return [(one.levelname, one.fields["charts"]) for one in said]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"version": 2, "words": {}, "machine": {}}, "version"),
        ({"words": {"": {"variety": 3}}, "machine": {}}, "words"),
        ([], "running_word"),
    ],
)
def test_a_word_that_cannot_be_read_costs_itself_and_is_named(
    line: Line, caplog: pytest.LogCaptureFixture, state: Any, place: str
) -> None:
    line.store.kept.put(NAME, state, lambda: None)
    with caplog.at_level(logging.WARNING, "agent.pipeline.running_word"):
        line.word.restore()
    assert line.word.heard() == []
    (said,) = [one for one in caplog.records if one.getMessage() == "running_word_unreadable"]
    assert place in said.fields["detail"]  # type: ignore[attr-defined]
    line.operator("blush")
    line.restart()
    assert line.runs() == [("blush", "", "operator")] * 2


def test_a_start_that_cannot_read_the_word_does_not_write_over_it(line: Line) -> None:
    """A disk that hangs at the start: memory joins the file later."""
    line.word.save()
    assert line.store.kept.get(NAME) is None


def test_bytes_that_are_no_json_are_as_if_nothing_was_kept(line: Line) -> None:
    line.store.database.run(
        lambda connection: connection.execute("INSERT INTO kept VALUES (?, 'no json')", (NAME,))
    )
    assert line.store.kept.get(NAME) is None
    line.word.restore()
    assert line.word.heard() == []


def test_a_machine_that_keeps_changing_its_mind_is_written_once_a_second(line: Line) -> None:
    def kept() -> str:
        found: Any = line.store.kept.get(NAME)
        return str(found["words"][""]["variety"])

    line.say(variety="v0")
    line.word.save(now=False)
    written = kept()
    for i in range(1, 50):
        line.say(variety=f"v{i}")
        line.word.save(now=False)
    assert (written, kept()) == ("v0", "v0")
    line.now += SAVE_EVERY_S
    line.word.save(now=False)
    assert kept() == "v49"


def test_a_word_whose_transaction_was_undone_is_written_by_the_next(line: Line) -> None:
    line.operator("blush")

    def fails(_connection: object) -> None:
        line.word.save()
        raise RuntimeError("the rest of the work")

    with pytest.raises(RuntimeError):
        line.store.database.run(fails)
    assert line.store.kept.get(NAME) is None
    line.restart()
    assert line.runs() == [("blush", "", "operator")] * 2


def test_a_word_that_was_said_while_memory_stood_in_for_the_disk_is_in_the_file_later(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator's word while the disk was full was forgotten at the next restart."""
    line.operator("golden")
    line.word.save()
    disk = line.store.database._disk
    assert disk is not None
    disk.take_over(StorageCause.DISK_HANGS, "no answer")
    line.operator("blush", "L 9")
    line.word.save()
    monkeypatch.setattr(disk, "_is_due", lambda: True)
    wait_until(lambda: not line.store.status().degraded, 30, "back on the disk")
    line.store.close()  # as a kill: nothing is said or saved in between
    line.start()
    assert line.runs() == [("blush", "L 9", "operator")] * 2


def test_a_word_is_written_again_where_another_file_has_taken_the_place_of_a_damaged_one(
    line: Line,
) -> None:
    line.operator("golden")
    line.word.save()
    healthy = [True]

    def damaged(_connection: object) -> None:
        if healthy and healthy.pop():
            raise opening.corrupt("database disk image is malformed")

    line.store.database.run(damaged)
    assert line.store.kept.get(NAME) is None
    line.now += SAVE_EVERY_S
    line.word.save(now=False)
    line.store.close()
    line.start()
    assert line.runs() == [("golden", "", "operator")] * 2


def test_a_word_in_a_file_that_could_not_be_read_at_the_start_is_in_force_once_it_can(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing had been said since the start, which took the place of what the file had."""
    line.operator("blush", "L 9")
    line.word.save()
    line.store.close()
    answers = hangs_at_the_start(monkeypatch)
    line.start()
    assert (line.restored, line.runs()) == ([], [("", "", "nobody")] * 2)
    line.word.save()
    assert line.word.recovered() == []
    answers.set()
    wait_until(lambda: not line.store.status().degraded, 30, "back on the disk")
    monkeypatch.undo()
    (heard,) = line.word.recovered()
    assert (heard.variety, heard.lot, heard.origin) == ("blush", "L 9", Origin.OPERATOR)
    assert line.word.recovered() == []
    line.restart()
    assert line.runs() == [("blush", "L 9", "operator")] * 2


def test_a_word_said_before_the_file_could_be_read_is_newer_than_the_one_in_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.operator("blush")
    line.word.save()
    line.store.close()
    answers = hangs_at_the_start(monkeypatch)
    line.start()
    line.operator("golden")
    line.word.save()
    answers.set()
    wait_until(lambda: not line.store.status().degraded, 30, "back on the disk")
    monkeypatch.undo()
    assert line.word.recovered() == []
    line.restart()
    assert line.runs() == [("golden", "", "operator")] * 2
