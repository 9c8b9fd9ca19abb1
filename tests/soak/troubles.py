"""What happens to a running agent in a plant: each trouble begins, lasts and ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.mosquitto import Mosquitto, Observer
from tests.support.running import RunningAgent

DISK_MIB = 32
STEP_S = 3600
CLOCK_STEP = Path(__file__).with_name("clock_step.c")


class CannotBeMadeError(Exception):
    """This machine does not let the trouble be made; the text says why."""


@dataclass(slots=True)
class Plant:
    """What stands around the agent, and the agent that runs at present."""

    folder: Path
    broker: Mosquitto
    seen: Observer
    agent: RunningAgent | None = None
    disk: Path | None = None
    """Where a disk of its own is mounted, for ``state_dir``."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def running(self) -> RunningAgent:
        assert self.agent is not None
        return self.agent

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def state_dir(self) -> Path:
        return (self.disk or self.folder) / "state"

    @property
    def step_file(self) -> Path:
        return self.folder / "step"


@dataclass(frozen=True, slots=True)
class Trouble:
    """``prepare`` is entered before the agent starts and left after everything. ``felt``: whether
    the agent, or who listens to it, shows afterwards that the trouble was there."""

    name: str
    begin: Callable[[Plant], None]
    felt: Callable[[Plant], object]
    end: Callable[[Plant], None] = lambda _plant: None
    prepare: Callable[[Plant], object] | None = None

    def prepared(self, plant: Plant, stack: ExitStack) -> None:
        if self.prepare is not None:
            stack.enter_context(self.prepare(plant))  # type: ignore[arg-type]


def _does(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBeMadeError(f"{command[0]}: {done.stderr.strip() or done.returncode}")


@contextmanager
def _own_disk(plant: Plant) -> Iterator[None]:
    """A small ext4 in a file, mounted; shared where both troubles want one."""
    if plant.disk is not None:
        yield
        return
    for tool in ("mkfs.ext4", "mount", "fsfreeze"):
        if shutil.which(tool) is None:
            raise CannotBeMadeError(f"{tool} is not installed")
    image, where = plant.folder / "disk.img", plant.folder / "disk"
    with image.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    where.mkdir()
    _does("mkfs.ext4", "-q", image)
    _does("mount", "-o", "loop", image, where)
    plant.disk = where
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", str(where)], capture_output=True)
        _does("umount", where)


def _fill(plant: Plant) -> None:
    assert plant.disk is not None
    with suppress(OSError), (plant.disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with suppress(OSError), (plant.disk / "fill").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(512))
    _write(plant)


def _freeze(plant: Plant) -> None:
    _does("fsfreeze", "-f", plant.disk)
    _write(plant)


def _write(plant: Plant) -> None:
    """Have the agent keep something, whatever else goes on: a variety is kept at once."""
    word = {"state": "unknown", "variety": f"v{time.monotonic_ns()}"}
    if plant.running.post("/machine", json.dumps(word).encode()) != 204:
        raise CannotBeMadeError("the agent takes no word of the machine")


def _empty(plant: Plant) -> None:
    assert plant.disk is not None
    (plant.disk / "fill").unlink()


def _kill_worker(plant: Plant) -> None:
    for worker in plant.running.children("worker"):
        worker.kill()


def _start_broker(plant: Plant) -> None:
    """The subscriber is there before the agent: what it misses otherwise is no loss of the agent."""
    process = plant.running.process
    stopped = process.poll() is None
    if stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        plant.seen.unsubscribed()
        plant.broker.start()
        plant.seen.wait_subscribed()
    finally:
        if stopped:
            process.send_signal(signal.SIGCONT)


@contextmanager
def _own_clock(plant: Plant) -> Iterator[None]:
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotBeMadeError("there is no C compiler for the clock")
    library = plant.folder / "clock_step.so"
    _does(compiler, "-shared", "-fPIC", "-O1", "-o", library, CLOCK_STEP, "-ldl")
    _step(0)(plant)
    plant.environment |= {"LD_PRELOAD": str(library), "CLOCK_STEP_FILE": str(plant.step_file)}
    yield


def _step(seconds: int) -> Callable[[Plant], None]:
    def step(plant: Plant) -> None:
        # In place: whoever has the file mapped must see it.
        file = os.open(plant.step_file, os.O_CREAT | os.O_WRONLY, 0o600)
        os.pwrite(file, struct.pack("=q", seconds * 10**9), 0)
        os.close(file)

    return step


def _logged(event: str, **fields: str) -> Callable[[Plant], bool]:
    """A line of the agent's log names it."""

    def felt(plant: Plant) -> bool:
        found = plant.running.events(event)
        return any(all(one.get(name) == value for name, value in fields.items()) for one in found)

    return felt


def _an_hour_ahead(plant: Plant) -> bool:
    """A message came with a stamp that only the stepped clock can have made."""
    since = time.time() - time.monotonic() + STEP_S / 2
    return any(
        json.loads(one.payload)["timestamp_ms"] > (one.at + since) * 1000
        for one in plant.seen.all("/fruit/cam1")
    )


TERM = Trouble(
    "SIGTERM",
    lambda plant: plant.running.process.send_signal(signal.SIGTERM),
    _logged("agent_stopped"),
)
TROUBLES = (
    Trouble("full disk", _fill, _logged("storage_degraded"), _empty, _own_disk),
    Trouble(
        "hung disk",
        _freeze,
        _logged("storage_degraded"),
        lambda plant: _does("fsfreeze", "-u", plant.disk),
        _own_disk,
    ),
    Trouble(
        "broker killed",
        lambda plant: plant.broker.kill(),
        _logged("broker_lost"),
        _start_broker,
    ),
    Trouble("worker killed", _kill_worker, _logged("worker_ended")),
    Trouble(
        "camera lost",
        lambda plant: plant.pictures.rename(plant.folder / "away") and None,
        _logged("camera_state", camera="cam2", state="backoff"),
        lambda plant: (plant.folder / "away").rename(plant.pictures) and None,
    ),
    Trouble("clock step", _step(STEP_S), _an_hour_ahead, _step(0), _own_clock),
    TERM,
)
"""In the order in which they begin: a disk is filled before it hangs. They end in the other one."""
