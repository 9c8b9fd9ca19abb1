"""A pool of fake workers for tests, and what they are asked."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from agent import config
from agent.ablation.pool.messages import WorkerSpec
from agent.ablation.pool.pool import AblationPool
from agent.records import (
    CLASSES,
    Explanation,
    Frame,
    JobFailure,
    MachineInfo,
    NoReadReason,
    Reading,
    Rung,
    SamplingClass,
    SegmentedFrame,
    Selection,
)
from agent.telemetry import NullTelemetry
from tests.support import wait_until

TARGETS = "tests.ablation.pool.targets"
START_S = 100.0
"""Generous: other work on the machine may slow a start down."""
_numbers = itertools.count()


class CountingTelemetry(NullTelemetry):
    """Keeps what was counted, gauged and beaten."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        self.beats = 0
        self._lock = threading.Lock()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        super().count(name, amount, **labels)
        with self._lock:
            self.counted[" ".join((name, *labels.values()))] += int(amount)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        super().gauge(name, value, **labels)
        self.gauges[" ".join((name, *labels.values()))] = value

    def beat(self, loop: str, /) -> None:
        self.beats += 1


def workers(**settings: object) -> config.Workers:
    """Settings for quick tests: CPU slots at normal priority, beating fast."""
    count = settings.setdefault("count", 1)
    local = settings.get("pool") != "ray"
    defaults: dict[str, object] = {
        "devices": ("cpu",) * count if local else None,  # type: ignore[operator]
        "priority": "normal",
        "heartbeat_s": 0.1,
        "heartbeat_timeout_s": 10.0,
        "restart_budget": 20,
    }
    return config.Workers(**{**defaults, **settings})  # type: ignore[arg-type]


def in_cluster(address: str, **ray: object) -> dict[str, object]:
    """Settings of a pool whose workers are in a cluster, each on a processor of it."""
    return {
        "pool": "ray",
        "ray": {"address": address, "gpus": 0, "cpus": 1, **ray},
        "heartbeat_timeout_s": 60.0,  # a busy machine is no silence
    }


def make_pool(
    function: str = "main", layer: str | None = None, **settings: object
) -> tuple[AblationPool, CountingTelemetry]:
    """A pool of an agent of its own, where several share a cluster."""
    telemetry = CountingTelemetry()
    spec = WorkerSpec(
        model=config.Model(layer=layer),
        target=function if ":" in function else f"{TARGETS}:{function}",
        agent_id=f"agent{next(_numbers)}",
    )
    return AblationPool(spec, workers(**settings), telemetry, time.monotonic), telemetry


Start = Callable[..., tuple[AblationPool, CountingTelemetry]]


@contextmanager
def stopped_pools() -> Iterator[Start]:
    """``make_pool`` and start, as often as wanted; each pool is gone at the end."""
    pools: list[AblationPool] = []

    def start_pool(*args: object, **settings: object) -> tuple[AblationPool, CountingTelemetry]:
        pool, telemetry = make_pool(*args, **settings)  # type: ignore[arg-type]
        pools.append(pool)
        pool.start()
        return pool, telemetry

    yield start_pool
    for pool in pools:
        assert pool.stop(20.0)


def selection(
    what: int = 0,
    *,
    deadline_s: float = 60.0,
    image: np.ndarray | None = None,
    aperture: np.ndarray | None = None,
    rung: Rung = Rung.EXACT,
) -> Selection:
    """A job whose first pixel tells the fake worker what to do."""
    now = time.monotonic()
    number = next(_numbers)
    if image is None:
        image = np.zeros((8, 8, 3), np.uint8)
        image[0, 0, 0] = what
    frame = Frame("cam1", f"f{number}", number, 1000, now, image, aperture)
    nan = math.nan
    reading = Reading(False, -1.0, NoReadReason.NO_SUTURE, 0.0, nan, nan, nan, nan)
    seen = SegmentedFrame(
        lane="cam1",
        frame_id=frame.frame_id,
        seq=number,
        captured_utc_ms=1000,
        captured_mono=now,
        classes=CLASSES,
        mask=np.zeros((4, 4), np.uint8),
        margins=(1.0, 1.0, 1.0),
        areas=(1.0, 0.0, 0.0),
        reading=reading,
        machine=MachineInfo(),
        done_mono=now,
        seconds=0.01,
    )
    return Selection(f"job{number}", frame, seen, SamplingClass.PERIODIC, rung, now, deadline_s)


def wait_ready(pool: AblationPool, count: int = 1) -> None:
    wait_until(lambda: pool.free_slots() >= count, START_S, f"{count} free workers")


def wait_results(
    pool: AblationPool, count: int = 1, timeout_s: float = START_S
) -> list[Explanation | JobFailure]:
    found: list[Explanation | JobFailure] = []
    wait_until(lambda: found.extend(pool.results()) or len(found) >= count, timeout_s, "results")
    return found


def run_job(pool: AblationPool, job: Selection) -> Explanation | JobFailure:
    """Submit as soon as a worker is free, and wait for the answer."""
    wait_until(lambda: pool.submit(job), START_S, "a worker that takes the job")
    (result,) = wait_results(pool)
    assert result.job_id == job.job_id
    return result


def pid_of(result: Explanation | JobFailure) -> int:
    assert isinstance(result, Explanation), result
    return int(result.method.split()[-1])


def state_of(pid: int) -> str:
    """One letter of /proc/PID/stat, or 'gone'."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return state_of(pid) in {"Z", "gone"}
