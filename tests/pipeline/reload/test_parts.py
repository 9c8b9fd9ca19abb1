"""What each part does with other settings beside its work: nothing that waits or was seen goes."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import CollectorRegistry

from agent import config
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.windows import MeanWindow, QuantileWindow
from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline.reload.gone import Gone
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.wire.deadband import Deadband, Sample
from agent.records import AlarmState, CaptureMode, Quality, SamplingClass
from agent.sampling.scheduler import Scheduler
from agent.sampling.values import Skipped, SkipReason
from agent.segmentation.fruit import FruitReader
from agent.segmentation.reading import LaneGeometry
from agent.telemetry import NullTelemetry
from tests.alarms.support import condition
from tests.sampling.candidates import candidate

UTC_MS = 1_760_000_000_000


# --- sampling ------------------------------------------------------------------------------------


def test_what_waits_for_an_explanation_waits_on_under_other_settings() -> None:
    one = Scheduler(config.Sampling(), workers=1)
    one.offer(candidate(frame_id="a"), 0.0)
    one.configure(config.Sampling(max_age_s=2.5), 1, 0.1, new_period=False)
    assert [job.frame.frame_id for job in one.decide(0.2, 1).selected] == ["a"]


def test_a_reload_does_not_fill_the_budget_up() -> None:
    one = Scheduler(config.Sampling(duty_cycle=0.5, budget_window_s=10), workers=1)
    one._budget.spend(4.0, 0.0)
    one.configure(config.Sampling(duty_cycle=1.0, budget_window_s=10), 1, 0.0, new_period=True)
    assert one._budget.level(0.0) == 1.0
    assert one._budget.rate_per_s == 1.0


def test_a_period_that_a_command_has_set_stays_unless_the_file_has_another_one() -> None:
    one = Scheduler(config.Sampling(), workers=1)
    one.set_period(7.0)
    one.configure(config.Sampling(cooldown_s=1), 1, 0.0, new_period=False)
    assert (one._settings.period_s, one._settings.cooldown_s) == (7.0, 1.0)
    one.configure(config.Sampling(period_s=3), 1, 0.0, new_period=True)
    assert one._settings.period_s == 3.0


def test_what_waits_of_a_lane_that_is_gone_is_let_go_and_the_books_balance() -> None:
    one = Scheduler(config.Sampling(), workers=1)
    one.offer(candidate(frame_id="a"), 0.0)
    assert one.forget("cam1") == [Skipped("cam1", "a", SkipReason.SHUTDOWN, SamplingClass.PERIODIC)]
    books = one.books()
    assert books.offered == books.selected + sum(books.skipped.values()) + books.waiting
    assert one.forget("cam1") == []


# --- alarms --------------------------------------------------------------------------------------


def manager() -> AlarmManager:
    one = AlarmManager(config.Alarms(), "agent1", "s1")
    one.update(condition(False), 0.0, UTC_MS)
    return one


def test_alarms_speak_another_language_at_once_and_ring_nobody() -> None:
    one = manager()
    (english,) = one.current()
    settings = config.Alarms(language="it")
    (said,) = one.configure(settings, {english.alarm_id}, 1.0, UTC_MS)
    assert (said.is_event, said.state) == (False, AlarmState.NORM)
    assert said.title != english.title
    assert said.message != english.message
    assert one.current() == (said,)


def test_an_alarm_goes_out_of_service_and_back_as_the_file_says() -> None:
    one = manager()
    ids = {"no_read_rate-cam1"}
    out = config.Alarms(out_of_service=("no_read_rate",))
    (gone,) = one.configure(out, ids, 1.0, UTC_MS)
    assert "no_read_rate-cam1" in one.unavailable()
    (back,) = one.configure(config.Alarms(), ids, 2.0, UTC_MS)
    assert (gone.alarm_id, back.state) == ("no_read_rate-cam1", AlarmState.NORM)


def test_the_alarm_of_a_lane_that_is_gone_ends_and_one_that_comes_back_goes_on() -> None:
    one = manager()
    one.update(condition(True), 1.0, UTC_MS)
    one.tick(100.0, UTC_MS)
    assert one.current()[0].active
    assert one.configure(config.Alarms(), (), 101.0, UTC_MS) == []
    (ended,) = one.retire(101.0, UTC_MS)
    assert (ended.active, ended.is_event, one.current()) == (False, True, ())
    (again,) = one.update(condition(False), 102.0, UTC_MS)
    assert again.count == 1


def test_a_window_keeps_its_newest_samples_at_another_size() -> None:
    mean, quantile = MeanWindow(4), QuantileWindow(4, 0.95)
    for value in (1.0, 2.0, 3.0, 4.0):
        mean.add(value)
        quantile.add(value)
    mean.resize(2)
    quantile.resize(2)
    assert (mean.mean, mean.full, len(mean), mean.samples) == (3.5, True, 2, 4)
    assert (quantile.value, len(quantile)) == (4.0, 2)
    mean.resize(3)
    assert (mean.full, len(mean)) == (False, 2)


# --- lanes ---------------------------------------------------------------------------------------


def test_a_fruit_in_view_of_a_lane_that_goes_is_answered_and_the_others_go_on() -> None:
    free = LaneGeometry(mode=CaptureMode.FREE_RUN)
    reader = FruitReader({"a": free, "b": free})
    seen = replace(candidate().segmentation, lane="a", coverage=1.0)
    assert reader.feed(seen, 0.0) == []
    assert reader.feed(replace(seen, lane="b"), 0.0) == []
    (answered,) = reader.change_lanes({"b": free})
    assert answered.segmentation.lane == "a"
    assert reader.lanes == ("b",)
    (kept,) = reader.flush()
    assert kept.segmentation.lane == "b"


def test_the_page_keeps_what_it_has_of_the_lanes_that_stay() -> None:
    newest = Newest(["a", "b"])
    one = candidate()
    newest.on_segmented(replace(one.frame, lane="a"), replace(one.segmentation, lane="a"))
    newest.change_lanes(["c", "a"], {"a": 30.0})
    assert newest.lanes == ("c", "a")
    assert newest.frame("a") is not None
    assert newest.frame("b") is None
    newest.on_segmented(replace(one.frame, lane="b"), replace(one.segmentation, lane="b"))
    assert newest.frame("b") is None


def test_the_metrics_of_a_camera_that_is_gone_end_once_nothing_of_it_is_open() -> None:
    telemetry = PrometheusTelemetry(CollectorRegistry(), lambda: 0.0, strict=True)
    for camera in ("cam1", "cam2"):
        telemetry.count("frames_captured", 3, camera=camera)
        telemetry.gauge("alarm_active", 1.0, alarm="no_read_rate", camera=camera)
        telemetry.observe("capture_to_mask_seconds", 0.1, camera=camera)
    open_lanes = {"cam2"}
    gone = Gone(telemetry, lambda: open_lanes)
    gone.put({"cam2"}, there={"cam1"})
    gone.tick()
    assert telemetry.total("frames_captured") == 6
    open_lanes.clear()
    gone.tick()
    assert telemetry.total("frames_captured") == 3
    text = [one for family in telemetry.registry.collect() for one in family.samples]
    assert not [one for one in text if one.labels.get("camera") == "cam2"]
    telemetry.count("frames_captured", camera="cam2")
    assert telemetry.total("frames_captured", camera="cam2") == 1
    gone.put({"cam2"}, there={"cam2"})  # it is back
    gone.tick()
    assert telemetry.total("frames_captured", camera="cam2") == 1


def test_names_that_come_and_go_do_not_use_the_room_for_label_values_up() -> None:
    telemetry = PrometheusTelemetry(CollectorRegistry(), lambda: 0.0)
    for number in range(1000):
        telemetry.count("frames_captured", camera=f"cam{number}")
        telemetry.forget("camera", f"cam{number}")
    assert telemetry.total("telemetry_errors", reason="cardinality") == 0


# --- publishing ----------------------------------------------------------------------------------


def test_a_value_that_was_withdrawn_does_not_come_again_from_its_deadband() -> None:
    band = Deadband(0.5, 10.0)
    band.offer(("a", "fps"), Sample(1.0, Quality.GOOD, 0), 0.0)
    assert not band.offer(("a", "fps"), Sample(1.1, Quality.GOOD, 0), 1.0)
    band.forget("a", ["fps"])
    assert band.due(100.0) == []


def test_a_smaller_queue_keeps_what_waits_until_others_come() -> None:
    outbox = MemoryOutbox(100, NullTelemetry())
    outbox.resize(10)
    assert (outbox._cap, outbox._refused_events.maxlen, outbox.waiting()) == (10, 10, 0)
