"""The configuration changed beside a running line: by signal, by command, and back."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from agent.cli import app
from tests.support import free_port, wait_until
from tests.support.running import RunningAgent

# Patient with a machine that does much else; that none at all is lost on a quiet one is shown by
# the long proof.
PATIENT = {
    "queue_slots": 64,
    "max_age_s": 60.0,
    "open_timeout_s": 120.0,
    "read_timeout_s": 60.0,
    "frozen_after_s": 60.0,
}


def camera(name: str, source: str = "sim:?rate=60") -> dict[str, Any]:
    return {"name": name, "source": source, **PATIENT}


class Told(NamedTuple):
    """What a command has said."""

    returncode: int
    stdout: str
    stderr: str


class Line:
    """A file, the agent that goes by it, and the command beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "line.yaml"
        self.values: dict[str, Any] = {
            "id": "pit1",
            "state_dir": "state",
            "cameras": [camera("cam1"), camera("cam2")],
            "http": {"port": free_port()},
            "mqtt": {"broker": "embedded", "embedded_port": 0},
            "ablation": {"workers": {"count": 0}},
        }
        self.write()
        self.agent = self.started(own_session=True)

    def started(self, **how: bool) -> RunningAgent:
        agent = RunningAgent(self.folder, "--config", str(self.file), http=False, **how)
        agent.port = self.values["http"]["port"]
        return agent

    def write(self, **sections: Any) -> None:
        self.values |= sections
        self.file.write_text(yaml.safe_dump(self.values))

    def reload(self, *options: str) -> Told:
        told = reload("-c", str(self.file), *options)
        self.answers()
        return told

    def answers(self) -> None:
        """Wait for the page: a process of its own, which may have been begun anew."""
        if self.agent.process.poll() is None:
            self.agent.wait(lambda: self.agent.get("/api/v1/status")[0] == 200, 180, "it answers")

    def dropped(self, camera: str) -> set[str]:
        """By which stage and for which reason, but for those of a machine that is too slow."""
        (found,) = (one for one in self.agent.status()["cameras"] if one["name"] == camera)
        return set(found["drops"]) - {f"capture/{one}" for one in ("overrun", "expired", "stale")}

    def delivers(self, camera: str) -> None:
        """Wait for five more frames of a camera."""
        seen = self.agent.books(camera).segmented
        self.agent.wait(lambda: self.agent.books(camera).segmented >= seen + 5, 180, camera)

    def hup(self) -> dict[str, str]:
        """Send SIGHUP; what was said of the reload that follows."""
        count = len(self.agent.events("config_reloaded"))
        self.agent.process.send_signal(signal.SIGHUP)
        self.agent.wait(
            lambda: len(self.agent.events("config_reloaded")) > count, 180, "it reloads"
        )
        self.answers()
        return self.agent.events("config_reloaded")[-1]


def reload(*arguments: str) -> Told:
    """The command, in this process."""
    done = CliRunner().invoke(app, ["reload", *arguments])
    return Told(done.exit_code, done.stdout, done.stderr)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    one = Line(tmp_path)
    try:
        one.agent.wait_ready(240)
        yield one
    finally:
        one.agent.close()


