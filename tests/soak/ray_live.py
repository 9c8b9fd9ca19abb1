"""A whole agent on a Ray cluster that is killed part by part: what the live path feels of it."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from tests.soak.measure import FRUIT, latencies_ms
from tests.support import wait_until
from tests.support.mosquitto import Observer, mosquitto
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.running import RunningAgent, running_agent

SOURCE = "sim:?rate=280&seed=12"
WINDOW_S = 60.0
"""Of each arm in a turn: one kill of each kind in it."""
WARM_UP_S = 20.0
LIMIT = 1.1
AWAY_S = 65.0
START_S = 300.0
LOWEST = ("chrt", "--idle", "0")
"""In a plant the cluster stands on other machines: what it takes to start again is not ours."""
KINDS = ("actor", "driver", "raylet", "head")


def live_path(folder: Path, rounds: int) -> tuple[list[str], list[str]]:
    """Undisturbed and with kills in turns, then the head away for a minute; lines and misses."""
    folder.mkdir(parents=True, exist_ok=True)
    p95: dict[str, list[float]] = {"undisturbed": [], "killed": []}
    with (
        ray_cluster(cpus=1, prefix=LOWEST) as cluster,
        mosquitto(folder) as broker,
        Observer(broker.port) as seen,
    ):
        file = folder / "ray.yaml"
        file.write_text(
            f"cameras: [{{name: cam1, source: '{SOURCE}'}}]\n"
            f"mqtt: {{broker: '{broker.url}'}}\n"
            f"ablation: {{workers: {{pool: ray, ray: {{address: '{cluster.address}', gpus: 0}}}}}}\n"
        )
        with running_agent(folder, "--config", str(file)) as agent:
            agent.wait_ready(START_S)
            _explained(agent, 1)
            threading.Event().wait(WARM_UP_S)
            arms: dict[str, Callable[[], None]] = {
                "undisturbed": lambda: time.sleep(WINDOW_S),
                "killed": lambda: _kill_each(agent, cluster),
            }
            for turn in range(rounds):
                for arm in sorted(arms, reverse=turn % 2 == 0):
                    first = len(seen.all(FRUIT))
                    arms[arm]()
                    p95[arm].append(float(np.percentile(latencies_ms(seen, first), 95)))
                    _explained(agent, 2)  # it is back before the next one
            away = _away(agent, cluster, seen)
            agent.stop()
        books = agent.job_books()
    median = {arm: statistics.median(values) for arm, values in p95.items()}
    ratio = median["killed"] / median["undisturbed"]
    lines = [
        f"Live path of an agent, capture to mask p95 in ms, {rounds} turns of {WINDOW_S:.0f} s; one "
        f"`kill -9` each of {', '.join(KINDS)} in each of the disturbed:",
        "",
        "| | " + " | ".join(f"turn {i + 1}" for i in range(rounds)) + " | median |",
        "|---" * (rounds + 2) + "|",
        *(
            f"| {arm} | " + " | ".join(f"{v:.1f}" for v in values) + f" | {median[arm]:.1f} |"
            for arm, values in p95.items()
        ),
        "",
        f"killed / undisturbed = {ratio:.2f} (limit {LIMIT}). Head away for {AWAY_S:.0f} s: "
        f"{away[0]} fruit read meanwhile of {away[1]:.0f} expected; the next explanation "
        f"{away[2]:.1f} s after its return. Explanations: {books['selected']} selected, "
        f"{books['completed']} done, {books['dropped']} dropped with a reason, "
        f"{books['in_flight']} unaccounted.",
    ]
    checks = {
        f"live path: {ratio:.2f} of undisturbed": ratio <= LIMIT,
        f"{books['in_flight']} jobs of the agent unaccounted": books["in_flight"] == 0,
        f"fruit while the head was away: {away[0]}": away[0] >= 0.95 * away[1],
    }
    return lines, [name for name, met in checks.items() if not met]


def _kill_each(agent: RunningAgent, cluster: RayCluster) -> None:
    """One kill of each kind, a quarter of the window apart; the cluster comes back each time."""
    began = time.monotonic()
    for number, kind in enumerate(KINDS):
        pids = [process.pid for process in _victims(kind, agent, cluster)]
        assert pids, f"there is no {kind} to kill"
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if kind in ("raylet", "head"):
            cluster.restart()
        if number < len(KINDS) - 1:
            _explained(agent, 1)  # otherwise there is no actor or raylet to kill
        due = began + (number + 1) * WINDOW_S / len(KINDS)
        threading.Event().wait(max(0.0, due - time.monotonic()))


def _victims(kind: str, agent: RunningAgent, cluster: RayCluster) -> list[psutil.Process]:
    if kind == "driver":
        return list(agent.children("ray-driver"))
    names = {"actor": "ray::WorkerHost", "raylet": "/raylet/raylet ", "head": ""}
    ours = {process.pid for process in agent.children()}
    return [one for one in cluster.processes(names[kind]) if one.pid not in ours]


def _explained(agent: RunningAgent, more: int) -> None:
    """Wait for so many explanations from now on."""
    before = agent.total("pitwatch_jobs_completed_total")
    wait_until(
        lambda: agent.total("pitwatch_jobs_completed_total") >= before + more,
        START_S,
        "explanations",
        every_s=0.5,
    )


def _away(agent: RunningAgent, cluster: RayCluster, seen: Observer) -> tuple[int, float, float]:
    """Fruit read while the head is away, those expected, and seconds until it explains again."""
    first = len(seen.all(FRUIT))
    for process in _victims("head", agent, cluster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    threading.Event().wait(AWAY_S)
    read = len(seen.all(FRUIT)) - first
    assert agent.status()["workers"]["ready"] == 0, "the head is away"
    cluster.restart()
    began = time.monotonic()
    _explained(agent, 1)
    return read, AWAY_S * 280 / 60, time.monotonic() - began
