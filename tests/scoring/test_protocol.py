"""The protocol that results are quoted with, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agent.alarms.catalogue import Cause
from agent.scoring.errors import ScoringError
from agent.scoring.protocol import PROTOCOL, load_protocol
from agent.simulator.fault_pictures import PICTURE_FAULTS
from agent.simulator.varieties import UNKNOWN, VARIETIES
from agent.training.faulty import MODEL_FAULTS


def changed(folder: Path, **changes: object) -> Path:
    values = yaml.safe_load(PROTOCOL.read_text())
    path = folder / "protocol.yaml"
    path.write_text(yaml.safe_dump(values | changes))
    return path


UNSCORED = {"lamp_off"}
"""Found cup by cup, without a chart; how soon, the tests of the alarms' darkness say."""


def test_every_fault_of_pictures_and_models_is_scored() -> None:
    assert {*PICTURE_FAULTS, *MODEL_FAULTS} - UNSCORED | {
        "shortcut",
        "unknown_variety",
        "control",
    } == set(load_protocol().faults)


def test_no_seed_serves_two_purposes() -> None:
    protocol = load_protocol()
    seeds = [protocol.seeds.strengths]
    seeds += [
        protocol.bank_seed(variety, lot)
        for variety in (*VARIETIES, UNKNOWN.name)
        for lot in range(protocol.lots)
    ]
    seeds += [
        protocol.fault_seed(name, lot)
        for name in protocol.faults
        for lot in range(protocol.fault_lots)
    ]
    assert len(seeds) == len(set(seeds))
    assert max(seeds) <= 9999


def test_strengths_are_multiples_of_the_middle_one_and_at_most_full() -> None:
    protocol = load_protocol()
    fault = protocol.faults["lamp_fade"].model_copy(update={"middle": 0.8})
    changes = {"faults": {"lamp_fade": fault}, "strengths": (0.5, 1.0, 2.0)}
    protocol = protocol.model_copy(update=changes)
    found = [(trial.strength, trial.label) for trial in protocol.trials()]
    assert found == [(0.4, "0.5x"), (0.8, "middle"), (1.0, "2x")]


def test_a_fault_without_a_middle_is_all_or_nothing() -> None:
    assert [(t.strength, t.label) for t in load_protocol().trials(("black",))] == [(1.0, "full")]


def test_an_unknown_fault_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ScoringError, match="unknown fault 'lampfade'; did you mean lamp_fade"):
        load_protocol().trials(("lampfade",))


def test_an_unknown_variety_is_named() -> None:
    with pytest.raises(ScoringError, match="unknown variety 'plum'; there are golden"):
        load_protocol().bank_seed("plum", 0)


def test_a_fault_that_nobody_can_plant_is_refused(tmp_path: Path) -> None:
    faults = {"flood": {"kind": "picture", "right": [Cause.IMAGE_QUALITY.value]}}
    with pytest.raises(ScoringError, match=r"faults\.flood: no fault of kind picture"):
        load_protocol(changed(tmp_path, faults=faults))


def test_a_fault_of_another_kind_is_refused(tmp_path: Path) -> None:
    faults = {"blind": {"kind": "picture", "right": [Cause.IMAGE_QUALITY.value]}}
    with pytest.raises(ScoringError, match=r"faults\.blind: no fault of kind picture"):
        load_protocol(changed(tmp_path, faults=faults))


def test_lots_must_be_left_to_judge_by(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="leave no lot to judge by"):
        load_protocol(changed(tmp_path, baseline_lots=40))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"lots": 0}, "lots: "), ({"colour": 1}, "colour: "), ({"seeds": {"bank": -1}}, "seeds.bank")],
)
def test_a_wrong_number_or_key_is_named_with_its_place(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ScoringError, match=words):
        load_protocol(changed(tmp_path, **changes))


def test_a_file_that_is_no_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="cannot be read as a protocol"):
        load_protocol(tmp_path / "none.yaml")
    (tmp_path / "odd.yaml").write_text("a: b: c")
    with pytest.raises(ScoringError, match="cannot be read as a protocol"):
        load_protocol(tmp_path / "odd.yaml")