@pytest.mark.long
@pytest.mark.timeout(600)  # on a machine that does much else
def test_a_line_is_changed_while_it_runs(line: Line) -> None:
    agent = line.agent
    line.delivers("cam1")
    before = agent.status()
    assert before["config_changed_by"] == "start"

    # by signal: one camera goes, one comes, a limit is another
    cameras = line.values["cameras"]
    line.write(
        cameras=[cameras[0], camera("cam3")],
        alarms={"limits": {"no_read_rate": 0.35}},
    )
    assert line.hup()["result"] == "applied"
    status = agent.status()
    assert [camera["name"] for camera in status["cameras"]] == ["cam1", "cam3"]
    assert status["limits"]["no_read_rate"] == 0.35
    assert (status["config_changed_by"], status["config_hash_before"]) == (
        "SIGHUP",
        before["config_hash"],
    )
    assert status["config_hash"] != before["config_hash"]
    line.delivers("cam3")
    line.delivers("cam1")
    assert (line.dropped("cam1"), line.dropped("cam3")) == (set(), set())
    agent.wait(lambda: agent.total("pitwatch_frames_captured_total", camera="cam2") == 0, 180, "")
    assert {alarm["camera_id"] for alarm in agent.status()["alarms"]} == {"agent", "cam1", "cam3"}

    # by command: a file of mistakes is refused, with all of them, and nothing is touched
    good = line.file.read_text()
    line.file.write_text(good + "sampling: {period_s: -1}\nmqqt: {}\n")
    refused = line.reload()
    assert refused.returncode == 78
    assert "sampling.period_s: -1 is not allowed" in refused.stderr
    assert "did you mean mqtt?" in refused.stderr
    assert "2 errors; the agent runs on as it did" in refused.stderr
    line.file.write_text(good)
    same = line.reload()
    assert (same.returncode, "nothing has changed" in same.stdout) == (0, True)

    # a camera that does not open is told, and takes nothing from the others
    line.write(cameras=[*line.values["cameras"], camera("away", "rtsp://127.0.0.1:1/none")])
    away = line.reload()
    assert away.returncode == 1
    assert "cameras[away]: - -> " in away.stdout
    assert re.search(r"camera away: (backoff|connecting) \(", away.stdout)
    line.delivers("cam1")
    assert line.dropped("cam1") == set()

    # what needs a restart is told, and stays as it is
    line.write(site={"line": "other"}, sampling={"period_s": 5.0})
    partly = line.reload()
    assert partly.returncode == 1
    assert 'site.line: "line" -> "other" (needs a restart)' in partly.stdout
    assert "sampling.period_s: 2.0 -> 5.0 (at once)" in partly.stdout
    effective = yaml.safe_load(line.reload("--effective").stdout)
    assert (effective["site"]["line"], effective["sampling"]["period_s"]) == ("line", 5.0)

    # every result was counted, the books are closed, and the next start knows who it was
    results = {
        result: agent.total("pitwatch_config_reloads_total", result=result)
        for result in ("applied", "refused", "unchanged", "partly")
    }
    assert results == {"applied": 2, "refused": 1, "unchanged": 1, "partly": 1}
    last = agent.status()
    assert agent.stop()[0] == 0
    for name, book in agent.final_books().items():
        assert book["captured"] == book["segmented"] + book["dropped"], name
        assert book["in_flight"] == 0
    line.write(site={"line": "line"})
    line.agent = line.started(forked=True)
    line.agent.wait_ready(240)
    again = line.agent.status()
    for key in ("config_hash", "config_changed_by", "config_changed_utc_ms"):
        assert again[key] == last[key]
    assert again["config_changed_by"].startswith("uid ")
    line.agent.stop()
    wait_until(lambda: not (line.folder / "state" / "control.sock").exists(), 10)
    nobody = line.reload()
    assert nobody.returncode == 1
    assert "no agent runs with this state_dir" in nobody.stderr


def test_of_a_file_nothing_of_which_can_be_read_the_command_says_where_to_ask(
    tmp_path: Path,
) -> None:
    file = tmp_path / "line.yaml"
    for text, code, said in (
        ("cameras: [", 78, "line"),
        ("mqtt: {broker: none}\n", 78, "state_dir is not set"),
    ):
        file.write_text(text)
        done = reload("-c", str(file))
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_an_answer_is_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    from agent.cli.reload import _tell

    answer = {
        "result": "failed",
        "well": False,
        "source": "a.yaml",
        "keys": [
            {"key": "a.b", "before": "1", "after": "2", "needs": "workers", "in_force": False}
        ],
        "cameras": [],
        "warnings": ["w"],
        "problems": ["no such device"],
        "config_hash": "",
        "seconds": 0.1,
    }
    assert _tell(json.loads(json.dumps(answer))) == 1
    said = capsys.readouterr()
    assert said.out == "a.b: 1 -> 2 (taken back)\n"
    assert "a.yaml: failed; the agent runs on as it did\n  no such device" in said.err
