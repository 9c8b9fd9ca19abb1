"""Reloads of a running agent: every key once, and hundreds of them, beside a camera that goes on."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from pydantic import ValidationError

from agent.config import Config
from agent.supervision.control.client import ask
from agent.supervision.control.protocol import RefusedError
from tests.pipeline.reload.test_every_key import Files, before, first, second
from tests.soak.leaks import ERRORS, NOISE_MIB, _line
from tests.support.mosquitto import mosquitto
from tests.support.running import RunningAgent, running_agent

RATE = 280
WARM = 4
"""One of so many cycles fills the caches and is left out, as in ``leaks``."""
ANSWER_S = 180.0
STEADY_S = 60.0
LEAST_CYCLES = 4
Raw = dict[str, Any]


@dataclass(slots=True)
class Line:
    """A running agent and its file."""

    agent: RunningAgent
    file: Path
    state: Path
    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def reload(self, raw: Raw, what: str) -> None:
        """Write the file and have it taken over."""
        if why := self.asked(raw, what):
            self.refused.append(why)

    def asked(self, raw: Raw, what: str) -> str:
        """Why it was not taken over, or nothing."""
        write(self.file, raw)
        answer = ask(self.state, "reload", {}, ANSWER_S)
        self.seconds.append(float(answer.get("seconds", 0.0)))
        if answer.get("result") in ("applied", "unchanged"):
            return ""
        return f"{what}: {answer.get('result')}: {answer.get('problems')}"[:500]

    def camera(self, name: str) -> Raw:
        # The page is a process of its own, which may have been begun anew.
        self.agent.wait(lambda: self.agent.get("/api/v1/status")[0] == 200, 120, "it answers")
        (found,) = (one for one in self.agent.status()["cameras"] if one["name"] == name)
        assert isinstance(found, dict)
        return found


def write(file: Path, raw: Raw) -> None:
    file.write_text(yaml.safe_dump(_plain(raw), sort_keys=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def reload(folder: Path, reloads: int) -> tuple[list[str], list[str]]:
    """Run both parts, and return the tables' lines and the bars that were missed."""
    lines: list[str] = []
    missed: list[str] = []
    for part in (
        lambda: _keys(_made(folder / "keys")),
        lambda: _many(_made(folder / "many"), reloads),
    ):
        rows, failures = part()
        print(*rows, sep="\n", flush=True)
        lines += rows
        missed += failures
    return lines, missed


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


# --- every key once ------------------------------------------------------------------------------


def _keys(folder: Path) -> tuple[list[str], list[str]]:
    files = Files(_made(folder / "files"))
    now = _witnessed(before(files), folder)
    file = folder / "line.yaml"
    write(file, now)
    with running_agent(folder, "--config", str(file)) as agent:
        line = Line(agent, file, folder / "state")
        agent.wait(lambda: line.camera("witness")["state"] == "live", 120, "live")
        agent.wait(lambda: _started(line.state), 120, "reloads are taken")
        count = 0
        for target in (first(files), second(files)):
            waiting: list[str] = []  # a file of TLS means nothing before the address has it
            for what, raw in _steps(now, _witnessed(target, folder)):
                why = line.asked(raw, what)
                waiting = [*waiting, why] if why else []
                now, count = raw, count + 1
            line.refused += waiting
        # The books are read in the log, of which a key has just been changed.
        line.reload({**now, "logging": {"level": "info"}}, "logging")
        seen = line.camera("witness")
        code, _ = agent.stop()
        book = agent.final_books()["witness"]
    closed = book["captured"] == book["segmented"] + book["dropped"]
    rows = [
        f"Every key that a reload takes over, one at a time: {count} reloads, seven cameras of "
        "each kind beside one that goes on",
        "",
        "| what | value |",
        "|---|---|",
        f"| reloads taken over | {count - len(line.refused)} of {count} |",
        f"| seconds of one: median, longest | {np.median(line.seconds):.2f}, "
        f"{max(line.seconds):.2f} |",
        f"| frames of the camera that goes on: captured, dropped | {book['captured']}, "
        f"{book['dropped']} {seen['drops'] or ''} |",
        "",
    ]
    checks = {
        "every reload taken over": not line.refused,
        "no frame of another camera lost": book["dropped"] == 0,
        "the books are closed": closed,
        "exit code 0": code == 0,
    }
    rows += [f"- {one}" for one in line.refused]
    return rows, [name for name, met in checks.items() if not met]


