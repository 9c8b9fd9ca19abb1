"""How soon a running agent notices a camera that hangs or freezes, and how soon it ends itself."""

from __future__ import annotations

import datetime
import json
import statistics
from pathlib import Path
from typing import Any

import psutil

from tests.support.running import PROMPT_WORKERS, RunningAgent, running_agent

ONSET_S = 8.0
FPS = 20
SILENCE_S, FROZEN_S, STOP_S = 1.0, 3.0, 5.0
POLL_S = 0.25
"""The feed looks at its cameras that often, so a state may be said that much later."""

CAMERA = """
mqtt: {{broker: none}}
ablation: {{workers: {{count: 0}}}}
cameras: [{{name: cam1, mode: free-run, fps: {fps}, source: 'sim:?log={log}&fault={fault}@{onset}'}}]
"""
CHILDREN = "mqtt: {broker: embedded, embedded_port: 0}\ncameras: [{name: cam1, source: 'sim:'}]\n"


def cameras(folder: Path, rounds: int, _seconds: float) -> tuple[list[str], list[str]]:
    """Measure, and return the table's lines and the bars that were missed."""
    rows = {
        f"silence of a camera of {FPS} pictures a second -> STALLED": (
            [_noticed(folder / f"hang{i}", "hang", "stalled") for i in range(rounds)],
            SILENCE_S + POLL_S,
        ),
        "the same picture again and again -> FROZEN": (
            [_noticed(folder / f"frozen{i}", "frozen", "frozen") for i in range(rounds)],
            FROZEN_S,
        ),
        "SIGTERM with every child stopped by SIGSTOP -> exit 0": (
            [_ended(folder / f"stop{i}") for i in range(rounds)],
            STOP_S,
        ),
    }
    lines = [
        f"Seconds from the last good picture, or from the signal; {rounds} runs of the real agent",
        "",
        "| what | median | longest | limit |",
        "|---|---|---|---|",
        *(
            f"| {what} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {limit:g} |"
            for what, (seconds, limit) in rows.items()
        ),
        "",
    ]
    return lines, [what for what, (seconds, limit) in rows.items() if max(seconds) > limit]


def _noticed(folder: Path, fault: str, state: str) -> float:
    """Seconds from the last picture before the fault to the state in the agent's log."""
    folder.mkdir(parents=True)
    truth, config = folder / "truth.jsonl", folder / "camera.yaml"
    config.write_text(CAMERA.format(fps=FPS, log=truth, fault=fault, onset=ONSET_S))
    with running_agent(folder, "--config", str(config)) as agent:
        agent.wait_ready()
        agent.wait(lambda: _said(agent, state), 60, state)
        noticed_s = _said(agent, state)[0]
    rows = [json.loads(line) for line in truth.read_text().splitlines()]
    good = [row["utc_ms"] for row in rows if row["delivered"] and not _faulty(row)]
    return noticed_s - max(good) / 1000


def _faulty(row: dict[str, Any]) -> bool:
    return bool(row["truth"].get("faults"))


def _said(agent: RunningAgent, state: str) -> list[float]:
    """Unix seconds of every change to this state."""
    return [
        datetime.datetime.fromisoformat(event["time"]).timestamp()
        for event in agent.events("camera_state")
        if event["state"] == state
    ]


def _ended(folder: Path) -> float:
    """Seconds from SIGTERM to the end of an agent whose children all hang."""
    folder.mkdir(parents=True)
    config = folder / "children.yaml"
    config.write_text(CHILDREN + PROMPT_WORKERS)
    with running_agent(folder, "--config", str(config)) as agent:
        agent.wait_ready()
        agent.wait(lambda: agent.status()["workers"]["ready"] == 1, 120, "the worker is ready")
        children = psutil.Process(agent.process.pid).children()
        for child in children:
            child.suspend()
        code, seconds = agent.stop(timeout_s=60)
        assert code == 0, code
        assert not [child for child in children if child.is_running()]
    return seconds
