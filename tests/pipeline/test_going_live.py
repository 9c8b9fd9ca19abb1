"""Another model in force in an agent whose stages are real: what each of them is told."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline.agent import Agent
from agent.pipeline.going_live import go_live, live_model
from agent.pipeline.model_swap.prepared import first_model, key_of, prepare
from agent.pipeline.model_swap.state import Chosen, State, StateFile
from agent.records import LinkStatus
from tests.soak.promote import second_model


class Told:
    """A sink that remembers which model it was told of."""

    def __init__(self) -> None:
        self.models: list[tuple[str, str]] = []

    stop_limit_s = 0.1

    def stop(self, _timeout_s: float) -> bool:
        return True

    def link(self) -> LinkStatus:
        return LinkStatus(connected=True, protocol="5", reason="", since_mono=0.0)

    def model(self, name: str, sha256: str) -> None:
        self.models.append((name, sha256))


def settings(folder: Path, **more: object) -> config.Config:
    return config.Config(
        cameras=({"name": "cam1", "source": "sim:?rate=1"},),
        ablation={"workers": {"count": 0}},
        http={"enabled": False},
        mqtt={"broker": "none"},
        state_dir=folder,
        **more,
    )


def test_every_stage_is_told_and_a_rollback_tells_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = PrometheusTelemetry(CollectorRegistry(), time.monotonic)
    asked = settings(tmp_path)
    agent = Agent(asked, "0" * 64, telemetry)
    stages, told = agent._stages, Told()
    stages.sinks = (told,)  # type: ignore[assignment]
    # The threads of the agent do not run: what the alarms' is asked for is done here.
    monkeypatch.setattr(stages.alarm_loop.errands, "do", lambda work, _timeout_s: work())
    stages.alarm_loop.watch.on_live_model(live_model(stages.prepared))
    first = stages.prepared
    chosen = Chosen(settings=config.Model(path=second_model(tmp_path / "given")))
    second = prepare(asked, chosen, time.monotonic)
    assert second.model.sha256 != first.model.sha256
    for one in (second, first):
        go_live(stages, telemetry, one)
        sha256 = one.model.sha256
        assert stages.segmenter.current is one.segmenter
        assert stages.identity.model_sha256 == sha256
        assert agent.view().model_name == one.model.name
        assert telemetry.breakdown("info", ("model_sha256",)) == {sha256: 1.0}
        assert told.models[-1] == (one.model.name, sha256)
        live = stages.alarm_loop.watch._live
        assert live is not None
        assert live.sha256 == sha256
    agent.stop()


def start(folder: Path, **more: object) -> str:
    """The name of the model that an agent with this state would start with."""
    return first_model(settings(folder, **more), time.monotonic).model.name


@pytest.mark.long
def test_a_start_runs_what_was_promoted_until_the_configuration_names_another_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, shipped = second_model(tmp_path / "given"), "peach-sim-unet8"
    asked = settings(tmp_path)
    promoted = prepare(asked, Chosen(settings=config.Model(path=path)), time.monotonic).chosen
    file = StateFile(tmp_path)
    file.write(State(key=key_of(asked), running=promoted))
    assert start(tmp_path) == "second"
    assert start(tmp_path, model={"layer": "encoder3.enc3relu2"}) == shipped
    assert file.read().running is None
    assert file.read().previous == promoted, "what a rollback brings back"
    assert "model_chosen" in [record.message for record in caplog.records]


def test_a_promoted_model_whose_file_is_another_one_is_not_run(tmp_path: Path) -> None:
    path = second_model(tmp_path / "given")
    asked = settings(tmp_path)
    promoted = prepare(asked, Chosen(settings=config.Model(path=path)), time.monotonic).chosen
    StateFile(tmp_path).write(State(key=key_of(asked), running=promoted))
    path.write_bytes(b"overwritten")
    assert start(tmp_path) == "peach-sim-unet8"
    (change,) = StateFile(tmp_path).read().changes
    assert "cannot be used" in change.why


def test_the_content_of_a_configured_file_counts_and_that_of_the_shipped_one_does_not(
    tmp_path: Path,
) -> None:
    path = second_model(tmp_path / "given")
    named = settings(tmp_path, model={"path": str(path)})
    before = key_of(named)
    path.write_bytes(b"another")
    assert key_of(named) != before
    assert key_of(settings(tmp_path)) == key_of(settings(tmp_path, model={"threads": 2}))
