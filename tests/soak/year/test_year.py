"""The year's own parts: what it plants, what it expects, what it keeps, what it calls level."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agent.alarms.catalogue import Cause
from tests.soak.faults import Fault, Named, Table, read_faults
from tests.soak.year.book import Book, Entry, Reading
from tests.soak.year.cycles import cycles
from tests.soak.year.lines import LEAST, lines, log_grows
from tests.soak.year.planted import planted
from tests.soak.year.real.faults import PLANTINGS as REAL
from tests.soak.year.told import Beside, Said, unasked, untold
from tests.soak.year.virtual.faults import PLANTINGS as VIRTUAL

LEVEL = Reading("a", 100.0, 30, 10, 2, 500.0, 1000)


def test_what_is_planted_and_what_is_not_are_the_table() -> None:
    known, ids = planted(), {fault.id for fault in read_faults().faults}
    assert known.virtual | known.real | known.elsewhere.keys() == ids
    assert not (known.virtual | known.real) & known.elsewhere.keys()


@pytest.mark.parametrize("plantings", [VIRTUAL, REAL], ids=["virtual", "real"])
def test_what_a_planting_cannot_reach_stands_in_its_row(plantings: dict[str, object]) -> None:
    by_id = {fault.id: fault for fault in read_faults().faults}
    reach = ("charts_moving", "logits_not_finite", "picture_refused")  # of several rows together
    wrong = []
    for name, planting in plantings.items():
        row = by_id[name]
        named = {one.name for one in (*row.metrics, *row.log)}
        wrong += [
            f"{name}: {unseen}"
            for unseen in planting.unseen  # type: ignore[attr-defined]
            if unseen.partition("{")[0] not in named and unseen not in reach
        ]
    assert wrong == []


# --- cycles ---------------------------------------------------------------------------------------


def test_cycles_are_those_of_their_seed() -> None:
    names = [f"fault-{i}" for i in range(7)]
    assert list(cycles(names, 20, 3)) == list(cycles(list(reversed(names)), 20, 3))
    assert list(cycles(names, 20, 3)) != list(cycles(names, 20, 4))
    assert list(cycles(names, 5, 3)) == list(cycles(names, 20, 3))[:5]


@pytest.mark.parametrize("many", [2, 3, 8])
def test_every_fault_comes_equally_often_and_never_twice_in_a_cycle(many: int) -> None:
    names = [f"fault-{i}" for i in range(many)]
    pairs = list(cycles(names, 4 * many, 0))
    came = Counter(one for pair in pairs for one in (pair.first, pair.second))
    assert max(came.values()) - min(came.values()) <= 1
    assert all(pair.first != pair.second for pair in pairs)
    assert {pair.wake for pair in pairs} == {True, False}


def test_one_fault_makes_no_pair() -> None:
    with pytest.raises(ValueError, match="two faults are the least"):
        next(cycles(["alone"], 1, 0))


# --- the book -------------------------------------------------------------------------------------


def entry(number: int, reading: Reading = LEVEL, part: str = "virtual") -> Entry:
    return Entry(part, 0, number, "a", "b", wake=True, findings=("x",), reading=reading)


def test_a_run_that_was_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "year.jsonl"
    book = Book.open(file)
    assert book.next("virtual", 0) == 0
    for number in range(3):
        book.add(entry(number))
    book.add(entry(0, part="real"))
    again = Book.open(file)
    assert again.entries == book.entries
    assert (again.next("virtual", 0), again.next("real", 0), again.next("virtual", 1)) == (3, 1, 0)


def test_a_last_line_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "year.jsonl"
    book = Book.open(file)
    book.add(entry(0))
    book.add(entry(1))
    file.write_text(file.read_text()[:-40])
    again = Book.open(file)
    assert again.next("virtual", 0) == 1
    again.add(entry(1))
    assert Book.open(file).entries == book.entries


# --- what is said ---------------------------------------------------------------------------------

LOST = Fault(
    id="lost",
    where="camera",
    what="",
    kept="",
    alarms=(Cause.CAMERA_LOST,),
    metrics=(Named("camera_transitions", {"reason": "read_failed"}),),
    log=(Named("camera_state", {"state": "backoff"}),),
)
OTHER = Fault(
    id="other", where="broker", what="", kept="", metrics=(Named("broker_disconnects", {}),)
)
TABLE = Table((LOST, OTHER), {})


def said(reason: str = "read_failed") -> Said:
    labels = frozenset({("camera", "cam1"), ("reason", reason)})
    return Said(
        counted=Counter({("camera_transitions", labels): 1}),
        logged=[(logging.WARNING, "camera_state", {"state": "backoff", "camera": "cam1"})],
        rang={Cause.CAMERA_LOST},
    )


def test_what_the_row_says_and_nothing_else_is_all_right() -> None:
    assert list(untold(LOST, said(), {})) == []
    assert list(unasked([LOST], said(), [], TABLE)) == []


def test_what_is_not_said_is_named() -> None:
    assert list(untold(LOST, Said(), {})) == [
        "no alarm camera_lost",
        "metric camera_transitions{reason=read_failed} stands",
        "no event camera_state{state=backoff}",
    ]
    assert len(list(untold(LOST, said("silence"), {}))) == 1
    assert list(untold(LOST, said("silence"), {"camera_transitions": "why"})) == []


def test_what_is_said_without_a_fault_is_named() -> None:
    found = list(unasked([OTHER], said(), [], TABLE))
    assert [one.split()[:2] for one in found] == [
        ["alarm", "camera_lost,"],
        ["counter", "camera_transitions{'camera':"],
        ["event", "camera_state,"],
    ]
    beside = Beside({Cause.CAMERA_LOST: ""}, {"camera_transitions": ""}, {"camera_state": ""})
    assert list(unasked([OTHER], said(), [beside], TABLE)) == []


# --- what is held ---------------------------------------------------------------------------------


def of_a_life(mib_a_cycle: float, log_a_cycle: float = 100.0) -> list[Entry]:
    return [
        entry(
            i, Reading("a", 100 + mib_a_cycle * i + i % 3, 30, 10, 2, 500.0, int(log_a_cycle * i))
        )
        for i in range(3 * LEAST)
    ]


def test_what_comes_and_goes_is_level_and_what_grows_is_not() -> None:
    assert all(line.level for line in lines(of_a_life(0.0)))
    assert [line.name for line in lines(of_a_life(0.5)) if not line.level] == ["memory_mib"]


def test_a_life_of_a_few_cycles_has_no_line() -> None:
    assert lines(of_a_life(9.0)[:5]) == []


def test_a_log_that_grows_faster_and_faster_is_named() -> None:
    assert list(log_grows(of_a_life(0.0))) == []
    faster = [entry(i, Reading("a", 100, 30, 10, 2, 500.0, 100 * i**3)) for i in range(3 * LEAST)]
    assert len(list(log_grows(faster))) == 1


# --- a whole agent --------------------------------------------------------------------------------


def test_two_faults_in_virtual_time_are_told_as_the_table_says(tmp_path: Path) -> None:
    file = tmp_path / "year.jsonl"
    command = [sys.executable, "-m", "tests.soak.year.virtual", str(file), "--until", "1"]
    faults = ("--only", "camera-read-fails", "--only", "connection-cut")
    subprocess.run([*command, *faults], check=True, timeout=300)
    (only,) = Book.open(file).entries
    assert only.findings == ()
    assert only.alarms == (Cause.CAMERA_LOST,)
    assert only.virtual_s > 3600
