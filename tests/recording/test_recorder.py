"""What the paths hand on is on the disk in the end, or counted; nobody waits for it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.dataset import Reason
from agent.dataset.claim import ClaimError
from agent.recording.recorder import NoPlaceError, Recorder
from agent.recording.status import Drop
from agent.recording.waiting import HELD_FRAMES, HeldFrames, Job, JobQueue
from agent.records import MachineState, NoReadReason
from tests.recording.support import (
    UTC_MS,
    Counted,
    explanation,
    frame,
    fruit,
    kept,
    make,
    selection,
)

NO_SUTURE = NoReadReason.NO_SUTURE


class Now:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def telemetry() -> Counted:
    return Counted()


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def recorder(tmp_path: Path, telemetry: Counted, now: Now) -> Iterator[Recorder]:
    found = make(tmp_path / "r", telemetry, now)
    found.start()
    found.switch(on=True, since_utc_ms=UTC_MS, by="test")
    yield found
    found.stop(10.0)


def see(recorder: Recorder, seq: int, reason: NoReadReason = NO_SUTURE) -> None:
    of = frame(seq)
    recorder.hold(of)
    recorder.fruit(fruit(of, reason=reason))


def settled(recorder: Recorder) -> None:
    """When what was handed on so far has been written: an errand comes after it."""
    done = threading.Event()
    while len(recorder._jobs):
        recorder._writer.errands.do(lambda: None, 30.0)
        done.wait(0.01)
    recorder._writer.errands.do(lambda: None, 30.0)


def test_a_fruit_is_recorded_as_it_was_seen(
    tmp_path: Path, recorder: Recorder, telemetry: Counted
) -> None:
    see(recorder, 1)
    recorder.stop(30.0)
    (record,) = kept(tmp_path / "r")
    assert np.array_equal(record.picture(), frame(1).image)
    assert np.array_equal(record.grid_mask(), np.ones((16, 16)))
    assert (record.camera, record.reasons) == ("a", (Reason.NO_READ,))
    assert (record.model, record.model_sha256) == ("net", "ab")
    assert (record.variety, record.lot) == ("Halford", "L-1")
    assert record.reading == {"reason": "no_suture"}
    assert round(record.captured_at.timestamp() * 1000) == frame(1).captured_utc_ms
    assert telemetry.counts == {("recorded_pictures", "a", "no_read"): 1}


def test_nothing_is_recorded_while_it_is_off(tmp_path: Path, telemetry: Counted) -> None:
    recorder = make(tmp_path / "r", telemetry)
    recorder.start()
    see(recorder, 1)
    recorder.stop(30.0)
    assert not (tmp_path / "r").exists()
    assert telemetry.counts == {}


def test_off_writes_what_waits_and_leaves_the_folder(tmp_path: Path, recorder: Recorder) -> None:
    for seq in range(5):
        see(recorder, seq)
    recorder.switch(on=False, since_utc_ms=UTC_MS + 1, by="somebody")
    see(recorder, 9)
    assert len(kept(tmp_path / "r")) == 5
    status = recorder.status()
    assert (status.on, status.since_utc_ms, status.by) == (False, UTC_MS + 1, "somebody")
    other = make(tmp_path / "r", Counted())
    other.switch(on=True, since_utc_ms=0, by="test")
    other.switch(on=False, since_utc_ms=0, by="test")


def test_a_folder_that_another_records_to_is_refused_and_all_is_as_it_was(
    tmp_path: Path, recorder: Recorder
) -> None:
    settled(recorder)  # it has the folder
    other = make(tmp_path / "r", Counted())
    with pytest.raises(ClaimError):
        other.switch(on=True, since_utc_ms=0, by="test")
    assert not other.status().on
    see(recorder, 1)
    recorder.stop(30.0)
    assert len(kept(tmp_path / "r")) == 1


def test_without_a_place_there_is_no_recording() -> None:
    with pytest.raises(NoPlaceError):
        make(None, Counted()).switch(on=True, since_utc_ms=0, by="test")


def test_an_explanation_comes_beside_the_record_of_its_picture(
    tmp_path: Path, recorder: Recorder
) -> None:
    see(recorder, 1)
    seen = fruit(frame(1), reason=NO_SUTURE)
    usual = explanation(frame(1), input_context_reliance=0.9)
    recorder.explained(usual, selection(frame(1), seen))
    recorder.stop(30.0)
    (record,) = kept(tmp_path / "r")
    assert record.explanation == {"job_id": "job"}
    assert record.reasons == (Reason.NO_READ, Reason.EXPLAINED)


def test_a_picture_with_an_unusual_explanation_alone_is_recorded_and_a_usual_one_is_not(
    tmp_path: Path, recorder: Recorder
) -> None:
    for seq, reliance in ((1, 0.9), (2, 0.1)):
        told = explanation(frame(seq), input_context_reliance=reliance)
        recorder.explained(told, selection(frame(seq), fruit(frame(seq))))
    recorder.stop(30.0)
    (record,) = kept(tmp_path / "r")
    assert (record.reasons, record.explanation) == ((Reason.EXPLAINED,), {"job_id": "job"})


def test_an_explanation_of_a_machine_that_is_cleaned_meanwhile_records_nothing(
    tmp_path: Path, recorder: Recorder
) -> None:
    cleaned = fruit(frame(1), state=MachineState.CLEANING)
    told = explanation(frame(1), input_context_reliance=0.9)
    recorder.explained(told, selection(frame(1), cleaned))
    recorder.stop(30.0)
    assert kept(tmp_path / "r") == []


def test_an_alarm_of_the_lane_is_a_reason(tmp_path: Path, recorder: Recorder) -> None:
    recorder.alarmed({"a"})
    see(recorder, 1, NoReadReason.NONE)
    recorder.stop(30.0)
    (record,) = kept(tmp_path / "r")
    assert record.reasons == (Reason.ALARMED,)


def test_an_explanation_that_comes_first_costs_the_fruit_nothing(
    tmp_path: Path, recorder: Recorder, telemetry: Counted
) -> None:
    seen = fruit(frame(1), reason=NO_SUTURE)
    unusual = explanation(frame(1), input_context_reliance=0.9)
    recorder.explained(unusual, selection(frame(1), seen))
    settled(recorder)
    see(recorder, 1)
    recorder.stop(30.0)
    (record,) = kept(tmp_path / "r")
    assert record.reasons == (Reason.EXPLAINED, Reason.NO_READ)
    assert record.explanation == {"job_id": "job"}
    assert not [name for name in telemetry.counts if name[0] == "recordings_dropped"]


def test_a_disk_that_fills_pauses_recording_until_it_has_room(
    tmp_path: Path, recorder: Recorder, telemetry: Counted, now: Now
) -> None:
    see(recorder, 1)
    settled(recorder)
    shelf = recorder._writer.shelf
    assert shelf is not None
    shelf._free_bytes = lambda _: 0
    see(recorder, 2)
    settled(recorder)
    assert recorder.status().paused is Drop.DISK_FULL
    see(recorder, 3)
    settled(recorder)
    assert telemetry.counts["recordings_dropped", "a", "disk_full"] == 2
    shelf._free_bytes = lambda _: 1 << 40
    now.s = 60.0
    settled(recorder)
    assert recorder.status().paused is Drop.DISK_FULL, "free space alone does not say it"
    see(recorder, 4)
    settled(recorder)
    assert recorder.status().paused is None
    recorder.stop(30.0)
    assert [record.id[-1] for record in kept(tmp_path / "r")] == ["1", "4"]


def test_a_disk_that_refuses_pauses_recording_and_is_tried_again(
    tmp_path: Path, telemetry: Counted, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r").write_text("in the way")
    recorder = make(tmp_path / "r", telemetry, now)
    recorder.start()
    recorder.switch(on=True, since_utc_ms=0, by="test")
    see(recorder, 1)
    settled(recorder)
    assert recorder.status().paused is Drop.DISK_ERROR
    assert "File exists" in recorder.status().detail
    (tmp_path / "r").unlink()
    now.s = 60.0
    settled(recorder)
    recorder._writer.errands.do(lambda: None, 30.0)
    assert recorder.status().paused is None

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("agent.dataset.writing._write", full)
        see(recorder, 2)
        settled(recorder)
    assert recorder.status().paused is Drop.DISK_FULL
    recorder.stop(30.0)
    assert telemetry.counts["recordings_dropped", "a", "disk_error"] == 1
    assert telemetry.counts["recordings_dropped", "a", "disk_full"] == 1
    assert kept(tmp_path / "r") == []


def test_a_fault_of_one_picture_costs_that_picture(
    tmp_path: Path, recorder: Recorder, telemetry: Counted
) -> None:
    of = frame(1)
    broken = fruit(of, reason=NO_SUTURE)
    broken.segmentation.mask[:] = 9  # no such class
    recorder.hold(of)
    recorder.fruit(broken)
    see(recorder, 2)
    recorder.stop(30.0)
    assert len(kept(tmp_path / "r")) == 1
    assert telemetry.counts["recordings_dropped", "a", "error"] == 1


def test_a_queue_that_is_full_drops_counts_and_does_not_wait(
    tmp_path: Path, telemetry: Counted
) -> None:
    recorder = make(tmp_path / "r", telemetry, queue_frames=3)
    recorder.switch(on=True, since_utc_ms=0, by="test")  # its thread has not begun
    for seq in range(5):
        see(recorder, seq)
    assert telemetry.counts == {("recordings_dropped", "a", "queue_full"): 2}
    recorder.start()
    recorder.stop(30.0)
    assert len(kept(tmp_path / "r")) == 3


def test_a_fruit_that_is_answered_when_its_picture_is_forgotten_is_counted(
    recorder: Recorder, telemetry: Counted
) -> None:
    recorder.fruit(fruit(frame(1), reason=NO_SUTURE))
    assert telemetry.counts == {("recordings_dropped", "a", "picture_gone"): 1}


def test_other_settings_hold_from_the_next_picture_on(tmp_path: Path, recorder: Recorder) -> None:
    see(recorder, 1)
    other = make(None, Counted(), no_read={"per_minute": 0}, limit_bytes=1 << 20)
    recorder.configure(other._settings)
    see(recorder, 2)
    recorder.stop(30.0)
    assert len(kept(tmp_path / "r")) == 1
    assert recorder.status().limit_bytes == 1 << 20


# --- the queue and the pictures held -------------------------------------------------------------


def test_held_pictures_are_bounded_and_go_with_the_fruit_of_their_lane() -> None:
    held = HeldFrames()
    for seq in range(2 * HELD_FRAMES):
        held.hold(frame(seq, "ab"[seq % 2], size=2))
    assert held.take("a", "a-f-0") is None
    found = held.take("a", f"a-f-{2 * HELD_FRAMES - 2}")
    assert found is not None
    assert found.seq == 2 * HELD_FRAMES - 2
    assert {one.lane for one in held._frames.values()} == {"b"}
    held.clear()
    assert held._bytes == 0


def test_the_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.recording.waiting.WAITING_BYTES", 5000)
    jobs = JobQueue(100)
    one = Job(frame(1), fruit(frame(1)))  # 3072 bytes
    assert [jobs.put(one), jobs.put(one)] == [True, False]
    assert jobs.take(0.0) is one
    assert jobs.put(one)
