"""From what the stages say to what is wrong, on a fake clock."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.condition import Condition
from agent.alarms.watch import Watch
from agent.records import (
    CameraState,
    JobFailure,
    LinkStatus,
    MachineInfo,
    MachineState,
    PoolStatus,
    Quality,
    SamplingClass,
    StorageCause,
    StorageStatus,
)
from tests.alarms.references import reference
from tests.alarms.support import explanation, fruit, said, status, utc_ms

RUNNING, STOPPED = MachineState.RUNNING, MachineState.STOPPED


class Line:
    """A watch of one lane, and a line that can be let run."""

    def __init__(self, lanes: tuple[str, ...] = ("cam1",), **limits: object) -> None:
        self.watch = Watch(config.Alarms(limits=config.AlarmLimits(**limits)), lanes)
        self.now = 100.0
        self.watch.on_camera(status(CameraState.LIVE, self.now))
        self.watch.tick(self.now)

    def machine(self, state: MachineState) -> None:
        self.watch.on_machine(MachineInfo(state=state, received_utc_ms=utc_ms(self.now)))

    def camera(self, state: CameraState, cause: str = "silence") -> None:
        self.watch.on_camera(status(state, self.now, cause=cause))

    def run(
        self,
        seconds: float,
        *,
        no_reads: float = 0.0,
        latency_s: float = 0.02,
        explain: dict[str, float] | None = None,
        silent: bool = False,
    ) -> None:
        """Five fruit a second, one explanation a second, a tick a second."""
        explain = {} if explain is None else explain
        for _ in range(round(seconds)):
            for i in range(5):
                read = (i + 1) / 5 > no_reads
                self.watch.on_fruit(fruit(self.now + i / 5, read=read, latency_s=latency_s))
            if not silent:
                self.watch.on_explanation(explanation(self.now, **explain))
            self.now += 1
            self.watch.tick(self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.watch.tick(self.now)

    def __getitem__(self, alarm_id: str) -> Condition:
        found = {each.alarm_id: each for each in self.watch.tick(self.now)}
        return found[alarm_id]


def test_a_line_that_runs_well_has_no_condition() -> None:
    line = Line()
    line.watch.on_pool(PoolStatus(1, 1, 0, 0, False))
    line.machine(RUNNING)
    line.run(120)
    assert [c.alarm_id for c in line.watch.tick(line.now) if c.beyond] == []
    assert all(c.back for c in line.watch.tick(line.now))


def test_every_cause_has_a_condition_for_every_camera_it_belongs_to() -> None:
    line = Line(lanes=("left", "right"))
    line.watch = Watch(config.Alarms(), ("left", "right"))
    line.watch.on_camera(status(CameraState.LIVE, 0, name="cam1", lanes=("left", "right")))
    ids = sorted(each.alarm_id for each in line.watch.tick(line.now))
    assert ids == sorted(
        [
            "camera_lost-cam1",
            "camera_frozen-cam1",
            "workers_degraded-agent",
            "broker_session_conflict-agent",
            "spool_loss-agent",
            "model_mismatch-agent",
        ]
        + [
            f"{cause}-{lane}"
            for lane in ("left", "right")
            for cause in (
                "image_quality",
                "no_read_rate",
                "latency_budget",
                "background_reliance",
                "foreground_insensitive",
                "agent_no_data",
            )
        ]
    )


# --- fruit ---------------------------------------------------------------------------------------


def test_too_many_no_reads_are_noticed_and_few_are_not() -> None:
    line = Line(no_read_rate=0.3)
    line.run(30, no_reads=0.2)
    assert line["no_read_rate-cam1"].beyond is False
    line.run(60, no_reads=0.4)
    assert line["no_read_rate-cam1"].beyond is True
    assert line["no_read_rate-cam1"].value == pytest.approx(0.4)
    assert line["no_read_rate-cam1"].window == 280
    judged = line.watch.levels()["cam1"][Cause.NO_READ_RATE]  # what the page says beside the alarm
    assert (judged.level.value, judged.level.limit) == (pytest.approx(0.4), 0.3)
    assert (judged.level.window, judged.quality) == (280, Quality.GOOD)


def test_a_few_fruit_are_no_share() -> None:
    line = Line()
    line.run(9, no_reads=1.0)
    assert line["no_read_rate-cam1"].beyond is None
    assert line["no_read_rate-cam1"].quality is Quality.UNCERTAIN
    line.run(1, no_reads=1.0)
    assert line["no_read_rate-cam1"].beyond is True


def test_empty_cups_are_no_fruit() -> None:
    line = Line()
    for i in range(500):
        line.watch.on_fruit(fruit(line.now + i / 10, read=False, empty=True))
    assert line["no_read_rate-cam1"].window == 0


def test_late_readings_are_noticed_by_their_95_percent_point() -> None:
    line = Line(latency_p95_s=0.2)
    line.run(60, latency_s=0.1)
    assert line["latency_budget-cam1"].beyond is False
    line.run(60, latency_s=0.3)
    assert line["latency_budget-cam1"].beyond is True
    assert line["latency_budget-cam1"].value == pytest.approx(0.3)


# --- explanations --------------------------------------------------------------------------------


def test_leaning_on_the_background_is_judged_on_the_mean_of_a_full_window() -> None:
    line = Line(explanations_window=10, background_reliance=0.6)
    line.run(9, explain={"reliance": 0.9})
    assert line["background_reliance-cam1"].beyond is None
    line.run(1, explain={"reliance": 0.9})
    judged = line["background_reliance-cam1"]
    assert judged.beyond is True
    assert (judged.value, judged.window, judged.samples) == (pytest.approx(0.9), 10, 10)
    assert judged.model == "unet"
    line.run(10, explain={"reliance": 0.3})
    assert line["background_reliance-cam1"].back is True


def test_a_single_odd_explanation_moves_no_window() -> None:
    line = Line(explanations_window=10)
    line.run(20, explain={"reliance": 0.3})
    line.run(1, explain={"reliance": 1.0})
    assert line["background_reliance-cam1"].beyond is False


def test_a_model_that_does_not_react_to_the_suture_is_noticed() -> None:
    line = Line(foreground_sensitivity=0.2)
    line.run(10, explain={"sensitivity": 0.1})
    assert line["foreground_insensitive-cam1"].beyond is True
    line.run(10, explain={"sensitivity": 0.22})
    assert line["foreground_insensitive-cam1"].beyond is False
    assert line["foreground_insensitive-cam1"].back is False  # inside the deadband
    line.run(10, explain={"sensitivity": 0.5})
    assert line["foreground_insensitive-cam1"].back is True


def test_undefined_explanations_make_the_quality_uncertain_and_hold_the_state() -> None:
    line = Line(explanations_window=10)
    line.run(10, explain={"reliance": 0.9})
    line.run(15, explain={"reliance": math.nan})
    assert line["background_reliance-cam1"].beyond is True
    line.run(1, explain={"reliance": math.nan})
    judged = line["background_reliance-cam1"]
    assert judged.quality is Quality.UNCERTAIN
    assert judged.beyond is None
    assert judged.value == pytest.approx(0.9)


def test_explanations_that_say_nothing_for_a_minute_are_no_data() -> None:
    line = Line(no_explanation_s=60)
    line.run(20)
    line.run(61, explain={"reliance": math.nan, "sensitivity": math.nan})
    assert line["background_reliance-cam1"].quality is Quality.BAD
    missing = line["agent_no_data-cam1"]
    assert missing.beyond is True
    assert "undefined for the suture" in said(missing)


# --- no data -------------------------------------------------------------------------------------


def test_fruit_without_explanations_are_no_data() -> None:
    line = Line(no_explanation_s=60)
    line.run(20)
    line.watch.on_failure(JobFailure("j", "cam1", "f", SamplingClass.PERIODIC, "null_control"))
    line.run(58, silent=True)
    assert line["agent_no_data-cam1"].beyond is False
    line.run(4, silent=True)
    assert line["agent_no_data-cam1"].beyond is True
    assert "null control" in said(line["agent_no_data-cam1"])
    assert line["background_reliance-cam1"].quality is Quality.BAD
    assert line["background_reliance-cam1"].beyond is None


def test_the_first_explanation_may_take_as_long_as_a_model_loads() -> None:
    line = Line(no_explanation_s=60)
    line.run(170, silent=True)
    assert line["agent_no_data-cam1"].beyond is False
    line.run(15, silent=True)
    assert line["agent_no_data-cam1"].beyond is True


def test_where_nothing_is_explained_nothing_is_missing() -> None:
    line = Line(no_explanation_s=60)
    line.watch.on_pool(PoolStatus(0, 0, 0, 0, False))
    line.run(300, silent=True)
    assert line["agent_no_data-cam1"].beyond is False


def test_silence_of_a_running_machine_is_no_data() -> None:
    line = Line(no_explanation_s=60)
    line.machine(RUNNING)
    line.run(20)
    line.wait(61)
    assert line["agent_no_data-cam1"].beyond is True
    assert "no fruit" in said(line["agent_no_data-cam1"])
    assert line["no_read_rate-cam1"].quality is Quality.BAD


def test_silence_while_no_machine_state_is_known_is_judged_later() -> None:
    line = Line(no_explanation_s=60, unknown_silence_s=300)
    line.run(20)
    line.wait(299)
    assert line["agent_no_data-cam1"].beyond is False
    line.wait(5)
    assert line["agent_no_data-cam1"].beyond is True


def test_after_a_pause_explanations_have_their_time_again() -> None:
    line = Line(no_explanation_s=60)
    line.run(20)
    line.wait(200)
    line.run(50, silent=True)
    assert line["agent_no_data-cam1"].beyond is False


# --- cameras -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [CameraState.STALLED, CameraState.BACKOFF, CameraState.FAILED])
def test_a_camera_that_delivers_nothing_is_lost_at_once(state: CameraState) -> None:
    line = Line()
    line.camera(state)
    assert line["camera_lost-cam1"].beyond is True
    assert "silence" in said(line["camera_lost-cam1"])


def test_a_camera_stays_lost_while_it_only_tries_again() -> None:
    line = Line()
    line.camera(CameraState.BACKOFF)
    line.camera(CameraState.CONNECTING)
    assert line["camera_lost-cam1"].beyond is True
    assert line["camera_lost-cam1"].back is False
    line.camera(CameraState.LIVE)
    assert line["camera_lost-cam1"].back is True


def test_a_camera_may_take_a_moment_to_connect_for_the_first_time() -> None:
    line = Line()
    line.camera(CameraState.CONNECTING)
    assert line["camera_lost-cam1"].beyond is False
    line.wait(11)
    assert line["camera_lost-cam1"].beyond is True


def test_a_frozen_camera_is_noticed_and_its_readings_count_for_nothing() -> None:
    line = Line()
    line.run(60)
    line.camera(CameraState.FROZEN)
    assert line["camera_frozen-cam1"].beyond is True
    assert line["no_read_rate-cam1"].quality is Quality.BAD
    assert line["no_read_rate-cam1"].suppressed_by


def test_a_camera_that_stays_frozen_is_not_called_lost_each_time_it_is_started_anew() -> None:
    line = Line()
    line.camera(CameraState.FROZEN)
    for state, cause in (
        (CameraState.BACKOFF, "frozen_too_long"),
        (CameraState.CONNECTING, "retry"),
        (CameraState.FROZEN, "identical"),
    ):
        line.camera(state, cause)
        assert line["camera_lost-cam1"].beyond is False
        assert line["camera_frozen-cam1"].back is False
        assert line["camera_frozen-cam1"].suppressed_by == ""
        assert line["no_read_rate-cam1"].suppressed_by == "its camera repeats one picture"
    line.camera(CameraState.LIVE, "picture_changed")
    assert line["camera_frozen-cam1"].back is True
    assert line["no_read_rate-cam1"].suppressed_by == ""


def test_a_frozen_camera_that_does_not_come_back_is_lost() -> None:
    line = Line()
    line.camera(CameraState.FROZEN)
    line.camera(CameraState.BACKOFF, "frozen_too_long")
    line.camera(CameraState.CONNECTING, "retry")
    line.camera(CameraState.BACKOFF, "open_failed")
    assert line["camera_lost-cam1"].beyond is True


def test_the_sentence_of_a_lost_camera_says_why_it_was_lost_and_not_that_it_tries_again() -> None:
    line = Line()
    line.camera(CameraState.BACKOFF, "read_failed")
    line.camera(CameraState.CONNECTING, "retry")
    assert said(line["camera_lost-cam1"]) == "backoff: read failed"


def test_what_is_read_off_a_frozen_picture_does_not_move_the_no_read_rate() -> None:
    line = Line()
    line.run(20)
    for i in range(100):
        line.watch.on_fruit(fruit(line.now + i / 100, read=False, frozen=True))
    assert line["no_read_rate-cam1"].value == 0.0


def test_a_lost_camera_suppresses_what_follows_from_it() -> None:
    line = Line()
    line.run(60)
    line.camera(CameraState.BACKOFF)
    for cause in ("camera_frozen", "no_read_rate", "latency_budget", "agent_no_data"):
        assert line[f"{cause}-cam1"].suppressed_by == "its camera is lost"
    assert line["camera_lost-cam1"].suppressed_by == ""
    assert line["background_reliance-cam1"].suppressed_by == ""
    assert line["background_reliance-cam1"].beyond is None


# --- the machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [MachineState.STOPPED, MachineState.CLEANING, MachineState.CHANGE_OVER]
)
def test_a_machine_that_does_not_run_suppresses_what_its_standing_explains(
    state: MachineState,
) -> None:
    line = Line()
    line.run(60)
    line.machine(state)
    line.camera(CameraState.STALLED)
    for cause in ("camera_lost", "camera_frozen", "no_read_rate", "agent_no_data"):
        assert line[f"{cause}-cam1"].suppressed_by == "the machine is not running"
    assert line["background_reliance-cam1"].suppressed_by == ""
    line.wait(3600)
    assert line["agent_no_data-cam1"].beyond is False


def test_windows_hold_while_the_machine_stands() -> None:
    line = Line()
    line.run(60)
    line.machine(STOPPED)
    line.run(60, no_reads=1.0, explain={"reliance": 1.0})
    line.machine(RUNNING)
    line.wait(10)
    assert line["no_read_rate-cam1"].value == 0.0
    assert line["background_reliance-cam1"].value == pytest.approx(0.2)


def test_a_machine_that_starts_gives_camera_and_explanations_a_moment() -> None:
    line = Line(no_explanation_s=60)
    line.machine(RUNNING)
    line.run(20)
    line.machine(STOPPED)
    line.camera(CameraState.STALLED)
    line.wait(55)
    line.machine(RUNNING)
    line.wait(1)
    assert line["camera_lost-cam1"].suppressed_by
    line.camera(CameraState.LIVE)
    line.run(50, silent=True)
    assert line["camera_lost-cam1"].suppressed_by == ""
    assert line["agent_no_data-cam1"].beyond is False


def test_a_frame_from_before_the_stop_does_not_start_the_machine_again() -> None:
    line = Line()
    line.machine(STOPPED)
    line.watch.on_fruit(fruit(line.now - 1, machine=RUNNING))
    assert line["camera_lost-cam1"].suppressed_by == "the machine is not running"


def test_frames_that_carry_the_machine_state_are_read() -> None:
    line = Line()
    line.watch.on_fruit(fruit(line.now + 1, machine=STOPPED))
    assert line["no_read_rate-cam1"].suppressed_by == "the machine is not running"


# --- workers and link ----------------------------------------------------------------------------


def test_missing_workers_are_noticed_after_a_while_and_a_breaker_at_once() -> None:
    line = Line()
    line.watch.on_pool(PoolStatus(2, 2, 0, 0, False))
    assert line["workers_degraded-agent"].beyond is False
    line.watch.on_pool(PoolStatus(2, 1, 1, 1, False))
    line.wait(29)
    assert line["workers_degraded-agent"].beyond is False
    line.wait(31)
    assert line["workers_degraded-agent"].beyond is True
    assert "1 of 2" in said(line["workers_degraded-agent"])
    line.watch.on_pool(PoolStatus(2, 2, 0, 1, False))
    assert line["workers_degraded-agent"].back is True
    line.watch.on_pool(PoolStatus(2, 0, 0, 9, True, "crashed"))
    assert line["workers_degraded-agent"].beyond is True
    assert "crashed" in said(line["workers_degraded-agent"])


def test_workers_may_load_their_model_first() -> None:
    line = Line()
    line.watch.on_pool(PoolStatus(1, 0, 0, 0, False))
    line.wait(0)
    line.wait(170)
    assert line["workers_degraded-agent"].beyond is False
    line.wait(20)
    assert line["workers_degraded-agent"].beyond is True


def test_degraded_workers_suppress_missing_explanations_and_never_missing_fruit() -> None:
    line = Line(no_explanation_s=60)
    line.machine(RUNNING)
    line.watch.on_pool(PoolStatus(1, 0, 0, 9, True))
    line.run(20)
    line.run(70, silent=True)
    assert line["agent_no_data-cam1"].beyond is True
    assert line["agent_no_data-cam1"].suppressed_by
    line.wait(70)
    assert "no fruit" in said(line["agent_no_data-cam1"])
    assert line["agent_no_data-cam1"].suppressed_by == ""


def test_a_second_client_with_our_name_is_noticed_after_it_is_gone_again() -> None:
    line = Line()
    line.watch.on_link(LinkStatus(False, "", "taken_over", line.now))
    line.watch.on_link(LinkStatus(True, "5", "connected", line.now + 60))
    line.wait(61)
    assert line["broker_session_conflict-agent"].beyond is True
    line.wait(300)
    assert line["broker_session_conflict-agent"].back is True


def test_news_of_a_lane_that_is_not_configured_is_ignored() -> None:
    line = Line()
    line.watch.on_fruit(fruit(line.now, camera="other"))
    line.watch.on_explanation(explanation(line.now, camera="other"))
    line.watch.on_failure(JobFailure("j", "other", "f", SamplingClass.PERIODIC, "deadline"))
    assert line["no_read_rate-cam1"].window == 0


def test_a_loss_of_stored_messages_is_an_alarm_for_an_hour_and_a_lost_disk_until_it_is_back() -> (
    None
):
    line = Line()
    line.watch.on_storage(StorageStatus(durable=True))
    line.wait(1)
    assert line["spool_loss-agent"].back is True
    lost = StorageStatus(
        durable=True, losses=1, lost_mono=line.now, loss="the state file was damaged"
    )
    line.watch.on_storage(lost)
    line.wait(1)
    assert line["spool_loss-agent"].beyond is True
    assert said(line["spool_loss-agent"]) == "the state file was damaged"
    line.wait(3600)
    assert line["spool_loss-agent"].back is True
    line.watch.on_storage(replace(lost, degraded="disk I/O error"))
    line.wait(10_000)
    assert line["spool_loss-agent"].beyond is True
    assert "disk I/O error" in said(line["spool_loss-agent"])
    hangs = replace(lost, degraded="no answer for 2 s", cause=StorageCause.DISK_HANGS)
    line.watch.on_storage(hangs)
    line.wait(1)
    assert said(line["spool_loss-agent"]) == "the disk hangs"


def test_a_word_for_one_lane_leaves_the_others_as_they_are() -> None:
    references = {"golden": reference(()), "blush": reference((), variety="blush")}
    watch = Watch(config.Alarms(), ("left", "right"), references)
    watch.on_machine(MachineInfo(RUNNING, variety="golden"))
    watch.on_machine(MachineInfo(STOPPED, variety="amber", lane="left"))
    watch.tick(100.0)
    charts = watch.charts()
    assert (charts["left"].held, charts["right"].held) == ("the machine does not run", "")
    watch.on_machine(MachineInfo(RUNNING, lane="left"))
    watch.tick(200.0)
    assert (charts["left"].held, charts["right"].held) == ("variety amber has no reference", "")
