"""Every two troubles at once on a running agent: what must balance, be true and be gone after it."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest

from agent.simulator.render import Renderer
from tests.soak.troubles import TERM, TROUBLES, CannotBeMadeError, Plant, Trouble
from tests.support.mosquitto import Observer, mosquitto, retained
from tests.support.running import RunningAgent

BASE = "pitwatch/v1/plant/site/area/line/pitter"
CAMERAS = ("cam1", "cam2")
APART_S, TOGETHER_S = 2.0, 6.0
RECOVERY_S, ENDS_S = 180.0, 20.0
POLL_S = 0.2
DONE, NOT_SAVED = 0, 74
DISK = ("full disk", "hung disk")
"""With these, and with nothing else, an end may say that what should survive did not."""

Failed = pytest.fail.Exception  # by which waiting for a condition ends

CONFIG = """
state_dir: {state}
storage: {{limit_bytes: 8388608, free_disk_bytes: 0}}
mqtt: {{broker: '{broker}', reconnect_first_s: 1.0, reconnect_max_s: 2.0}}
ablation: {{workers: {{priority: normal}}}}
cameras:
  - {{name: cam1, source: 'sim:?rate=60&seed=3', backoff_first_s: 0.5, backoff_max_s: 2}}
  - {{name: cam2, fps: 1, source: '{pictures}', backoff_first_s: 0.5, backoff_max_s: 2}}
"""


@dataclass(slots=True)
class Row:
    """One pair, and what was wrong after it."""

    names: tuple[str, str]
    skipped: str = ""
    codes: list[int] = field(default_factory=list)
    frames: str = ""
    messages: str = ""
    jobs: str = ""
    events: str = ""
    recovery_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        cells = [" + ".join(self.names), ", ".join(map(str, self.codes)), self.frames]
        cells += [self.messages, self.jobs, self.events, f"{self.recovery_s:.1f}"]
        cells.append(f"skipped: {self.skipped}" if self.skipped else "; ".join(self.wrong) or "ok")
        return f"| {' | '.join(cells)} |"


def matrix(folder: Path, share: float, only: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Try every pair (``share`` of them, or those of which a name is in ``only``), and return the
    table's lines and what was wrong."""
    pairs = list(itertools.combinations(TROUBLES, 2))
    if only:
        pairs = [pair for pair in pairs if any(trouble.name in only for trouble in pair)]
    pairs = pairs[: max(1, round(share * len(pairs)))]
    rows = []
    for number, pair in enumerate(pairs):
        rows.append(_pair(folder / f"{number}", *pair))
        print(rows[-1].line(), flush=True)
    lines = [
        f"{len(rows)} of {len(TROUBLES) * (len(TROUBLES) - 1) // 2} pairs. The second trouble begins "
        f"{APART_S:g} s after the first, both last {TOGETHER_S:g} s more, then all must be well "
        "again, and the agent is stopped; with SIGTERM it is stopped in the middle of the other, "
        "and a second start must be well. Books as the agent says them at its end, of all starts",
        "",
        "| pair | exit codes | frames: captured = segmented + dropped | messages: enqueued = "
        "delivered + dropped | explanations: selected = completed + dropped | alarm events seen "
        "| well again after, s | |",
        "|---|---|---|---|---|---|---|---|",
        *(row.line() for row in rows),
        "",
    ]
    return lines, [f"{' + '.join(row.names)}: {what}" for row in rows for what in row.wrong]