def _started(state: Path) -> bool:
    try:
        ask(state, "reload", {}, ANSWER_S)
    except RefusedError:  # it is still starting
        return False
    return True


def _witnessed(raw: Raw, folder: Path) -> Raw:
    """With a camera that no reload touches, and what the test's own agent does not need."""
    witness = {"name": "witness", "source": f"sim:?rate={RATE}"}
    given = copy.deepcopy(_plain(raw))
    given["http"] = {key: one for key, one in given.get("http", {}).items() if key != "port"}
    for gone in ("token", "tls", "page"):  # the proof itself asks by HTTP
        given["http"].pop(gone, None)
    given["http"].pop("actions", None)
    given["cameras"] = [witness, *given["cameras"]]
    given["state_dir"] = str(folder / "state")
    return given


def _steps(now: Raw, target: Raw) -> Iterator[tuple[str, Raw]]:
    """Yield the configurations on the way, one key further each; keys that only go together are
    one step."""
    current, left = copy.deepcopy(now), []
    for name, change in _changes(now, target):
        left.append(name)
        change(current)
        try:
            Config(**current)
        except ValidationError:
            continue
        yield ", ".join(left), copy.deepcopy(current)
        left = []
    if left:
        yield ", ".join(left), copy.deepcopy(target)


def _changes(now: Raw, target: Raw) -> Iterator[tuple[str, Any]]:
    old, new = ({one["name"]: one for one in side["cameras"]} for side in (now, target))
    for name, camera in new.items():
        for key, value in camera.items():
            if name in old and old[name].get(key) != value:
                yield f"cameras[{name}].{key}", _in_camera(name, key, value)
    yield "cameras", lambda raw: raw.update(cameras=copy.deepcopy(target["cameras"]))
    for section, values in target.items():
        if section in ("cameras", "state_dir"):
            continue
        yield from _leaves((section,), values, now.get(section, {}))
        yield section, lambda raw, one=section: raw.update({one: copy.deepcopy(target[one])})


def _in_camera(name: str, key: str, value: Any) -> Any:
    def change(raw: Raw) -> None:
        (camera,) = (one for one in raw["cameras"] if one["name"] == name)
        camera[key] = value

    return change


def _leaves(path: tuple[str, ...], values: Raw, now: Any) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        was = now.get(key) if isinstance(now, dict) else None
        if value == was:
            continue
        if isinstance(value, dict):
            yield from _leaves((*path, key), value, was)
            continue

        def change(raw: Raw, key: str = key, value: Any = value) -> None:
            for step in path:
                raw = raw.setdefault(step, {})
            raw[key] = value

        yield ".".join((*path, key)), change


# --- hundreds ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What the agent holds at one moment."""

    memory_mib: float
    descriptors: int
    threads: int
    children: int


