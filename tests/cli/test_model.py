"""``pitwatch model``: what a person asks for, and what he is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.supervision.control.protocol import Peer
from agent.supervision.control.server import ControlServer
from agent.telemetry import NullTelemetry
from tests.pipeline.model_swap.support import Plant, weights
from tests.support import wait_until

LIMIT_S = 60.0


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def pitwatch(plant: Plant) -> Iterator[Callable[..., tuple[int, str]]]:
    """The command against a real socket, behind which that plant's models are changed."""
    state = plant.folder / "state"

    def stage(arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        return plant.stage(Path(str(arguments["path"])))

    handlers = {**plant.swap.handlers, "model.stage": stage}
    server = ControlServer(state, handlers, NullTelemetry())
    server.start()
    wait_until(lambda: (state / "control.sock").exists(), LIMIT_S, "the socket")

    def run(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["model", *words, "--state-dir", str(state)])
        return found.exit_code, found.output

    yield run
    server.stop(LIMIT_S)


def test_from_staging_to_promotion_and_back(
    plant: Plant, pitwatch: Callable[..., tuple[int, str]]
) -> None:
    code, said = pitwatch("stage", str(weights(plant.folder / "given")))
    assert code == 0, said
    assert "staged    bbbb bbbbbbbbbbbb" in said
    code, said = pitwatch("promote")
    assert code == 1
    assert "not audited yet" in said
    plant.pictures(40)
    code, said = pitwatch("status")
    assert "Dice of suture: 0.900" in said
    assert "audit     passed: share of the background" in said
    code, said = pitwatch("promote")
    assert (code, said.splitlines()[0].split()[1]) == (0, "bbbb")
    assert "by promotion" in said
    code, said = pitwatch("rollback")
    assert (code, said.splitlines()[0].split()[1]) == (0, "aaaa")
    assert pitwatch("discard")[0] == 0


def test_scripts_get_everything_as_json(pitwatch: Callable[..., tuple[int, str]]) -> None:
    code, said = pitwatch("status", "--json")
    assert code == 0
    assert json.loads(said)["decided_by"] == "configuration"


def test_a_refusal_is_told_and_the_exit_code_is_one(
    plant: Plant, pitwatch: Callable[..., tuple[int, str]]
) -> None:
    code, said = pitwatch("stage", str(plant.folder / "none.safetensors"))
    assert code == 1
    assert "none.safetensors: cannot be read" in said


def test_where_no_agent_runs_that_is_said(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["model", "status", "--state-dir", str(tmp_path)])
    assert found.exit_code == 1
    assert "no agent runs with this state_dir" in found.output


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("mqtt: {broker: none}\n", 78, "state_dir is not set"),
        ("state_dir: /none\nmqtt: {broker: none}\nwrong: 1\n", 1, "no agent runs"),
        ("{", 78, "line 1"),
    ],
)
def test_the_state_folder_comes_from_the_configuration_also_from_one_with_a_mistake(
    tmp_path: Path, text: str, code: int, words: str
) -> None:
    config = tmp_path / "pitwatch.yaml"
    config.write_text(text)
    found = CliRunner().invoke(app, ["model", "status", "--config", str(config)])
    assert found.exit_code == code, found.output
    assert words in found.output
