"""A record is whole or not there, gives back what it was given, and says what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from agent import dataset
from agent.dataset import Facts, Reason, Record, RecordError

AT = datetime(2026, 5, 4, 3, 2, 1, 987654, UTC)
RNG = np.random.default_rng(7)
PICTURE = RNG.integers(0, 256, (48, 64, 3), np.uint8)
MASK = RNG.integers(0, 3, (24, 32), np.uint8)


def facts(**changes: object) -> Facts:
    values: dict[str, object] = {
        "camera": "a",
        "frame_id": "a-f00d-7",
        "captured_at": AT,
        "reasons": (Reason.NO_READ,),
        "model": "net",
        "model_sha256": "ab" * 32,
        "variety": "Halford",
        "lot": "L-7",
        "classes": ("background", "suture", "stem"),
        "reading": {"valid": False, "reason": "no_suture", "plausibility": math.nan},
    }
    return Facts(**(values | changes))  # type: ignore[arg-type]


def write(root: Path, **changes: object) -> Record:
    return dataset.write_record(root, facts(**changes), PICTURE, MASK)


def test_what_was_written_is_read_back_pixel_by_pixel(tmp_path: Path) -> None:
    written = write(tmp_path)
    read = dataset.read_record(written.folder)
    assert read.folder == tmp_path / "a" / "2026-05-04" / "a-20260504T030201.987Z-f00d-7"
    assert dataclasses.replace(written, reading=read.reading) == read
    assert read.reading == {"valid": False, "reason": "no_suture", "plausibility": None}
    assert np.array_equal(read.picture(), PICTURE)
    assert read.aperture() is None
    assert np.array_equal(read.grid_mask(), MASK)
    assert np.array_equal(read.mask(), MASK.repeat(2, axis=0).repeat(2, axis=1))


def test_the_field_of_view_comes_back_and_hides_no_pixel(tmp_path: Path) -> None:
    inside = np.zeros((48, 64), bool)
    inside[10:30, 20:40] = True
    written = dataset.write_record(tmp_path, facts(), PICTURE, MASK, inside)
    read = dataset.read_record(written.folder)
    aperture = read.aperture()
    assert aperture is not None
    assert np.array_equal(aperture, inside)
    assert np.array_equal(read.picture(), PICTURE)


def test_a_time_of_another_zone_is_kept_in_utc(tmp_path: Path) -> None:
    there = AT.astimezone(timezone(timedelta(hours=12)))
    record = write(tmp_path, captured_at=there)
    assert record.captured_at == AT.replace(microsecond=987000)
    assert record.folder.parent.name == "2026-05-04"


def test_a_frame_id_can_name_no_other_folder(tmp_path: Path) -> None:
    record = write(tmp_path, frame_id="../../x/y")
    assert record.id == "a-20260504T030201.987Z-.._.._x_y"
    assert dataset.read_record(record.folder).id == record.id


@pytest.mark.parametrize(
    ("picture", "mask", "says"),
    [
        (PICTURE[:, :, 0], MASK, "a picture is"),
        (PICTURE.astype(np.float32), MASK, "a picture is"),
        (PICTURE, MASK.astype(np.int64), "a mask is"),
        (PICTURE, MASK + np.uint8(1), "3 classes holds 3"),
    ],
)
def test_pictures_of_another_kind_are_refused_and_leave_nothing(
    tmp_path: Path, picture: np.ndarray, mask: np.ndarray, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        dataset.write_record(tmp_path, facts(), picture, mask)
    assert list(tmp_path.iterdir()) == []


def test_a_time_without_its_zone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        write(tmp_path, captured_at=AT.replace(tzinfo=None))


def test_a_picture_is_kept_once(tmp_path: Path) -> None:
    record = write(tmp_path)
    with pytest.raises(FileExistsError, match="recorded already"):
        write(tmp_path)
    assert [entry.name for entry in record.folder.parent.iterdir()] == [record.id]


def test_a_disk_that_refuses_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "mask.png":
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    monkeypatch.setattr("agent.dataset.writing._write", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path)
    assert list((tmp_path / "a" / "2026-05-04").iterdir()) == []


def test_an_explanation_comes_later_and_the_rest_stays(tmp_path: Path) -> None:
    record = write(tmp_path)
    updated = dataset.update_record(record, {"stem": {"y": 0.5}}, (Reason.EXPLAINED,))
    read = dataset.read_record(record.folder)
    assert read.explanation == updated.explanation == {"stem": {"y": 0.5}}
    assert read.reasons == (Reason.NO_READ, Reason.EXPLAINED)
    assert np.array_equal(read.picture(), PICTURE)
    assert sorted(path.name for path in record.folder.iterdir()) == [
        "mask.png",
        "picture.png",
        "record.json",
    ]


def test_an_explanation_of_a_record_that_is_gone_makes_no_new_one(tmp_path: Path) -> None:
    record = write(tmp_path)
    dataset.remove_record(record.folder)
    with pytest.raises(FileNotFoundError):
        dataset.update_record(record, {})
    dataset.remove_record(record.folder)
    assert list(record.folder.parent.iterdir()) == []


def test_what_a_killed_process_left_is_no_record_and_is_cleared(tmp_path: Path) -> None:
    record = write(tmp_path)
    day = record.folder.parent
    stranger = day / ".thumbnails.part"  # somebody else's
    stranger.mkdir()
    for name in (f".{record.id}0.part", f".{record.id}1.gone"):
        (day / name).mkdir()
        (day / name / "picture.png").write_bytes(b"half")
    (record.folder / ".record.json.part").write_bytes(b"{")
    assert list(dataset.records(tmp_path)) == [dataset.read_record(record.folder)]
    assert dataset.remove_unfinished(tmp_path) == 2
    assert {entry.name for entry in day.iterdir()} == {record.id, stranger.name}
    assert not (record.folder / ".record.json.part").exists()


def test_records_come_by_time_over_cameras_and_days_and_damage_in_its_place(
    tmp_path: Path,
) -> None:
    hours = (30, 2, 0, 25, 1)
    for place, hour in enumerate(hours):
        camera = "ab"[place % 2]
        write(
            tmp_path,
            camera=camera,
            frame_id=f"{camera}-f-{hour}",
            captured_at=AT + timedelta(hours=hour),
        )
    damaged = next(tmp_path.glob("*/*/*-f-2"))
    (damaged / "record.json").write_bytes(b"{")
    found = list(dataset.records(tmp_path))
    assert [r.id[-2:] if isinstance(r, Record) else "?" for r in found] == [
        "-0",
        "-1",
        "?",
        "25",
        "30",
    ]
    error = found[2]
    assert isinstance(error, RecordError)
    assert error.path == damaged / "record.json"


def test_a_folder_that_is_not_there_holds_no_record(tmp_path: Path) -> None:
    assert list(dataset.records(tmp_path / "none")) == []
    assert dataset.remove_unfinished(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "version: 2, where this agent reads 1"),
        ({"lot": None}, "lot: 'None' is of another type"),
        ({"height": True}, "height: 'True' is of another type"),
        ({"height": 0}, "height, width: 0 x 64"),
        ({"reasons": ["luck"]}, "'luck' is not a valid Reason"),
        ({"captured_at": "today"}, "Invalid isoformat"),
        ({"captured_at": "2026-05-04T03:02:01"}, "no time zone"),
        ({"classes": [1]}, "classes: not a list of names"),
        ({"id": "another"}, "not the name of its folder"),
    ],
)
def test_a_text_that_is_wrong_is_told_by_its_key(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    record = write(tmp_path)
    path = record.folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(RecordError, match=says) as caught:
        dataset.read_record(record.folder)
    assert caught.value.path == path


def test_a_key_that_is_missing_is_named(tmp_path: Path) -> None:
    record = write(tmp_path)
    path = record.folder / "record.json"
    values = json.loads(path.read_text())
    del values["lot"]
    path.write_text(json.dumps(values))
    with pytest.raises(RecordError, match="lot: is missing"):
        dataset.read_record(record.folder)


@pytest.mark.parametrize("name", ["picture.png", "mask.png", "record.json"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    record = write(tmp_path)
    (record.folder / name).unlink()
    with pytest.raises(RecordError) as caught:
        dataset.read_record(record.folder)
    assert caught.value.path == record.folder / name


@pytest.mark.parametrize("name", ["picture.png", "mask.png"])
def test_a_picture_that_was_changed_is_not_given(tmp_path: Path, name: str) -> None:
    record = write(tmp_path)
    path = record.folder / name
    path.write_bytes(path.read_bytes()[:-20])
    read = dataset.read_record(record.folder)
    with pytest.raises(RecordError, match="SHA-256 differs") as caught:
        read.picture() if name == "picture.png" else read.mask()
    assert caught.value.path == path
