"""Staging, promoting and taking back, and a kill at every step of it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agent.models.errors import ModelError
from agent.pipeline.model_swap.messages import Audited, Refused
from agent.pipeline.model_swap.state import Phase, StateFile
from agent.supervision.control.protocol import RefusedError
from tests.pipeline.model_swap.support import (
    FIRST,
    Killed,
    Plant,
    finding,
    loaded_as,
    weights,
)

SECOND = "b" * 64


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return weights(tmp_path / "given")


def test_a_model_goes_from_loading_over_audit_and_shadow_to_live_and_back(
    plant: Plant, file: Path
) -> None:
    plant.stage(file)
    assert plant.phase == Phase.AUDIT
    plant.pictures(14)
    assert plant.phase == Phase.SHADOW
    plant.pictures(8)
    assert plant.phase == Phase.READY
    assert plant.live == []
    plant.ask("promote")
    assert plant.live == [SECOND]
    assert plant.ask("status")["decided_by"] == "promotion"
    plant.ask("rollback")
    assert plant.live == [SECOND, FIRST]
    assert plant.ask("status")["decided_by"] == "configuration"
    plant.ask("promote")  # the one that was taken back is staged with what is known of it
    assert plant.live == [SECOND, FIRST, SECOND]


def test_two_rollbacks_lead_to_where_one_was_and_leave_nothing_staged_beside_itself(
    plant: Plant, file: Path
) -> None:
    plant.stage(file)
    plant.pictures(22)
    for order in ("promote", "rollback", "rollback"):
        plant.ask(order)
    assert plant.live == [SECOND, FIRST, SECOND]
    assert plant.ask("status")["staged"] is None
    with pytest.raises(RefusedError, match="no model is staged"):
        plant.ask("promote")
    plant.ask("rollback")
    assert plant.live[-1] == FIRST


def test_the_report_says_how_they_compare(plant: Plant, file: Path) -> None:
    plant.ready(file)
    staged = plant.ask("status")["staged"]
    assert isinstance(staged, dict)
    shadow = staged["shadow"]
    assert shadow["dice"] == {"suture": pytest.approx(0.9)}
    assert shadow["angle_apart_deg"]["p95"] == 1.5  # 1.2 degrees, in its bin of half a degree
    assert shadow["no_read_rate"] == {"live": 0.0, "staged": 0.0}
    assert staged["cost_ms"] == {"live": 10.0, "staged": 8.0}
    page = Path(staged["report"])
    assert "at most 0.5" in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text())["shadow"]["dice"] == shadow["dice"]


def test_who_changed_what_is_kept(plant: Plant, file: Path) -> None:
    plant.ready(file)
    plant.ask("promote")
    changes = plant.ask("status")["changes"]
    assert isinstance(changes, list)
    assert [(one["action"], one["by_uid"]) for one in changes] == [
        ("staged", 1000),
        ("promoted", 1000),
    ]
    assert (changes[-1]["was"], changes[-1]["now"]) == (FIRST, SECOND)


# --- what is refused -----------------------------------------------------------------------------


def test_a_model_that_cannot_be_loaded_is_refused_at_once(plant: Plant, file: Path) -> None:
    plant.fate.loaded = lambda _args: Refused("second.safetensors: NaN in enc1")
    with pytest.raises(RefusedError, match="NaN in enc1"):
        plant.stage(file)
    assert plant.phase == Phase.REFUSED
    with pytest.raises(RefusedError, match="is refused: second"):
        plant.ask("promote", early=True)
    assert plant.live == []
    assert plant.fate.started[-1].ended


def test_a_model_of_another_kind_is_refused(plant: Plant, file: Path) -> None:
    plant.fate.loaded = loaded_as(SECOND, classes=())
    with pytest.raises(RefusedError, match="other classes"):
        plant.stage(file)


def test_a_model_worse_than_the_audits_limits_is_refused(plant: Plant, file: Path) -> None:
    plant.fate.audited = Audited((finding(passed=True), finding(passed=False)), 8.0, 10.0)
    plant.stage(file)
    plant.pictures(20)
    assert plant.phase == Phase.REFUSED
    with pytest.raises(RefusedError, match=r"0\.9, at most 0\.5"):
        plant.ask("promote", early=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "name the file"),
        ({"path": "second.safetensors"}, "no absolute path"),
        ({"path": 7}, "path: no text"),
        ({"path": "/x.safetensors", "varieties": "golden"}, "no list of texts"),
        ({"path": "/x.safetensors", "colour": "red"}, "unknown argument colour"),
        ({"path": "/none/x.safetensors"}, "cannot be read"),
        ({"path": "/none/x.ts"}, "is a program"),
        ({"path": "/none/x.ts", "trust": "program"}, "sha256"),
        ({"path": "/none/x.pt2", "trust": "blindly", "sha256": "0" * 64}, "trust"),
    ],
)
def test_an_order_that_makes_no_sense_changes_nothing(
    plant: Plant, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(RefusedError, match=words):
        plant.ask("stage", **arguments)
    assert plant.phase == ""


def test_a_reference_that_is_none_is_refused_with_its_name(
    plant: Plant, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "golden.json").write_text("{}")
    with pytest.raises(RefusedError, match=r"golden\.json: not a reference"):
        plant.ask("stage", path=str(file), references=[str(tmp_path / "golden.json")])


def test_nothing_is_promoted_before_its_time_unless_that_is_asked_for(
    plant: Plant, file: Path
) -> None:
    with pytest.raises(RefusedError, match="no model is staged"):
        plant.ask("promote")
    plant.stage(file)
    with pytest.raises(RefusedError, match="not audited yet"):
        plant.ask("promote", early=True)
    plant.pictures(15)
    with pytest.raises(RefusedError, match="still in the shadow"):
        plant.ask("promote")
    plant.ask("promote", early=True)
    assert plant.live == [SECOND]


def test_there_is_nothing_to_go_back_to_before_a_promotion(plant: Plant) -> None:
    with pytest.raises(RefusedError, match="no model to go back to"):
        plant.ask("rollback")


def test_a_model_that_cannot_be_loaded_any_more_leaves_the_live_one(
    plant: Plant, file: Path
) -> None:
    plant.ready(file)
    plant.prepare_fails = ModelError("second.safetensors: its content has changed")
    with pytest.raises(RefusedError, match="content has changed"):
        plant.ask("promote")
    assert plant.live == []
    assert plant.phase == Phase.READY


def test_a_disk_that_does_not_take_it_leaves_everything_as_it_was(
    plant: Plant, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.ready(file)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.pipeline.model_swap.state.whole_file", full)
    with pytest.raises(RefusedError, match=r"nothing was changed: .*No space left"):
        plant.ask("promote")
    assert plant.live == []
    assert plant.phase == Phase.READY


def test_two_changes_at_once_are_one_and_a_refusal(plant: Plant, file: Path) -> None:
    plant.ready(file)
    with plant.swap._one_change(), pytest.raises(RefusedError, match="under way"):
        plant.ask("promote")
    plant.ask("promote")
    assert plant.live == [SECOND]


def test_what_is_staged_can_be_forgotten(plant: Plant, file: Path) -> None:
    with pytest.raises(RefusedError, match="no model is staged"):
        plant.ask("discard")
    plant.ready(file)
    plant.ask("discard")
    assert plant.phase == ""


# --- the shadow ----------------------------------------------------------------------------------


def test_only_fruit_of_the_varieties_asked_for_are_looked_at(plant: Plant, file: Path) -> None:
    plant.stage(file, varieties=["golden"])
    plant.pictures(20, variety="red")
    assert plant.phase == Phase.AUDIT
    plant.pictures(20, variety="golden")
    assert plant.phase in (Phase.SHADOW, Phase.READY)


def test_a_picture_that_the_staged_model_fails_on_is_counted_and_costs_nothing_else(
    plant: Plant, file: Path
) -> None:
    plant.fate.fails = True
    plant.stage(file)
    plant.pictures(30)
    staged = plant.ask("status")["staged"]
    assert isinstance(staged, dict)
    assert staged["shadow"]["failed"] > 5
    assert staged["phase"] == Phase.SHADOW, "it has not seen enough"


def test_a_process_that_keeps_ending_is_refused_and_one_that_ended_once_is_not(
    plant: Plant, file: Path
) -> None:
    plant.stage(file)
    plant.fate.dies = True
    plant.pictures(1)
    plant.fate.dies = False
    plant.pictures(40)
    assert plant.phase == Phase.READY
    plant.ask("discard")
    plant.stage(weights(file.parent, "third"))
    plant.fate.dies = True
    plant.pictures(30)
    assert plant.phase == Phase.REFUSED


def test_a_process_that_grows_too_large_is_ended(plant: Plant, file: Path) -> None:
    plant.stage(file)
    plant.fate.rss_bytes = 2 << 30
    plant.pictures(30)
    staged = plant.ask("status")["staged"]
    assert isinstance(staged, dict)
    assert "1024 MiB of memory" in staged["refused_because"]


def test_a_suspended_machine_makes_no_process_late(plant: Plant, file: Path) -> None:
    plant.stage(file)
    plant.fate.silent = True
    plant.pictures(8)
    plant.clock.now += 100_000.0
    plant.swap.trials.step(plant.clock())
    assert plant.phase == Phase.AUDIT
    assert len(plant.fate.started) == 1


# --- kills ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["staged", "audit", "shadow", "ready"])
def test_after_a_kill_the_trial_goes_on(plant: Plant, file: Path, step: str) -> None:
    plant.kill_at = step
    # The trial turns in this thread and not in its own, which ends here.
    plant.swap._is_loaded = lambda: True  # type: ignore[method-assign]
    with pytest.raises(Killed):
        plant.stage_and_try(file)
    plant.start()
    assert plant.runs == FIRST
    plant.pictures(60)
    assert plant.phase == Phase.READY
    plant.ask("promote")
    assert plant.runs == SECOND


@pytest.mark.parametrize(
    ("step", "runs"), [("prepared", FIRST), ("written", SECOND), ("live", SECOND)]
)
def test_a_kill_at_any_step_of_promote_leaves_one_of_the_two(
    plant: Plant, file: Path, step: str, runs: str
) -> None:
    plant.ready(file)
    plant.kill_at = step
    with pytest.raises(Killed):
        plant.ask("promote")
    plant.start()
    assert plant.runs == runs
    if runs == FIRST:
        assert plant.phase == Phase.READY
        plant.ask("promote")
    assert plant.ask("status")["decided_by"] == "promotion"
    plant.ask("rollback")
    assert plant.runs == FIRST


@pytest.mark.parametrize(
    ("step", "runs"), [("prepared", SECOND), ("written", FIRST), ("live", FIRST)]
)
def test_a_kill_at_any_step_of_rollback_leaves_one_of_the_two(
    plant: Plant, file: Path, step: str, runs: str
) -> None:
    plant.ready(file)
    plant.ask("promote")
    plant.kill_at = step
    with pytest.raises(Killed):
        plant.ask("rollback")
    plant.start()
    assert plant.runs == runs
    if runs == FIRST:
        assert plant.phase == Phase.READY, "staged again, with all that is known of it"


def test_what_the_shadow_has_seen_survives(plant: Plant, file: Path) -> None:
    plant.stage(file)
    plant.pictures(14)
    plant.pictures(20)
    before = plant.ask("status")["staged"]
    plant.start()
    after = plant.ask("status")["staged"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["shadow"]["pictures"] > 0
    assert after["audit"] == before["audit"]


# --- files ---------------------------------------------------------------------------------------


def test_a_promoted_model_does_not_go_with_the_folder_it_came_from(
    plant: Plant, file: Path
) -> None:
    plant.ready(file)
    file.unlink()
    plant.ask("promote")
    live = plant.ask("status")["live"]
    assert isinstance(live, dict)
    assert Path(str(live["path"])).is_file()


def test_copies_that_nothing_needs_are_removed(plant: Plant, file: Path) -> None:
    kept = plant.folder / "state" / "model" / "files"
    for name in ("second", "third", "fourth"):
        plant.stage(weights(file.parent, name))
        assert len(list(kept.iterdir())) == 1
    plant.ask("discard")
    assert list(kept.iterdir()) == []


def test_a_state_that_cannot_be_read_is_set_aside_and_the_configuration_runs(
    plant: Plant, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plant.ready(file)
    plant.ask("promote")
    state = plant.folder / "state" / "model" / "state.json"
    state.write_text(state.read_text()[:-40])
    plant.start()
    assert plant.runs == FIRST
    assert "model_state_unreadable" in [record.message for record in caplog.records]
    assert state.with_suffix(".unreadable").is_file()


def test_the_state_is_the_agents_own(plant: Plant, file: Path) -> None:
    plant.ready(file)
    folder = plant.folder / "state" / "model"
    assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0
    assert StateFile(plant.config.state_dir).read().staged is not None


def test_without_a_state_folder_nothing_is_staged(tmp_path: Path, file: Path) -> None:
    plant = Plant(tmp_path)
    plant.config = plant.config.model_copy(update={"state_dir": None})
    plant.start()
    with pytest.raises(RefusedError, match="state_dir is not set"):
        plant.ask("stage", path=str(file))


def test_a_reload_has_the_trial_begin_anew_with_what_is_in_force(plant: Plant, file: Path) -> None:
    """What was compared before a change of thresholds says nothing of after it."""
    plant.stage(file)
    plant.pictures(16)
    assert plant.phase == Phase.SHADOW
    assert plant.ask("status")["staged"]["shadow"]["pictures"] > 0  # type: ignore[index]
    before = plant.fate.started[-1]
    segmentation = plant.config.segmentation.model_copy(update={"min_confidence": 0.77})
    plant.config = plant.config.model_copy(update={"segmentation": segmentation})
    plant.pictures(1)
    assert before.ended
    after = plant.fate.started[-1]
    assert after.args.segmentation.min_confidence == 0.77
    assert plant.phase == Phase.SHADOW
    assert plant.ask("status")["staged"]["shadow"]["pictures"] <= 1  # type: ignore[index]
    plant.pictures(10)
    assert plant.phase == Phase.READY
    assert plant.fate.started[-1] is after
