"""The source over a camera in memory: what becomes of buffers, of silence, of what is counted."""

from __future__ import annotations

import math

import pytest

from agent.capture.source import Measurements, PictureError, SourceError
from agent.capture.sources.genicam import source as module
from agent.capture.sources.genicam import stamps
from agent.capture.sources.genicam.backend import Statistics
from agent.capture.sources.genicam.source import GenicamSource
from tests.capture.genicam.memory import (
    HEIGHT,
    WIDTH,
    MemoryBackend,
    MemoryDevice,
    buffer,
    choice,
    command,
    device,
    integer,
)
from tests.capture.support import camera

HERE = "genicam://serial/7"


class Clock:
    """Stands for ``time`` in the source; read without end, moved by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return 10**18 + round(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for each in (module, stamps):
        monkeypatch.setattr(each, "time", made)
    return made


def opened(made: MemoryDevice, source: str = HERE, **keys: object) -> GenicamSource:
    source_made = GenicamSource(camera(source, **keys), lambda _: MemoryBackend(made))
    source_made.open()
    return source_made


def total(source: GenicamSource) -> Measurements:
    found = source.measured()
    assert found is not None
    return found


def test_an_opened_camera_says_its_size_and_rate_and_is_closed(clock: Clock) -> None:
    made = device()
    source = GenicamSource(camera(HERE), lambda _: MemoryBackend(made))
    info = source.open()
    assert (info.width_px, info.height_px, info.fps, info.live) == (WIDTH, HEIGHT, 20.0, True)
    assert made.started == 8
    source.close()
    assert made.closed


def test_a_camera_that_a_killed_process_left_running_is_stopped_and_set_up(clock: Clock) -> None:
    made = device(
        command("AcquisitionStop"),
        integer("TLParamsLocked", 1, 0, 1),
        choice("TriggerMode", "On", "Off", "On"),
    )
    made.locks = dict.fromkeys(("Width", "Height", "PixelFormat"), ("TLParamsLocked", 1))
    made.locks["TriggerSource"] = ("TriggerMode", "On")
    opened(made, f"{HERE}?trigger=software&roi=0,0,32,16&pixel_format=Mono8", fps=4.0)
    assert made.log[:2] == [("AcquisitionStop", "done"), ("TLParamsLocked", 0)]
    for name, value in (("Width", 32), ("TriggerSource", "Software"), ("TriggerMode", "On")):
        assert made.nodes[name].value == value


def test_a_buffer_becomes_a_picture_stamped_at_its_arrival(clock: Clock) -> None:
    made = device()
    made.buffers.append(buffer(1, arrived_mono=999.5))
    picture = opened(made).read()
    assert picture is not None
    assert picture.image.shape == (HEIGHT, WIDTH, 3)
    assert picture.captured_mono == 999.5
    assert picture.captured_utc_ms == clock.time_ns() // 10**6 - 500


def test_an_incomplete_buffer_is_an_unreadable_picture_with_its_reason(clock: Clock) -> None:
    made = device()
    made.buffers.append(buffer(4, problem="incomplete", detail="half came", missing_packets=3))
    made.buffers.append(buffer(5))
    source = opened(made)
    with pytest.raises(PictureError, match="picture 4: half came, 3 packets missing") as caught:
        source.read()
    assert caught.value.reason == "incomplete"
    assert source.read() is not None, "the next one is whole"
    assert total(source).lost == {}, "it came: it is not lost as well"


def test_lost_pictures_packets_and_temperature_are_told_once(clock: Clock) -> None:
    made = device()
    made.buffers.extend([buffer(1), buffer(5)])
    source = opened(made)
    source.read()
    assert total(source).temperature_celsius == 41.5
    made.counted = Statistics(delivered=2, underruns=1, packets_resent=9, packets_missing=4)
    source.read()
    found = total(source)
    assert found.lost == {"transit": 2, "underrun": 1}
    assert found.packets == {"resent": 9, "missing": 4}
    assert found.temperature_celsius is None, "registers are asked every few seconds only"
    assert source.measured() is None


def test_features_that_came_back_otherwise_are_a_remark(clock: Clock) -> None:
    made = device()
    made.rounded = {"ExposureTime": 900.0}
    source = opened(made, f"{HERE}?exposure_us=800")
    assert total(source).remarks == {
        "feature_differs": "ExposureTime was set to 800.0 and is 900.0"
    }
    assert source.measured() is None


def test_chunks_come_with_the_picture_and_one_that_is_missing_is_told(clock: Clock) -> None:
    made = device()
    made.buffers.append(buffer(1, chunks={"Timestamp": 5}))
    picture = opened(made, f"{HERE}?chunks=Timestamp,FrameID").read()
    assert picture is not None
    assert picture.chunks["Timestamp"] == 5
    assert math.isnan(picture.chunks["FrameID"])
    assert picture.remarks == {"chunk_missing": f"{HERE}: not in the picture: FrameID"}


def test_a_silent_camera_is_asked_and_rests_while_it_answers(clock: Clock) -> None:
    made = device()
    source = opened(made)
    for _ in range(40):
        assert source.read() is None
        clock.now += 0.5
    assert 18 <= made.asked <= 20, "once a second"
    made.lost = SourceError("no_answer", "gone")
    clock.now += 1.0
    with pytest.raises(SourceError, match="no_answer"):
        source.read()


def test_a_camera_that_sends_is_not_asked(clock: Clock) -> None:
    made = device()
    source = opened(made)
    for frame_id in range(1, 20):
        made.buffers.append(buffer(frame_id))
        clock.now += 0.9
        assert source.read() is not None
    assert made.asked == 0


def test_another_format_or_size_in_the_run_opens_the_camera_anew(clock: Clock) -> None:
    made = device()
    made.buffers.extend([buffer(1, pixel_format="Mono12"), buffer(2, width_px=32)])
    source = opened(made)
    with pytest.raises(SourceError, match="the pixel format is Mono12 now and was Mono8"):
        source.read()
    with pytest.raises(SourceError, match="32 x 48 now and were 64 x 48") as caught:
        source.read()
    assert caught.value.reason == "size_changed"


def test_a_format_that_cannot_be_read_is_refused_with_the_camera_s_list(clock: Clock) -> None:
    made = device(choice("PixelFormat", "YUV422_8", "Mono8", "YUV422_8", "BayerRG8"))
    with pytest.raises(SourceError) as caught:
        opened(made)
    assert not caught.value.permanent, "the configuration does not ask for it"
    assert (
        "pixel format YUV422_8 cannot be read; the camera has Mono8, YUV422_8, BayerRG8;"
        " of these work Mono8, BayerRG8"
    ) in caught.value.detail
    with pytest.raises(SourceError, match="there are Mono8, Mono12, BayerRG8, YUV422_8"):
        opened(device(), f"{HERE}?pixel_format=RGB8")


def test_software_triggers_are_fired_at_the_rate_and_those_without_a_picture_counted(
    clock: Clock,
) -> None:
    made = device()
    source = opened(made, f"{HERE}?trigger=software", mode="triggered", fps=4.0)
    assert ("TriggerSource", "Software") in made.log
    made.log.clear()
    for step in range(41):  # 10 s in quarters
        if step % 4 != 3:  # of every fourth trigger the camera takes no picture
            made.buffers.append(buffer(1 + step - step // 4))
        source.read()
        clock.now += 0.25
    assert len(made.log) == 41
    clock.now += 60.0
    found = total(source)
    assert found.triggers_lost == 10
    assert found.lost == {}, "the camera's count has no gap: nothing was lost on the way"


def test_a_picture_lost_on_the_way_is_no_lost_trigger(clock: Clock) -> None:
    made = device()
    source = opened(made, f"{HERE}?trigger=software", mode="triggered", fps=4.0)
    for step in range(1, 41):
        if step % 4 != 3:
            made.buffers.append(buffer(step))
        source.read()
        clock.now += 0.25
    clock.now += 60.0
    found = total(source)
    assert (found.lost, found.triggers_lost) == ({"transit": 10}, 0)


def test_a_delay_does_not_end_in_a_burst_of_triggers(clock: Clock) -> None:
    made = device()
    source = opened(made, f"{HERE}?trigger=software", mode="triggered", fps=4.0)
    made.log.clear()
    source.read()
    clock.now += 30.0
    for _ in range(5):
        source.read()
    assert made.log == [("TriggerSoftware", "done")] * 2


def test_triggers_that_the_camera_counts_as_missed_are_lost(clock: Clock) -> None:
    made = device(
        choice("CounterEventSource", "FrameTriggerMissed", "Off", "FrameTriggerMissed"),
        integer("CounterValue", 7, 0, 10**9, writable=False),
    )
    source = opened(made, mode="triggered")
    assert total(source).triggers_lost == 0, "those before this session are nobody's"
    made.nodes["CounterValue"].value = 12
    clock.now += 6.0
    assert total(source).triggers_lost == 5


def test_edges_of_the_trigger_s_line_without_a_picture_are_lost(clock: Clock) -> None:
    """Most cameras count no missed triggers, but all edges of an input."""
    made = device(
        choice("CounterSelector", "Counter1", "Counter0", "Counter1"),
        choice("CounterEventSource", "Line1", "Off", "Line1"),
        choice("CounterEventActivation", "RisingEdge", "RisingEdge", "AnyEdge"),
        integer("CounterValue", 40, 0, 10**9, writable=False),
    )
    source = opened(made, f"{HERE}?trigger=Line1:RisingEdge", mode="triggered", fps=None)
    lost = 0
    for frame_id in range(1, 60):
        made.buffers.append(buffer(frame_id))
        source.read()
        made.nodes["CounterValue"].value = 40 + frame_id + (3 if frame_id > 9 else 0)
        found = source.measured()
        lost += found.triggers_lost if found is not None else 0
        clock.now += 1.0
    assert lost == 3
    made.nodes["CounterEventActivation"].value = "AnyEdge"
    source = opened(made, f"{HERE}?trigger=Line1:RisingEdge", mode="triggered", fps=None)
    assert source._meter._counter == "", "twice as many edges as pictures are no loss"


def test_a_camera_that_numbers_its_triggers_tells_those_without_a_picture(clock: Clock) -> None:
    made = device(choice("ChunkSelector", "Framecounter", "Triggerinputcounter"))
    source = opened(made, f"{HERE}?chunks=Triggerinputcounter", mode="triggered", fps=None)
    for frame_id, number in ((1, 1), (2, 2), (3, 5)):
        made.buffers.append(buffer(frame_id, chunks={"Triggerinputcounter": number}))
        source.read()
    assert total(source).triggers_lost == 2


def test_a_driver_that_counts_lost_pictures_is_believed_where_the_camera_counts_none(
    clock: Clock,
) -> None:
    made = device()
    source = opened(made)
    made.buffers.append(buffer())
    made.counted = Statistics(delivered=1, lost=4)
    source.read()
    assert total(source).lost == {"transit": 4}
    made.buffers.append(buffer(7))
    made.counted = Statistics(delivered=2, lost=9)
    clock.now += 6.0
    source.read()
    assert total(source).lost == {}, "the driver's count is not added to the camera's"


def test_stamps_of_the_camera_say_when_a_picture_was_taken(clock: Clock) -> None:
    made = device(
        command("TimestampLatch"),
        integer("TimestampLatchValue", 5_000_000_000, 0, 2**62, writable=False),
    )
    source = opened(made, f"{HERE}?stamp=camera")
    made.buffers.append(buffer(1, stamp_ns=5_250_000_000, arrived_mono=1000.4))
    picture = source.read()
    assert picture is not None
    assert picture.captured_mono == pytest.approx(1000.25)
    assert total(source).remarks == {}
    made.buffers.append(buffer(2, stamp_ns=9_000_000_000, arrived_mono=1000.6))
    picture = source.read()
    assert picture is not None
    assert picture.captured_mono == 1000.6, "a stamp of the future is not believed"
    assert "stamps_not_believed" in total(source).remarks


def test_a_camera_clock_that_was_set_is_told(clock: Clock) -> None:
    made = device(
        command("GevTimestampControlLatch"),
        integer("GevTimestampValue", 5_000, 0, 2**62, writable=False),
        integer("GevTimestampTickFrequency", 1_000, 0, 2**62, writable=False),
    )
    source = opened(made, f"{HERE}?stamp=camera")
    clock.now += 20.0
    made.nodes["GevTimestampValue"].value = 100_000
    made.buffers.append(buffer(1, stamp_ns=99_500_000_000, arrived_mono=clock.now))
    picture = source.read()
    assert picture is not None
    assert picture.captured_mono == pytest.approx(clock.now - 0.5)
    assert "camera_clock_stepped" in total(source).remarks


def test_a_camera_whose_clock_cannot_be_latched_is_told(clock: Clock) -> None:
    source = opened(device(), f"{HERE}?stamp=camera")
    assert total(source).remarks == {"no_camera_clock": "the camera's clock cannot be latched"}
