"""A whole agent in real processes, on a small disk of its own, beside a real broker."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.alarms.catalogue import Cause
from agent.observability.logging.log_format import parse_keyvalue
from agent.simulator.render import Renderer
from agent.telemetry import BY_NAME, Kind
from tests.soak.troubles import CLOCK_STEP, CannotBeMadeError
from tests.soak.year.book import Reading
from tests.soak.year.told import Key, Said
from tests.support.mosquitto import Mosquitto, mosquitto
from tests.support.running import RunningAgent

DISK_MIB = 48
BASE = "pitwatch/v1/plant/site/area/line/pitter"
CAMERAS = ("cam1", "cam2")
READY_S, WELL_S, ENDS_S = 180.0, 240.0, 60.0
LOOK_S = 0.4
RINGING = ("UNACK", "ACKED")

CONFIG = """
id: year
state_dir: {state}
storage: {{limit_bytes: 8388608, free_disk_bytes: 0}}
mqtt: {{broker: '{broker}', reconnect_first_s: 0.5, reconnect_max_s: 2.0, puback_timeout_s: 3.0, keepalive_s: 5}}
ablation: {{workers: {{count: 1, priority: normal, heartbeat_timeout_s: 3.0}}}}
sampling: {{period_s: {period_s}}}
logging: {{file: '{log}', file_limit_bytes: 1048576, file_count: 3}}
cameras:
  - {{name: cam1, source: 'sim:?rate=120&seed=3&variety=golden', backoff_first_s: 0.5, backoff_max_s: 2}}
  - {{name: cam2, fps: 1, source: '{pictures}', backoff_first_s: 0.5, backoff_max_s: 2}}
