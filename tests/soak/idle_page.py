"""What serving the page costs while nobody looks: the agent's CPU with HTTP on and off."""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path

import psutil

from tests.soak.measure import FRUIT
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import START_S, RunningAgent, running_agent

LIMIT_CORES = 0.02
ARMS = {"off": False, "on": True}


def cores(folder: Path, config: str, times_s: tuple[float, float], *, http: bool) -> float:
    """Share of a core that the agent's own process and its HTTP server take.

    ``times_s``: how long to wait until everything is loaded, and how long to measure.

    Without HTTP nothing can be asked of the agent: the first fruit at the broker says that it runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with mosquitto(folder) as broker, Observer(broker.port) as seen:
        file = folder / "idle.yaml"
        off = "" if http else "http: {enabled: false}\n"
        file.write_text(f"{config}{off}mqtt: {{broker: '{broker.url}'}}\n")
        with running_agent(folder, "--config", str(file), http=http) as agent:
            agent.wait(lambda: seen.all(FRUIT), START_S, "the first fruit")
            pause = threading.Event()
            pause.wait(times_s[0])
            processes = own_processes(agent)
            assert len(processes) == 1 + http
            before, began = used_s(processes), time.monotonic()
            pause.wait(times_s[1])
            after, ended = used_s(processes), time.monotonic()
            assert ("event=http_started" in agent.log) is http, "the arm is what it is said to be"
            agent.stop()
    return (after - before) / (ended - began)


def own_processes(agent: RunningAgent) -> list[psutil.Process]:
    """The agent's own process and that of its HTTP server, where there is one."""
    return [psutil.Process(agent.process.pid), *agent.children("http")]


def used_s(processes: list[psutil.Process]) -> float:
    """Seconds of CPU that they have used since they began."""
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


def idle_page(
    folder: Path, config: str, rounds: int, seconds: float, warm_up_s: float
) -> tuple[list[str], list[str]]:
    """Run both arms in turns, and return the table's lines and the bar if it was missed."""
    found: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for turn in range(rounds):
        for arm, http in ARMS.items():
            where = folder / f"{arm}-{turn}"
            found[arm].append(cores(where, config, (warm_up_s, seconds), http=http))
    median = {arm: statistics.median(values) for arm, values in found.items()}
    added = median["on"] - median["off"]
    lines = [
        f"Nobody looks: cores of the agent and its HTTP server, {rounds} interleaved runs of {seconds:.0f} s",
        "",
        "| HTTP | " + " | ".join(f"run {i + 1}" for i in range(rounds)) + " | median |",
        "|---" * (rounds + 2) + "|",
        *(
            f"| {arm} | " + " | ".join(f"{v:.3f}" for v in found[arm]) + f" | {median[arm]:.3f} |"
            for arm in ARMS
        ),
        "",
        f"page update adds {100 * added:.1f} % of a core when nobody looks (limit {100 * LIMIT_CORES:.0f} %)",
        "",
    ]
    return lines, [] if added < LIMIT_CORES else [f"page nobody looks at < {LIMIT_CORES} cores"]