def _pair(folder: Path, first: Trouble, second: Trouble) -> Row:
    folder.mkdir(parents=True)
    row = Row((first.name, second.name))
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        seen = stack.enter_context(Observer(broker.port, checked=False))
        seen.client.reconnect_delay_set(1, 1)
        plant = Plant(folder, broker, seen)
        _draw(plant.pictures)
        try:
            for trouble in (first, second):
                trouble.prepared(plant, stack)
        except CannotBeMadeError as error:
            row.skipped = str(error)
            return row
        shared_memory = set(Path("/dev/shm").iterdir())
        try:
            stack.callback(_close, plant)
            _start(plant)
            _well(plant)
            if second is TERM:
                _stopped_amid(plant, first, row)
            else:
                _both(plant, first, second, row)
            began = time.monotonic()
            _well(plant)
            row.recovery_s = time.monotonic() - began
            _truth(plant, row)
            _ended(plant, row, {DONE})
            _events(plant, row)
            if second is not TERM:  # then the log of the start that felt the first is gone
                row.wrong += [
                    f"nothing felt of: {t.name}" for t in (first, second) if not t.felt(plant)
                ]
        except (AssertionError, OSError, psutil.Error, CannotBeMadeError, Failed) as error:
            row.wrong.append(f"{type(error).__name__}: {_one_line(error)}")
        _close(plant)
        if left := set(Path("/dev/shm").iterdir()) - shared_memory:
            row.wrong.append(f"shared memory left: {sorted(path.name for path in left)}")
    return row


def _draw(pictures: Path) -> None:
    pictures.mkdir()
    renderer = Renderer(256)
    for seed in range(5):
        cv2.imwrite(str(pictures / f"{seed}.png"), renderer.fruit(seed).image)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).replace("|", "/")[:300]


# --- the agent and its troubles -------------------------------------------------------------------


def _start(plant: Plant) -> None:
    config = plant.folder / "matrix.yaml"
    config.write_text(
        CONFIG.format(state=plant.state_dir, broker=plant.broker.url, pictures=plant.pictures)
    )
    plant.agent = RunningAgent(plant.folder, "--config", str(config), environment=plant.environment)


def _well(plant: Plant) -> None:
    """Until fruit of both cameras flow, all is connected and kept, and the worker is there."""
    agent = plant.running
    agent.wait_ready(RECOVERY_S)
    before = {camera: agent.books(camera).segmented for camera in CAMERAS}

    def well() -> bool:
        view = agent.status()
        return (
            view["link"]["connected"]
            and view["workers"]["ready"] >= 1
            and agent.total("pitwatch_storage_durable") == 1
            and all(agent.books(name).segmented > count for name, count in before.items())
        )

    agent.wait(well, RECOVERY_S, "all is well")


def _both(plant: Plant, first: Trouble, second: Trouble, row: Row) -> None:
    began = []
    try:
        for trouble, pause_s in ((first, APART_S), (second, TOGETHER_S)):
            trouble.begin(plant)
            began.append(trouble)
            time.sleep(pause_s)
    finally:
        for trouble in reversed(began):
            trouble.end(plant)


def _stopped_amid(plant: Plant, trouble: Trouble, row: Row) -> None:
    """SIGTERM while ``trouble`` lasts, then a second start without it. A process that waits for a
    disk in the kernel ends when the disk answers."""
    trouble.begin(plant)
    try:
        time.sleep(APART_S)
        family = _family(plant)
        TERM.begin(plant)
        end = time.monotonic() + ENDS_S
        while plant.running.process.poll() is None and time.monotonic() < end:
            time.sleep(POLL_S)
    finally:
        trouble.end(plant)
    allowed = {DONE, NOT_SAVED} if trouble.name in DISK else {DONE}
    _after(plant, row, family, allowed, waiting=trouble.name == "broker killed")
    _start(plant)


def _family(plant: Plant) -> list[psutil.Process]:
    return psutil.Process(plant.running.process.pid).children(recursive=True)


def _ended(plant: Plant, row: Row, allowed: set[int]) -> None:
    family = _family(plant)
    TERM.begin(plant)
    _after(plant, row, family, allowed)
    last = {one.topic: one for one in retained(plant.broker.port)}
    status = json.loads(last[f"{BASE}/status"].payload)
    if (status["online"], status["state"]) != (False, "stopped"):
        row.wrong.append(f"retained after the end: {status['online']}, {status['state']}")


