"""Fruit ids over a real broker: a PLC's clock, late, lost and doubled messages, a stopped agent."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.integration.test_main_job import BASE
from tests.support.mosquitto import Observer, mosquitto
from tests.support.plc import Naming, Plc
from tests.support.running import running_agent

STOP_S = 1.6
STOP_EVERY_S = 20.0
CERTAIN = 0.99
"""Of the fruit, where nothing is lost and delays stay under half a period."""


def _jitter(rng: Random) -> float:
    return rng.uniform(0.0, 0.4 * 60 / 280)


def _any(rng: Random) -> float:
    return rng.uniform(0.0, 0.02) if rng.random() < 0.8 else rng.uniform(0.0, 0.6)


CASES: dict[str, tuple[Naming, bool]] = {
    "prompt": (Naming(), False),
    "delays under half a period": (Naming(delay=_jitter), False),
    "delays up to 0.6 s, 3 % lost, 5 % doubled": (
        Naming(delay=_any, lost=0.03, doubled=0.05),
        False,
    ),
    f"prompt, the agent stopped for {STOP_S} s every {STOP_EVERY_S:.0f} s": (Naming(), True),
}


def pairing(folder: Path, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    lines = [
        f"Fruit ids by MQTT, {seconds:.0f} s each, 280 a minute on each of two lanes of one picture",
        "",
        "| messages | lane | readings | certain and right | certain and wrong | picture to"
        " reading with its id, ms: median, 99 % |",
        "|---|---|---|---|---|---|",
    ]
    missed = []
    for number, (what, (naming, stops)) in enumerate(CASES.items()):
        for lane, readings in _run(folder / str(number), naming, seconds, stops=stops).items():
            sure = [(own, one) for own, one in readings if one["fruit_id_reason"] == "none"]
            wrong = sum(one["fruit_id"] not in (own, "") for own, one in sure)
            right = sum(one["fruit_id"] == own for own, one in sure) / max(1, len(readings))
            latency = [1000 * one["latency_s"] for _, one in readings]
            said = "stamps" if naming.stamped[lane] else "no stamps"
            lines.append(
                f"| {what} | {said} | {len(readings)} | {right:.1%} | {wrong} "
                f"| {np.quantile(latency, 0.5):.0f}, {np.quantile(latency, 0.99):.0f} |"
            )
            if wrong:
                missed.append(f"{what}, {said}: {wrong} wrong")
            if number < 2 and lane == "left" and right < CERTAIN:
                missed.append(f"{what}, {said}: {right:.1%} certain")
    return lines, missed


def _run(
    folder: Path, naming: Naming, seconds: float, *, stops: bool
) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    folder.mkdir(parents=True)
    config = folder / "pitwatch.yaml"
    with mosquitto(folder) as broker, Observer(broker.port) as seen:
        plc = Plc(naming, seen, f"{BASE}/machine", folder)
        config.write_text(
            f"mqtt: {{broker: '{broker.url}'}}\n"
            "ablation: {workers: {count: 0}}\n"
            f"cameras: [{plc.camera}]\n"
        )
        with running_agent(folder, "--config", str(config)) as agent:
            agent.wait_ready()
            plc.start()
            time.sleep(2.0)
            seen.clear()
            end = time.monotonic() + seconds
            while (left_s := end - time.monotonic()) > 0:
                time.sleep(min(left_s, STOP_EVERY_S))
                if stops:
                    os.kill(agent.process.pid, signal.SIGSTOP)
                    time.sleep(STOP_S)
                    os.kill(agent.process.pid, signal.SIGCONT)
            readings = {lane: plc.readings(lane) for lane in naming.stamped}
            plc.stop()
    return readings