"""


class Plant:
    """What stands around the agent, the agent, and what it has said since the last ``hear``."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder, self.broker = folder, broker
        self.disk, self.pictures = folder / "disk", folder / "pictures"
        self.config = folder / "year.yaml"
        self.state = self.disk / "state"
        self.log = folder / "agent.log"
        self.environment: dict[str, str] = {}
        self.lives = 0
        self.log_bytes = 0
        self.restart_due = ""
        """Why the agent is to be started anew when the cycle is over."""
        self.missed: list[str] = []
        self.answers: list[str] = []
        self._agent: RunningAgent | None = None
        self._samples: dict[Key, float] = {}
        self._read = 0
        self.said = Said()

    @property
    def agent(self) -> RunningAgent:
        assert self._agent is not None
        return self._agent

    # --- its life --------------------------------------------------------------------------------

    def write(self, **changes: object) -> None:
        """Write the configuration."""
        values: dict[str, object] = {
            "state": self.state,
            "broker": self.broker.url,
            "log": self.log,
            "pictures": self.pictures,
            "period_s": 2.0,
            **changes,
        }
        more = str(values.pop("more", ""))
        self.config.write_text(CONFIG.format(**values) + more)

    def start(self) -> None:
        """Start the agent, or the next one."""
        self.lives += 1
        self._agent = RunningAgent(
            self.folder,
            "--config",
            str(self.config),
            environment=self.environment,
            own_session=True,
        )
        self._samples, self._read = {}, 0
        self.agent.wait_ready(READY_S)

    def stop(self) -> int:
        """End it in order; what is wrong with its last words is in ``missed``."""
        family = psutil.Process(self.agent.process.pid).children(recursive=True)
        code, _ = self.agent.stop(timeout_s=ENDS_S)
        self.look_at_log()
        for camera, books in self.agent.final_books().items():
            if books["in_flight"] or books["captured"] != books["segmented"] + books["dropped"]:
                self.missed.append(f"frames of {camera}: {books}")
        for name, books in (
            ("messages", self.agent.message_books()),
            ("jobs", self.agent.job_books()),
        ):
            total, *parts = books.values()
            if total != sum(parts):
                self.missed.append(f"{name}: {books}")
        if psutil.wait_procs(family, timeout=ENDS_S)[1]:
            self.missed.append("children left")
        return code

    def restart(self) -> None:
        """As an operator does it."""
        code = self.stop()
        if code:
            self.missed.append(f"exit code {code}")
        self.agent.log_path.unlink()
        self.start()

    def close(self) -> None:
        if self._agent is not None:
            self._agent.close()

    # --- what it says ----------------------------------------------------------------------------

    def hear(self) -> None:
        """Begin to remember anew."""
        self.look()
        self.said = Said()

    def look(self) -> None:
        """Take in its metrics, its alarms and its log of now, where it answers."""
        self.look_at_log()
        with contextlib.suppress(AssertionError, OSError, ValueError):
            self._count(self.agent.samples())
            for alarm in self.agent.status()["alarms"]:
                if alarm["active"]:
                    cause = Cause(alarm["alarm_id"].rsplit("-", 1)[0])
                    rings = alarm["state"] in RINGING
                    (self.said.rang if rings else self.said.hidden).add(cause)

    def _count(self, samples: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
        for (full, labels), value in samples.items():
            name = full.removeprefix("pitwatch_")
            kind = BY_NAME.get(name.removesuffix("_total"))
            if kind is not None and kind.kind is Kind.COUNTER:
                key = (name.removesuffix("_total"), labels)
                rose = value - self._samples.get(key, 0.0)
                if rose > 0:
                    self.said.counted[key] += int(rose)
            elif name in BY_NAME:
                key = (name, labels)
                if self._samples.get(key, math.nan) != value:
                    self.said.moved.add(key)
            elif name.endswith("_count"):
                key = (name.removesuffix("_count"), labels)
                if self._samples.get(key, 0.0) != value:
                    self.said.moved.add(key)
            else:
                continue
            self._samples[key] = value

    def look_at_log(self) -> None:
        """Take in the new lines of its log."""
        text = self.agent.log_path.read_bytes()
        end = text.rfind(b"\n") + 1
        new, self._read = text[self._read : end], max(self._read, end)
        self.log_bytes += len(new)
        for line in new.decode(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                fields = parse_keyvalue(line)
                event = fields.pop("event", "")
                level = logging.getLevelNamesMapping().get(fields.pop("level", "").upper(), 0)
                self.said.logged.append((level, event, fields))

    def wait(self, condition: Callable[[], object], limit_s: float) -> bool:
        """Look again and again until it is so; false when it is not in time."""
        end = time.monotonic() + limit_s
        while True:
            self.look()
            with contextlib.suppress(AssertionError, OSError, ValueError, KeyError):
                if condition():
                    return True
            if self.agent.process.poll() is not None:
                self.missed.append(f"the agent has ended: {self.agent.process.returncode}")
                return False
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK_S)

    def well(self) -> bool:
        """Whether all goes as it should."""
        view = self.agent.status()
        return bool(
            view["link"]["connected"]
            and view["workers"]["ready"] >= 1
            and self.agent.total("pitwatch_storage_durable") == 1
            and all(camera["state"] == "live" for camera in view["cameras"])
            and not self.active()
        )

    def active(self) -> list[str]:
        """The alarms that are not normal."""
        return [one["alarm_id"] for one in self.agent.status()["alarms"] if one["active"]]

    def reading(self) -> Reading:
        """What it holds; its children's memory is in it."""
        process = psutil.Process(self.agent.process.pid)
        children = process.children(recursive=True)
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        files = [one for one in self.state.iterdir() if one.is_file()]
        return Reading(
            life=f"real {self.agent.process.pid}",
            memory_mib=process.memory_info().rss / 2**20,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            segments=maps.count("/memfd:") + len(list(Path("/dev/shm").iterdir())),
            database_kib=sum(one.stat().st_size for one in files) / 1024,
            log_bytes=self.log_bytes,
            children=len(children),
        )

    # --- what is said to it ----------------------------------------------------------------------

    def publish(self, *messages: tuple[str, bytes, bool]) -> None:
        """Messages of somebody else on the broker: topic below the machine's, payload, retained."""
        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        try:
            for topic, payload, retain in messages:
                client.publish(f"{BASE}/{topic}", payload, qos=1, retain=retain).wait_for_publish(
                    10
                )
        finally:
            client.disconnect()
            client.loop_stop()

    def machine(self, **words: object) -> int:
        """The machine's word by HTTP; the status of the answer."""
        return self.agent.post("/machine", json.dumps(words).encode())


@contextmanager
def standing(folder: Path) -> Iterator[Plant]:
    """A plant whose agent runs; nothing is left of it afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        plant = Plant(folder, broker)
        _mounted(plant, stack)
        _drawn(plant.pictures)
        _clocked(plant)
        plant.write()
        stack.callback(plant.close)
        listener = _listener(broker)
        stack.callback(listener.loop_stop)
        stack.callback(listener.disconnect)
        plant.start()
        yield plant


def _listener(broker: Mosquitto) -> paho.Client:
    """Somebody who takes every message: what nobody listens to is not delivered."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda client, *_rest: client.subscribe("#", qos=1)
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    return client


def _does(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBeMadeError(f"{command[0]}: {done.stderr.strip() or done.returncode}")


def _mounted(plant: Plant, stack: ExitStack) -> None:
    """A small ext4 in a file, mounted for the state."""
    image = plant.folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    plant.disk.mkdir()
    _does("mkfs.ext4", "-q", image)
    _does("mount", "-o", "loop", image, plant.disk)
    stack.callback(_does, "umount", plant.disk)
    stack.callback(subprocess.run, ["fsfreeze", "-u", str(plant.disk)], capture_output=True)


def _drawn(pictures: Path) -> None:
    pictures.mkdir()
    renderer = Renderer(256)
    for seed in range(5):
        cv2.imwrite(str(pictures / f"{seed}.png"), renderer.fruit(seed).image)


def _clocked(plant: Plant) -> None:
    library = plant.folder / "clock_step.so"
    _does("cc", "-shared", "-fPIC", "-O1", "-o", library, CLOCK_STEP, "-ldl")
    step = plant.folder / "step"
    step.write_bytes(bytes(8))
    plant.environment |= {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(step)}


def step_clock(plant: Plant, seconds: int) -> None:
    """Move the agent's wall clock; in place, as it has the file mapped."""
    file = os.open(plant.folder / "step", os.O_WRONLY)
    os.pwrite(file, (seconds * 10**9).to_bytes(8, "little", signed=True), 0)
    os.close(file)