def _after(
    plant: Plant,
    row: Row,
    family: list[psutil.Process],
    allowed: set[int],
    *,
    waiting: bool = False,
) -> None:
    """The exit code, the books, and that nothing is left. ``waiting``: there is no broker, and what
    waits in the file is for the next start, of which the events must then have no gap."""
    agent = plant.running
    code = agent.process.wait(ENDS_S)
    row.codes.append(code)
    if code not in allowed:
        row.wrong.append(f"exit code {code}")
    if _living := psutil.wait_procs(family, timeout=ENDS_S)[1]:
        row.wrong.append(f"children left: {[child.pid for child in _living]}")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", agent.port)) == 0:
            row.wrong.append("its port still answers")
    _books(agent, row, waiting)


def _close(plant: Plant) -> None:
    if plant.agent is not None:
        plant.agent.close()


# --- what must be so ------------------------------------------------------------------------------


def _books(agent: RunningAgent, row: Row, waiting: bool) -> None:
    for camera, books in agent.final_books().items():
        sums = books["captured"], books["segmented"], books["dropped"]
        row.frames += f"{camera} {sums[0]} = {sums[1]} + {sums[2]} "
        if books["in_flight"] or sums[0] != sums[1] + sums[2]:
            row.wrong.append(f"frames of {camera}: {books}")
    messages, jobs = agent.message_books(), agent.job_books()
    row.messages += f"{messages['enqueued']} = {messages['delivered']} + {messages['dropped']} "
    if waiting:
        row.messages += f"+ {messages['in_flight']} waiting "
    row.jobs += f"{jobs['selected']} = {jobs['completed']} + {jobs['dropped']} "
    if messages["in_flight"] and not waiting:
        row.wrong.append(f"messages under way at the end: {messages}")
    if messages["enqueued"] != sum(messages[n] for n in ("delivered", "dropped", "in_flight")):
        row.wrong.append(f"messages: {messages}")
    if jobs["selected"] != jobs["completed"] + jobs["dropped"]:
        row.wrong.append(f"explanations: {jobs}")


def _truth(plant: Plant, row: Row) -> None:
    """Until what a client that subscribes now is given is what the agent says; a state may be on
    its way at any one moment."""
    agent = plant.running
    wrong: list[str] = ["nothing seen"]

    def true() -> bool:
        wrong[:] = _untrue(agent.status(), {m.topic: m for m in retained(plant.broker.port)})
        return not wrong

    try:
        agent.wait(true, RECOVERY_S / 6, "what is retained is true")
    except Failed:
        row.wrong += [f"retained: {what}" for what in wrong]


def _untrue(view: dict[str, Any], found: dict[str, Any]) -> list[str]:
    said = {
        one.topic.rpartition("/")[2]: json.loads(one.payload)
        for one in found.values()
        if one.topic.startswith(f"{BASE}/alarm/") and one.payload
    }
    wrong = []
    for alarm in view["alarms"]:
        seen = said.pop(alarm["alarm_id"], None)
        names = ("state", "active", "event_id")
        if seen is None:
            wrong.append(f"{alarm['alarm_id']} is not there")
        elif any(seen[name] != alarm[name] for name in names):
            wrong.append(f"{alarm['alarm_id']} is {seen['state']}, not {alarm['state']}")
    wrong += [f"{name} is {one['state']}, unknown" for name, one in said.items() if one["active"]]
    status = found.get(f"{BASE}/status")
    if status is None or not json.loads(status.payload)["online"]:
        wrong.append("status says offline")
    return wrong


def _events(plant: Plant, row: Row) -> None:
    numbers = {json.loads(one.payload)["seq"] for one in plant.seen.all("/event/alarm")}
    missing = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
    row.events = f"{len(numbers)}"
    if missing:
        row.wrong.append(f"alarm events lost: {missing[:10]}")
