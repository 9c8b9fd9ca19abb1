"""Several processes share a scoring: the results of one, and nobody left behind."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from agent.ablation.core.errors import NullControlError
from agent.models.errors import ModelError
from agent.scoring import crew
from agent.scoring.crew import Crew, hands
from agent.scoring.errors import ScoringError
from agent.scoring.protocol import load_protocol
from agent.scoring.work import Assignment, Part, Population, Record, Shift, begin, set_threads
from tests.scoring.test_command import SETTINGS, Course
from tests.support import wait_until

pytestmark = pytest.mark.usefixtures("workers_forked")
FAULTS = ("--fault", "lamp_fade", "--fault", "control")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("crew"))


def scored(course: Course, faults: tuple[str, ...], processes: int) -> dict[str, Any]:
    result = course.run("--trial", *faults, processes=processes)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((course.folder / "out" / "score.json").read_text())
    return found


@pytest.mark.long
def test_two_processes_score_as_one_does_and_a_fault_named_twice_once(course: Course) -> None:
    found = scored(course, FAULTS, 1)
    assert [row["fault"] for row in found["faults"]] == ["lamp_fade", "control"]
    assert scored(course, (*FAULTS, *FAULTS), 2) == found


def assignment(folder: Path, course: Course, **model: Any) -> Assignment:
    settings = SETTINGS.model_copy(
        update={"model": SETTINGS.model.model_copy(update=model)} if model else {}
    )
    protocol = load_protocol(course.protocol).model_copy(update={"lots": 2, "lot_min": 0.1})
    return Assignment(settings, protocol, (course.reference,), folder)


def nothing(*_: object) -> None:
    pass


def children() -> list[int]:
    below = psutil.Process().children(recursive=True)
    return [one.pid for one in below if one.is_running() and one.name().startswith("score-")]


@pytest.mark.long
def test_days_and_shifts_are_the_same_whoever_replays_them(course: Course) -> None:
    changes = {"populations": 2, "shifts": 2, "days": 0.25}
    given = Assignment(
        SETTINGS,
        load_protocol(course.protocol).model_copy(update=changes),
        (course.reference,),
        course.bank,
    )
    parts: list[Part] = [*map(Population, range(2)), *map(Shift, range(2))]
    work = begin(given)
    found: dict[int, dict[Part, Any]] = {1: {}, 2: {}}
    for processes, results in found.items():
        with hands(work, given, processes) as doing:
            results |= doing.share(parts, nothing)
    assert found[1] == found[2]
    assert all(found[1][Population(number)].days > 0 for number in range(2))


@pytest.mark.long
def test_lots_recorded_by_two_are_those_that_one_records(
    course: Course, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    made = {}
    threads = torch.get_num_threads()
    set_threads(SETTINGS)
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    for processes in (1, 2):
        given = assignment(tmp_path / str(processes), course)
        work = begin(given)
        with hands(work, given, processes) as doing:
            list(doing.share([Record(one) for one in work.bank.lots("golden")], nothing))
        made[processes] = work.bank.read(work.bank.lots("golden"))
    assert len(made[1]) == len(made[2]) == 2
    for one, two in zip(made[1], made[2], strict=True):
        assert one.about == two.about
        assert len(one.mono) > 0
        assert (one.mono == two.mono).all()
        assert np.allclose(one.values, two.values, rtol=1e-4, atol=1e-4, equal_nan=True)
        assert (one.fruit == two.fruit).all()
        assert np.isfinite(one.explained).any()
        assert np.allclose(one.explained, two.explained, rtol=1e-3, atol=1e-3, equal_nan=True)
    assert not children()


def test_a_helper_that_is_killed_ends_the_scoring_with_its_reason(
    course: Course, tmp_path: Path
) -> None:
    given = assignment(tmp_path, course)
    work = begin(given)
    hands_of_two = Crew(given, 2)

    def kill_one() -> None:
        wait_until(lambda: len(children()) == 2, 60.0)
        os.kill(children()[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        with pytest.raises(ScoringError, match="a helping process is gone: killed by SIGKILL"):
            list(hands_of_two.share([Record(one) for one in work.bank.lots("golden")], nothing))
    finally:
        killer.join()
        hands_of_two.close()
    assert not children()


def test_what_a_helper_cannot_load_is_said_by_the_parent(course: Course, tmp_path: Path) -> None:
    given = assignment(tmp_path, course)
    work = begin(given)
    lost = assignment(tmp_path, course, path=tmp_path / "gone.safetensors")
    with (
        pytest.raises(ModelError, match=r"gone\.safetensors"),
        hands(work, lost, 2) as doing,
    ):
        list(doing.share([Record(one) for one in work.bank.lots("golden")], nothing))
    assert not children()


class Parent:
    """The other end of a helper's channel: one part to do, and what is answered, pickled."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.answers: list[bytes] = []

    def receive(self, _timeout_s: float) -> Part:
        return Population(0)

    def send(self, message: object) -> None:
        self.answers.append(pickle.dumps(message))


def test_an_error_with_arguments_of_its_own_reaches_the_parent(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_given: Assignment) -> None:
        raise NullControlError("the logits", 1.0, 0.1)

    monkeypatch.setattr(crew, "begin", refuses)
    monkeypatch.setattr(crew, "set_threads", nothing)
    parent = Parent()
    crew.helper(parent, assignment(tmp_path, course), {})  # type: ignore[arg-type]
    (answer,) = map(pickle.loads, parent.answers)
    assert isinstance(answer, ScoringError)
    assert "null control failed on the logits" in str(answer)


@pytest.mark.long
def test_a_killed_scoring_leaves_no_process(course: Course, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agent", "score-alarms", "--trial", "--processes", "2"]
    command += ["--config", str(course.config), "--reference", str(course.reference)]
    command += ["--bank", str(tmp_path / "bank"), "--out", str(tmp_path / "out")]
    command += ["--protocol", str(course.protocol)]
    scoring = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    listed = Path(f"/proc/{scoring.pid}/task/{scoring.pid}/children")
    try:
        wait_until(lambda: len(listed.read_text().split()) == 2, 60.0)
        helpers = [Path(f"/proc/{pid}") for pid in listed.read_text().split()]
    finally:
        scoring.kill()
        scoring.wait()
    wait_until(lambda: not any(helper.exists() for helper in helpers), 10.0)


def test_the_number_of_processes_is_checked(course: Course) -> None:
    result = course.run("--trial", processes=-1)
    assert result.exit_code == 2
    assert "processes" in result.output
