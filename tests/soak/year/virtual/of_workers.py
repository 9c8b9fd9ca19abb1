"""Faults of the workers that explain: what they say, or do not, from their messages on."""

from __future__ import annotations

from agent.ablation.pool.messages import StartFailed
from agent.records import JobFailure, SamplingClass
from tests.soak.year.told import Beside
from tests.soak.year.virtual.plant import Plant
from tests.soak.year.virtual.planting import Act, Planting, Plantings
from tests.soak.year.virtual.workers import WorkerLife

WORKERS_S = 600.0
ALSO = Beside(
    metrics={"jobs_dropped": "the job at hand", "worker_restarts": "its successor"},
    log={"job_failed": "the job at hand", "worker_ended": "in words"},
)


def _life(**changes: object) -> Act:
    def begin(plant: Plant, _camera: str) -> None:
        for name, value in changes.items():
            setattr(plant.workers.life, name, value)

    return begin


def well(plant: Plant, _camera: str) -> None:
    """Workers are as they should be from now on."""
    plant.workers.life = WorkerLife()


def _bad(lasts_s: float = 20.0, **changes: object) -> Planting:
    """Several such jobs and workers: what follows of them is allowed by the row."""
    return Planting(
        begin=_life(**changes),
        end=well,
        lasts_s=lasts_s,
        within_s=WORKERS_S,
        back_s=900.0,
        beside=ALSO,
    )


def _either(plant: Plant, _camera: str) -> None:
    plant.workers.life.job = "error" if int(plant.mono()) // 10 % 2 else "null_control"


def _ended_twice(plant: Plant, camera: str) -> None:
    again = JobFailure("unknown", camera, "unknown", SamplingClass.PERIODIC, "error")
    plant.stages.explain._end(again, 0.0)


def _defect(plant: Plant, _camera: str) -> None:
    """The next turn of a slot that has a job raises."""
    slot = plant.stages.pool._slots[0]
    turn = slot.turn

    def fails(now: float) -> None:
        if slot._job is None:
            turn(now)
            return
        slot.turn = turn
        raise RuntimeError("planted")

    slot.turn = fails


CANNOT = StartFailed("model", "planted", permanent=True)
PLANTINGS: Plantings = {
    "worker-killed": Planting(
        begin=_life(job="dies", idle="dies"), end=well, lasts_s=1.0, within_s=60.0, beside=ALSO
    ),
    "worker-crashes": _bad(4.0, job="dies"),
    "worker-out-of-memory": _bad(4.0, job="out_of_memory", fatal=True),
    "gpu-fails": _bad(4.0, job="device_error", fatal=True),
    "worker-hangs": _bad(8.0, idle="hangs", job="hangs"),
    "job-beyond-its-deadline": _bad(30.0, job="late"),
    "worker-grows": _bad(5.0, rss_mib=90_000),
    "workers-die-at-the-start": _bad(60.0, starts="dies", idle="dies", job="dies"),
    "worker-cannot-load-the-model": _bad(60.0, starts=CANNOT, idle="dies", job="dies"),
    "worker-does-not-become-ready": _bad(60.0, starts="never", idle="dies", job="dies"),
    "job-fails": Planting(begin=_either, again=_either, end=well, lasts_s=25.0, beside=ALSO),
    "picture-not-handed-over": _bad(5.0, job="picture"),
    "explanations-stop": Planting(
        begin=_life(job="error"),
        end=well,
        within_s=300.0,
        back_s=900.0,
        beside=ALSO,
        unseen={"last_explanation_timestamp_seconds": "it stands"},
    ),
    "pool-defect": Planting(
        begin=_defect,
        end=well,
        beside=Beside(metrics=ALSO.metrics, log={**ALSO.log, "pool_failed": "the defect itself"}),
    ),
    "job-ends-twice": Planting(begin=_ended_twice, lasts_s=2.0),
}
