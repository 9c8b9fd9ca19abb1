"""What the long proofs measure: latencies per fruit, memory per kind of process, final books."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import RunningAgent, running_agent

FRUIT = "/fruit/cam1"
READY_S = 180


@dataclass(slots=True)
class Run:
    """One run of the agent: capture-to-mask of every fruit in ms, and what else was seen."""

    latency_ms: list[float] = field(default_factory=list)
    memory_mib: dict[str, list[float]] = field(default_factory=dict)
    books: dict[str, int] = field(default_factory=dict)
    explanations: int = 0
    explanation_s: float = 0.0
    worker_restarts: int = 0
    exit_code: int = -1

    def quantile(self, q: float) -> float:
        return float(np.percentile(self.latency_ms, 100 * q))

    def memory(self, kind: str) -> tuple[float, float]:
        """First and last tenth's mean, MiB: their difference is growth."""
        series = self.memory_mib.get(kind, [0.0])
        tenth = max(1, len(series) // 10)
        return float(np.mean(series[:tenth])), float(np.mean(series[-tenth:]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``warm_up_s`` is not counted: workers load their model in it."""

    config: str
    seconds: float
    warm_up_s: float


class Disturbance:
    """Does something to a running agent until it is stopped; the plain one does nothing."""

    def begin(self, agent: RunningAgent) -> None:
        """Called when the agent is ready."""

    def end(self) -> None:
        """Called before the agent is stopped."""


def measure(folder: Path, plan: Plan, disturbance: Disturbance | None = None) -> Run:
    """Run the agent against a real mosquitto and return what was measured."""
    disturbance = disturbance or Disturbance()
    run = Run()
    folder.mkdir(parents=True, exist_ok=True)
    with mosquitto(folder) as broker, Observer(broker.port) as seen:
        config = folder / "soak.yaml"
        config.write_text(plan.config + f"\nmqtt: {{broker: '{broker.url}'}}\n")
        with running_agent(folder, "--config", str(config)) as agent:
            agent.wait_ready(READY_S)
            disturbance.begin(agent)
            pause = threading.Event()
            pause.wait(plan.warm_up_s)
            first = len(seen.all(FRUIT))
            for _ in range(int(plan.seconds / 2)):
                pause.wait(2.0)
                for row in agent.status()["processes"]:
                    size = row["resident_bytes"] / 2**20
                    run.memory_mib.setdefault(row["process"], []).append(size)
            run.explanations = int(agent.total("pitwatch_jobs_completed_total"))
            run.worker_restarts = int(agent.total("pitwatch_worker_restarts_total"))
            seconds = agent.total("pitwatch_ablation_seconds_sum")
            run.explanation_s = seconds / max(1, run.explanations)
            disturbance.end()
            run.exit_code, _ = agent.stop()
            run.books = agent.final_books()["cam1"]
        run.latency_ms = latencies_ms(seen, first)
    return run


def latencies_ms(seen: Observer, first: int) -> list[float]:
    """Capture to mask of every fruit at the broker from number ``first`` on."""
    return [1000.0 * json.loads(one.payload)["latency_s"] for one in seen.all(FRUIT)[first:]]
