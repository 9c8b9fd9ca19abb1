"""Workers in a Ray cluster on loopback: the local pool's tests, throughput, kills, a flood, and an
agent whose cluster is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from agent.ablation.pool.messages import Order, WorkerArgs
from agent.ablation.pool.pool import AblationPool
from agent.ablation.pool.worker import Answer, Phase, serve
from agent.records import Explanation, JobFailure, SamplingClass
from agent.supervision.channel import Channel
from tests.ablation.pool.support import (
    CountingTelemetry,
    in_cluster,
    make_pool,
    run_job,
    selection,
    wait_ready,
)
from tests.soak.ray_guarded import guarded
from tests.soak.ray_live import live_path
from tests.support import wait_until
from tests.support.ray_cluster import RayCluster, ray_cluster

ROOT = Path(__file__).parents[2]
SLEEP_S = 0.05
ACTORS = (1, 2, 4)
MEASURED_S = 10.0
KILLS = 20
SIDE_PX = 192
START_S = 180.0
Result = Explanation | JobFailure


def ray(folder: Path, rounds: int, share: float) -> tuple[list[str], list[str]]:
    """Measure, and return the table's lines and the bars that were missed."""
    folder.mkdir(parents=True)
    before = set(Path("/dev/shm").iterdir())
    lines, missed = _same_tests()
    result = _real_result(folder)
    for part in (
        partial(_throughput, result, rounds),
        partial(_real_jobs, rounds),
        partial(_kills, result, max(1, round(KILLS * share))),
        partial(_flood, result),
        partial(guarded, folder / "guarded"),
        partial(live_path, folder / "live", rounds),
    ):
        more, failures = part()
        lines += ["", *more]
        missed += failures
        print("\n".join(more), flush=True)
    left = sorted(set(Path("/dev/shm").iterdir()) - before)
    lines += ["", f"Left in /dev/shm at the end: {len(left)}.", ""]
    return lines, missed + ([f"left in /dev/shm: {[path.name for path in left]}"] if left else [])


# --- workers -------------------------------------------------------------------------------------


