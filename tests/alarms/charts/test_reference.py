"""The reference file: what is read back, and what is refused with which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.alarms.charts.reference import (
    Bound,
    ReferenceFileError,
    load_reference,
    save_reference,
)
from tests.alarms.references import LAYER, MODEL_SHA256, reference, signal

RUNNING = Bound(MODEL_SHA256, LAYER, "margin", 192, 192)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "golden.json"
    save_reference(reference([signal("brightness", 120.0, 2.0)]), path)
    return path


def test_a_reference_comes_back_as_it_was(file: Path) -> None:
    back = load_reference(file, "golden", RUNNING)
    assert back == reference([signal("brightness", 120.0, 2.0)])
    assert not list(file.parent.glob("*.part"))


@pytest.mark.parametrize(
    ("running", "named"),
    [
        (Bound("f" * 64, LAYER, "margin", 192, 192), "model 000000000000, not ffffffffffff"),
        (Bound(MODEL_SHA256, "encoder3", "margin", 192, 192), f"layer {LAYER}, not encoder3"),
        (Bound(MODEL_SHA256, LAYER, "logit_sum", 192, 192), "score margin, not logit_sum"),
        (Bound(MODEL_SHA256, LAYER, "margin", 256, 256), "192 x 192 px, not 256 x 256"),
    ],
)
def test_a_reference_of_something_else_is_refused(file: Path, running: Bound, named: str) -> None:
    with pytest.raises(ReferenceFileError) as told:
        load_reference(file, "golden", running)
    assert str(file) in str(told.value)
    assert named in str(told.value)
    assert "pitwatch calibrate" in str(told.value)


def test_a_reference_of_another_variety_is_refused(file: Path) -> None:
    with pytest.raises(ReferenceFileError, match="variety golden, not amber"):
        load_reference(file, "amber", RUNNING)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"profile": ["a"]}, "profile"),
        ({"surprise": 1}, "surprise"),
        ({"model_sha256": "xyz"}, "model_sha256"),
        ({"window_s": -1}, "window_s"),
        ({"min_plausibility": 1.5}, "min_plausibility"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_field(
    file: Path, change: dict[str, object], named: str
) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ReferenceFileError, match=named):
        load_reference(file)


@pytest.mark.parametrize(
    "change", [{"name": "colour"}, {"values": [1, 1, 2, 3, 4]}, {"low_slope": 0.0}, {"sides": []}]
)
def test_a_signal_that_cannot_be_charted_is_refused(file: Path, change: dict[str, object]) -> None:
    document = json.loads(file.read_text())
    document["signals"][0] |= change
    file.write_text(json.dumps(document))
    with pytest.raises(ReferenceFileError, match=r"signals\.0"):
        load_reference(file)


@pytest.mark.parametrize("text", ["", "not json", '{"kind": "other"}', "[1, 2]"])
def test_what_is_no_reference_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(ReferenceFileError, match=r"some\.json"):
        load_reference(path)


def test_a_missing_file_and_a_huge_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReferenceFileError, match="cannot be read"):
        load_reference(tmp_path / "none.json")
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * 4_000_001)
    with pytest.raises(ReferenceFileError, match="more than"):
        load_reference(huge)


def test_where_the_disk_refuses_the_old_file_survives(file: Path) -> None:
    before = file.read_text()
    file.with_name("golden.json.part").mkdir()
    with pytest.raises(ReferenceFileError, match="could not be written"):
        save_reference(reference([signal("brightness", 99.0, 2.0)]), file)
    assert file.read_text() == before


def test_a_file_of_version_1_is_read_as_it_was_written() -> None:
    file = Path(__file__).with_name("files") / "reference-1.json"
    found = load_reference(file, variety="golden")
    assert (found.version, found.lots, found.fruit, found.run_length) == (1, 12, 10_000, 5e6)
    assert [one.name for one in found.signals] == ["warmth", "focus"]
    assert found.profile_array().tolist() == [3.0, 2.0, 1.0, -0.5]
    younger = {"sense", "min_plausibility"}  # than the file: nobody turned a fruit for it
    assert [getattr(found, name) for name in younger] == [None, None]
    assert found.model_dump_json(indent=1, exclude=younger) + "\n" == file.read_text(
        encoding="utf-8"
    )