def _many(folder: Path, reloads: int) -> tuple[list[str], list[str]]:
    file = folder / "line.yaml"
    with mosquitto(folder) as broker:
        variants = list(_variants(folder, broker.url))
        cycles = max(LEAST_CYCLES, round(reloads / len(variants)))
        write(file, variants[-1])
        with running_agent(folder, "--config", str(file)) as agent:
            line = Line(agent, file, folder / "state")
            agent.wait_ready(180)
            agent.wait(lambda: _started(line.state), 120, "reloads are taken")
            readings = []
            for cycle in range(cycles):
                for number, raw in enumerate(variants):
                    line.reload(raw, f"{cycle}.{number}")
                readings.append(_steady(agent))
                print(cycle, readings[-1], flush=True)
            line.camera("cam1")
            book_now = agent.books("cam1")
            code, _ = agent.stop()
            book, messages = agent.final_books()["cam1"], agent.message_books()
    kept = readings[len(readings) // WARM :]
    growth, error = _line(np.array([one.memory_mib for one in kept]))
    begin, end = kept[0], kept[-1]
    rows = [
        f"{cycles * len(variants)} reloads: a camera that is another one, comes and goes, its lanes, "
        "limits and language, sampling, reading, workers, broker, page, log; in turns",
        "",
        "| what | value |",
        "|---|---|",
        f"| reloads taken over | {len(line.seconds) - len(line.refused)} of {len(line.seconds)} |",
        f"| seconds of one: median, longest | {np.median(line.seconds):.2f}, "
        f"{max(line.seconds):.2f} |",
        f"| frames of the camera that goes on: captured, dropped | {book_now.captured}, "
        f"{book_now.dropped} |",
        f"| memory of the agent, MiB: after the warm-up, at the end | {begin.memory_mib:.1f}, "
        f"{end.memory_mib:.1f} |",
        f"| growth by a fitted line, MiB | {growth:+.2f} ± {error:.2f} |",
        f"| descriptors, threads, children: after the warm-up | {begin.descriptors}, "
        f"{begin.threads}, {begin.children} |",
        f"| at the end | {end.descriptors}, {end.threads}, {end.children} |",
        f"| messages: enqueued, delivered, dropped | {messages['enqueued']}, "
        f"{messages['delivered']}, {messages['dropped']} |",
        "",
        *(f"- {one}" for one in line.refused),
    ]
    sums = messages["delivered"] + messages["dropped"] + messages["in_flight"]
    checks = {
        "every reload taken over": not line.refused,
        "memory flat": growth <= max(NOISE_MIB, ERRORS * error),
        "no descriptor more": end.descriptors <= begin.descriptors,
        "no thread more": end.threads <= begin.threads,
        "no child more": end.children <= begin.children,
        "no frame of another camera lost": book["dropped"] == 0,
        "the books are closed": book["captured"] == book["segmented"] + book["dropped"],
        "the messages' books are closed": messages["enqueued"] == sums,
        "exit code 0": code == 0,
    }
    return rows, [name for name, met in checks.items() if not met]


def _variants(folder: Path, broker: str) -> Iterator[Raw]:
    """One cycle; the last is where it began."""
    base: Raw = {
        "state_dir": str(folder / "state"),
        "cameras": [
            {"name": "cam1", "source": f"sim:?rate={RATE}"},
            {"name": "cam2", "source": "sim:?rate=30"},
        ],
        "mqtt": {"broker": broker, "sparkplug": {"enabled": True}},
        "ablation": {"workers": {"count": 0}},
        "logging": {"level": "info"},
    }
    first_camera = base["cameras"][0]
    lanes = [{"name": f"lane{i}", "region": [256 * i, 0, 200, 200]} for i in range(2)]
    yield base | {"cameras": [first_camera, {"name": "cam2", "source": "sim:?rate=31"}]}
    yield base | {"cameras": [first_camera]}
    yield base | {
        "cameras": [
            first_camera,
            {"name": "cam3", "source": "sim:?rate=30&lanes=2", "lanes": lanes},
        ]
    }
    yield base | {
        "alarms": {"language": "it", "limits": {"no_read_rate": 0.3, "fruit_window": 100}},
        "sampling": {"period_s": 3},
        "segmentation": {"min_confidence": 0.4},
        "logging": {"level": "error", "format": "json"},
    }
    yield base | {"mqtt": {**base["mqtt"], "keepalive_s": 20}, "commands": {"per_s": 2}}
    yield base | {"ablation": {"workers": {"count": 0}, "seed": 3}, "http": {"picture_link_s": 60}}
    yield base | {"storage": {"replay_per_s": 50}, "mqtt": {"broker": broker}}
    yield base


def _steady(agent: RunningAgent) -> Held:
    """What is held once two looks in a row agree: children come up a moment after a reload."""
    end, last = time.monotonic() + STEADY_S, _held(agent)
    while time.monotonic() < end:
        time.sleep(1.0)
        now = _held(agent)
        if now[1:] == last[1:]:
            break
        last = now
    return Held(*_held(agent))


def _held(agent: RunningAgent) -> tuple[float, int, int, int]:
    process = psutil.Process(agent.process.pid)
    return (
        process.memory_info().rss / 2**20,
        process.num_fds(),
        process.num_threads(),
        len(agent.children()),
    )