def sleeping(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    """A worker that takes a picture, sleeps, and answers with a whole explanation."""
    serve(channel, args, fds, _sleeping)


def _sleeping(args: WorkerArgs, _phase: Phase) -> tuple[Answer, str]:
    path, _, seconds = str(args.spec.model.layer).partition("|")
    made = pickle.loads(Path(path).read_bytes())

    def answer(order: Order, image: NDArray[np.uint8], _aperture: object) -> Explanation:
        time.sleep(float(seconds))
        assert image.shape == (SIDE_PX, SIDE_PX, 3)
        return dataclasses.replace(made, job_id=order.job_id, frame_id=order.frame_id)

    return answer, "sleeping"


def _picture() -> NDArray[np.uint8]:
    small = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    return np.kron(small, np.ones((16, 16, 1), np.uint8))


def _real_result(folder: Path) -> Path:
    """One explanation by the model of the package, as a file."""
    pool, _ = make_pool("agent.ablation.pool.worker:main", heartbeat_timeout_s=60.0)
    pool.start()
    try:
        wait_until(lambda: pool.free_slots() == 1, START_S)
        found = run_job(pool, selection(image=_picture(), deadline_s=600.0))
    finally:
        pool.stop(20.0)
    assert isinstance(found, Explanation), found
    path = folder / "explanation.pickle"
    path.write_bytes(pickle.dumps(found))
    return path


def _sleepers(
    result: Path, address: str, count: int, seconds: float = SLEEP_S, **ray: object
) -> tuple[AblationPool, CountingTelemetry]:
    pool, telemetry = make_pool(
        "tests.soak.ray:sleeping",
        f"{result}|{seconds}",
        **{**in_cluster(address, **ray), "count": count, "restart_budget": 1000},
        breaker_cooldown_s=1.0,
    )
    pool.start()
    return pool, telemetry


# --- the local pool's tests ----------------------------------------------------------------------


def _same_tests() -> tuple[list[str], list[str]]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-k", "ray", "--timeout", "600",
         "tests/ablation/pool/test_pool.py"],
        cwd=ROOT,
        env={**os.environ, "PITWATCH_ALL_OVER_RAY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
    said = re.sub(r" in [\d.]+s.*", "", last.strip("= "))
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return [f"The local pool's tests over Ray: {said}."], failed


# --- throughput ----------------------------------------------------------------------------------


def _rate(pool: AblationPool, seconds: float) -> float:
    """Explanations a second while every worker has a job at all times."""
    image = _picture()
    first: float | None = None
    done = 0
    ended: list[Result] = []
    while True:
        ended = pool.results()
        now = time.monotonic()
        assert all(isinstance(one, Explanation) for one in ended), ended
        if first is None and ended:
            first = now  # warm from the first answer on
        elif first is not None:
            done += len(ended)
            if now - first >= seconds:
                return done / (now - first)
        while pool.free_slots():
            pool.submit(selection(image=image))
        time.sleep(0.001)


def _throughput(result: Path, rounds: int) -> tuple[list[str], list[str]]:
    lines = [
        f"Jobs that sleep {SLEEP_S * 1000:.0f} ms with a picture of {SIDE_PX} px and a whole result, "
        f"medians of {rounds}; the same in a local pool beside it:",
        "",
        "| workers | a second, Ray | of linear | a second, local | of linear |",
        "|---|---|---|---|---|",
    ]
    missed = []
    with ray_cluster(cpus=4) as cluster:
        for count in ACTORS:
            ideal = count / SLEEP_S
            local, _ = make_pool("tests.soak.ray:sleeping", f"{result}|{SLEEP_S}", count=count)
            local.start()
            remote, _ = _sleepers(result, cluster.address, count)
            rates = _interleaved({"ray": remote, "local": local}, count, rounds)
            share, beside = rates["ray"] / ideal, rates["local"] / ideal
            lines.append(
                f"| {count} | {rates['ray']:.1f} | {share:.2f} | {rates['local']:.1f} | {beside:.2f} |"
            )
            if share < 0.9:
                missed.append(f"{count} actors: {share:.2f} of linear (local pool: {beside:.2f})")
    return lines, missed


def _real_jobs(rounds: int) -> tuple[list[str], list[str]]:
    main = "agent.ablation.pool.worker:main"
    with ray_cluster(cpus=4) as cluster:
        local, _ = make_pool(main, count=2, heartbeat_timeout_s=60.0)
        remote, _ = make_pool(main, **{**in_cluster(cluster.address), "count": 2})
        for pool in (local, remote):
            pool.start()
        rates = _interleaved({"ray": remote, "local": local}, 2, rounds)
    ratio = rates["ray"] / rates["local"]
    lines = [
        f"Real explanations on 2 workers, medians of {rounds} in turns: {rates['ray']:.2f} a second "
        f"over Ray, {rates['local']:.2f} in the local pool: {ratio:.2f}."
    ]
    return lines, [f"real jobs: {ratio:.2f} of the local pool"] if ratio < 0.9 else []


def _interleaved(pools: dict[str, AblationPool], count: int, rounds: int) -> dict[str, float]:
    try:
        for pool in pools.values():
            wait_until(lambda pool=pool: pool.free_slots() >= count, START_S)
        found: dict[str, list[float]] = {name: [] for name in pools}
        for _ in range(rounds):
            for name, pool in pools.items():
                found[name].append(_rate(pool, MEASURED_S))
                wait_until(lambda pool=pool: pool.status().busy == 0, START_S)
                pool.results()
        return {name: float(np.median(rates)) for name, rates in found.items()}
    finally:
        for pool in pools.values():
            pool.stop(20.0)


# --- kills ---------------------------------------------------------------------------------------


def _kills(result: Path, count: int) -> tuple[list[str], list[str]]:
    """``kill -9`` of each part while jobs run: every job taken ends exactly once."""
    lines = [
        f"`kill -9` of each part, {count} times while jobs run on two workers:",
        "",
        "| killed | jobs taken | explained | lost with a reason | unaccounted | "
        "longest until the next explanation, s | processes left |",
        "|---|---|---|---|---|---|---|",
    ]
    missed = []
    kinds: dict[str, Callable[[RayCluster, AblationPool], list[int]]] = {
        "actor": lambda cluster, _pool: _pids(cluster, "ray::WorkerHost"),
        "driver": lambda _cluster, pool: pool.local_pids(),
        "raylet": lambda cluster, _pool: _pids(cluster, "/raylet/raylet "),
        "head": lambda cluster, _pool: _pids(cluster, ""),
    }
    for kind, victims in kinds.items():
        books, longest_s, left = _killed(
            result, count, victims, restarts=kind in ("raylet", "head")
        )
        taken, explained, lost = books
        open_jobs = taken - explained - lost
        lines.append(
            f"| {kind} | {taken} | {explained} | {lost} | {open_jobs} | {longest_s:.1f} | {left} |"
        )
        if open_jobs:
            missed.append(f"{kind}: {open_jobs} jobs unaccounted")
        if left:
            missed.append(f"{kind}: {left} processes left")
    return lines, missed


def _pids(cluster: RayCluster, name: str) -> list[int]:
    return [process.pid for process in cluster.processes(name)]


def _killed(
    result: Path,
    count: int,
    victims: Callable[[RayCluster, AblationPool], list[int]],
    *,
    restarts: bool,
) -> tuple[tuple[int, int, int], float, int]:
    """Jobs taken, explained and lost; the longest until the next explanation; processes left.

    ``restarts``: the cluster is started again after each kill, as its service would be.
    """
    taken: set[str] = set()
    ended: list[Result] = []
    seen: set[int] = set()
    image, longest_s = _picture(), 0.0
    with ray_cluster(cpus=4) as cluster:
        pool, _ = _sleepers(result, cluster.address, 2)

        def explained_more_than(number: int) -> bool:
            while pool.free_slots():
                job = selection(image=image)
                if pool.submit(job):
                    taken.add(job.job_id)
            ended.extend(pool.results())
            return sum(isinstance(one, Explanation) for one in ended) > number

        try:
            wait_ready(pool, 2)
            for _ in range(count):
                explained = sum(isinstance(one, Explanation) for one in ended)
                wait_until(lambda done=explained: explained_more_than(done + 20), START_S)
                wait_until(lambda: explained_more_than(len(taken)) or pool.status().busy, START_S)
                seen |= {*pool.pids().values(), *pool.local_pids()}
                for pid in victims(cluster, pool)[: None if restarts else 1]:
                    _kill(pid)
                killed = time.monotonic()
                ended.extend(pool.results())
                explained = sum(isinstance(one, Explanation) for one in ended)
                if restarts:
                    cluster.restart()
                wait_until(lambda done=explained: explained_more_than(done + 2), START_S)
                longest_s = max(longest_s, time.monotonic() - killed)
            seen |= {*pool.pids().values(), *pool.local_pids()}
        finally:
            pool.stop(20.0)
            ended.extend(pool.results())
    time.sleep(1.0)
    left = sum(psutil.pid_exists(pid) for pid in seen)
    jobs = [one.job_id for one in ended]
    assert len(jobs) == len(set(jobs)), "a job ended twice"
    assert set(jobs) <= taken
    done = sum(isinstance(one, Explanation) for one in ended)
    return (len(taken), done, len(ended) - done), longest_s, left


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# --- three agents --------------------------------------------------------------------------------

FLOOD_SLEEP_S = 0.5
ASKS = 20


def _flood(result: Path) -> tuple[list[str], list[str]]:
    """Two agents' alarms, alone and while a third floods the one place that they share."""
    waits: dict[str, list[float]] = {"alone": [], "flooded": []}
    with ray_cluster(cpus=1) as cluster:
        pools = [
            _sleepers(result, cluster.address, 2 if n == 0 else 1, FLOOD_SLEEP_S, cpus=0.2)[0]
            for n in range(3)
        ]
        flooding, *others = pools
        try:
            for pool in others:
                wait_ready(pool)
            wait_ready(flooding, 2)
            for case, waited in waits.items():
                for number in range(ASKS):
                    if case == "flooded":
                        flooding.results()
                        while flooding.free_slots():
                            flooding.submit(selection(image=_picture()))
                    other = others[number % 2]
                    job = selection(image=_picture())
                    job = dataclasses.replace(job, sampling_class=SamplingClass.ALARM)
                    begun = time.monotonic()
                    assert other.submit(job)
                    wait_until(other.results, START_S)
                    waited.append(time.monotonic() - begun)
                    wait_ready(other)
        finally:
            for pool in pools:
                pool.stop(20.0)
    more_s = max(waits["flooded"]) - float(np.median(waits["alone"]))
    medians = {case: float(np.median(waited)) for case, waited in waits.items()}
    lines = [
        f"Three agents on one place, jobs of {FLOOD_SLEEP_S * 1000:.0f} ms, {ASKS} alarm explanations "
        f"of two of them: median {medians['alone']:.2f} s alone, {medians['flooded']:.2f} s while the "
        f"third floods; at most {more_s:.2f} s more."
    ]
    return lines, [f"flood: {more_s:.2f} s more"] if more_s > 2.0 else []
