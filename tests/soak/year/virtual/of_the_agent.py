"""Faults of the computer, its clocks and the agent itself, and what a machine camera measures."""

from __future__ import annotations

import logging

from agent.alarms.catalogue import Cause
from agent.capture.messages import Remarked, Unreadable
from agent.capture.source import Measurements
from agent.publishing.connection import link
from agent.records import MachineInfo
from agent.telemetry import log_event
from tests.soak.year.told import Beside
from tests.soak.year.virtual.of_cameras import ALSO, RESTARTED, well
from tests.soak.year.virtual.plant import VARIETY, Plant
from tests.soak.year.virtual.planting import Act, Planting, Plantings

TOLD = Beside(log={"pictures_lost": "in words", "pictures_unreadable": "in words"})
HOUR_S = 3600.0
MONTH_S = 30 * 86_400.0


def _measures(*messages: Measurements | Unreadable | Remarked) -> Planting:
    def begin(plant: Plant, camera: str) -> None:
        plant.cameras.lives[camera].says += messages

    return Planting(begin=begin, lasts_s=3.0, beside=TOLD)


def _warm(plant: Plant, camera: str) -> None:
    warm = 60.0 + float(plant.draw.random())
    plant.cameras.lives[camera].says.append(Measurements(temperature_celsius=warm))


def _without_ptp(plant: Plant, camera: str) -> None:
    off_s = 0.5 + float(plant.draw.random())
    plant.cameras.lives[camera].says.append(Measurements(clock_offset_s=off_s))


def _queued(plant: Plant, camera: str) -> None:
    """Its next session begins with what stood on the way."""
    plant.cameras.lives[camera].queued = 3
    for child in plant.cameras._children:
        if child.name == f"capture-{camera}":
            child._gone = True


def _step(seconds: float) -> Act:
    return lambda plant, _camera: plant.clock.step(seconds)


def _boots_wrong(plant: Plant, _camera: str) -> None:
    plant.clock.step(-MONTH_S)
    plant.clock.synchronised = 0.0
    plant.restart()


def _finds_the_time(plant: Plant, _camera: str) -> None:
    plant.clock.step(MONTH_S)
    plant.clock.synchronised = 1.0


def _synchronised(value: float) -> Act:
    def begin(plant: Plant, _camera: str) -> None:
        plant.clock.synchronised = value

    return begin


def _stands(plant: Plant, _camera: str) -> None:
    plant.say(state="stopped")


def _runs(plant: Plant, _camera: str) -> None:
    plant.say_running()


def _asleep(plant: Plant, _camera: str) -> None:
    """Nothing runs for ten minutes, and the broker has given the connection up."""
    plant.clock.advance(600.0)
    plant.broker.cut(link.Cause.LOST)


def _more_than_the_inbox(plant: Plant, _camera: str) -> None:
    for _ in range(10_100):
        plant.stages.alarm_loop.post(MachineInfo())
    plant.say_running()


def _misused(plant: Plant, _camera: str) -> None:
    plant.telemetry.count("fruit", cammera="cam1")


def _log_flood(_plant: Plant, _camera: str) -> None:
    for _ in range(500):
        log_event(logging.getLogger("agent.year"), logging.WARNING, "planted", reason="flood")


def _trigger_away(plant: Plant, camera: str) -> None:
    plant.say(state="unknown", lane=camera)
    plant.cameras.lives[camera].reads = "silent"


def _trigger_back(plant: Plant, camera: str) -> None:
    well(plant, camera)
    plant.say(state="running", variety=VARIETY, lane=camera)


def _repeats(plant: Plant, camera: str) -> None:
    plant.cameras.lives[camera].reads = "same" if int(plant.mono()) % 4 == 0 else ""


def _life(**changes: object) -> Act:
    def begin(plant: Plant, camera: str) -> None:
        for name, value in changes.items():
            setattr(plant.cameras.lives[camera], name, value)

    return begin


PLANTINGS: Plantings = {
    "machine-stands": Planting(begin=_stands, end=_runs, lasts_s=120.0),
    "trigger-away": Planting(
        begin=_trigger_away, end=_trigger_back, within_s=900.0, back_s=900.0, beside=ALSO,
        unseen={"last_frame_timestamp_seconds": "it stands"},
    ),
    "pictures-partly-repeated": Planting(begin=_repeats, again=_repeats, end=well, lasts_s=30.0),
    "pictures-dropped-by-the-camera": Planting(begin=_life(per_s=1.4), end=well, lasts_s=60.0),
    "pictures-late-by-the-camera": Planting(
        begin=_life(late_s=0.3), end=well, lasts_s=60.0, back_s=900.0, beside=ALSO
    ),
    "picture-facts-too-long": Planting(begin=_life(facts_too_long=True), end=well, lasts_s=3.0),
    "machine-camera-pictures-lost-in-transit": _measures(Measurements(lost={"transit": 2})),
    "computer-too-slow-for-the-camera": _measures(Measurements(lost={"underrun": 2})),
    "machine-camera-packets-sent-again": _measures(Measurements(packets={"resent": 7})),
    "machine-camera-picture-incomplete": _measures(
        Unreadable({"incomplete": 1}, "planted"), Measurements(packets={"missing": 3})
    ),
    "camera-grows-warm": Planting(begin=_warm, again=_warm, lasts_s=3.0),
    "camera-without-ptp-master": Planting(begin=_without_ptp, again=_without_ptp, lasts_s=3.0),
    "queue-at-the-connect": Planting(
        begin=_queued,
        end=well,
        beside=Beside(
            {Cause.CAMERA_LOST: "its session is ended, so that another one begins"},
            ALSO.metrics,
            ALSO.log,
        ),
    ),
    "triggers-lost": _measures(Measurements(triggers_lost=1)),
    "wall-clock-steps": Planting(begin=_step(HOUR_S), end=_step(-HOUR_S), lasts_s=30.0),
    "clock-not-synchronised": Planting(
        begin=_synchronised(0.0), end=_synchronised(1.0), lasts_s=30.0
    ),
    "wall-clock-wrong-after-boot": Planting(
        begin=_boots_wrong, end=_finds_the_time, lasts_s=60.0, beside=RESTARTED
    ),
    "computer-asleep": Planting(
        begin=_asleep, lasts_s=10.0, back_s=900.0,
        beside=Beside(
            metrics={**RESTARTED.metrics, "worker_restarts": "", "jobs_dropped": "", "publish_results": ""},
            log={"broker_lost": "", "camera_state": "", "job_failed": "", "worker_ended": ""},
        ),
    ),
    "news-beyond-the-inbox": Planting(
        begin=_more_than_the_inbox, lasts_s=5.0,
        beside=Beside(metrics={"machine_words_unused": "", "machine_messages": ""}),
    ),
    "telemetry-misused": Planting(
        begin=_misused, lasts_s=2.0,
        unseen={
            "telemetry_errors{reason=cardinality}": "its series would stay for the whole year",
            "telemetry_refused": "of each metric once a start",
        },
    ),
    "log-flood": Planting(
        begin=_log_flood, lasts_s=70.0, beside=Beside(log={"planted": "the flood itself"})
    ),
}  # fmt: skip
