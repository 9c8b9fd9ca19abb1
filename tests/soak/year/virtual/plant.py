"""A whole agent in virtual time: every stage is the real one, no thread of it runs.

What it is made of is built by ``Agent`` itself and started in its own order. Its loops are not
started: each is stepped here, on a clock that is turned. What stands outside of the agent is pretended:
cameras, workers, broker, and the network that reads the fruit. The database is a real file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from prometheus_client import CollectorRegistry

from agent.ablation.pool import pool as pool_module
from agent.alarms.charts.reference import SignalReference, save_reference
from agent.alarms.signals.signals import BY_NAME, natural, transformed
from agent.capture import feed as feed_module
from agent.config import Config, Site
from agent.models.loading import load_model
from agent.observability.logging.logs import configure_logging
from agent.pipeline import build as build_module
from agent.pipeline import factories
from agent.pipeline import report as report_module
from agent.pipeline.agent import Agent
from agent.publishing.connection import session as session_module
from agent.publishing.wire.topics import MACHINE, Topics
from agent.records import AlarmState, CameraState
from agent.segmentation.segmenter import Segmenter
from agent.storage.file import copy_request, executor
from agent.supervision.control.server import ControlServer
from agent.supervision.waker import Waker
from tests.alarms.references import reference, signal
from tests.soak.year.virtual.broker import Broker
from tests.soak.year.virtual.cameras import Cameras
from tests.soak.year.virtual.clock import MadeClock, true_clock
from tests.soak.year.virtual.fruit import PROFILE, USUAL, Fruit, drawn
from tests.soak.year.virtual.hearing import LogEar, Telemetry
from tests.soak.year.virtual.workers import Workers

CAMERAS = ("cam1", "cam2")
VARIETY = "golden"
STEP_S = 0.5
STEPPED = {
    "desk",
    "live",
    "explain",
    "capture",
    "pool",
    "publisher",
    "sparkplug",
    "model",
    "reload",
    "certificates",
}
WINDOW_FRUIT = 30.0
"""In a window of the charts, about; the spread of its means is that of a fruit over its root."""
SETTLE_S = 30.0


def settings(folder: Path) -> dict[str, Any]:
    """Of the agent of this year."""
    return {
        "id": "year",
        "state_dir": str(folder / "state"),
        "cameras": [
            {
                "name": name,
                "source": "sim:?rate=120",
                "read_timeout_s": 8.0,
                "backoff_first_s": 0.5,
                "backoff_max_s": 5.0,
            }
            for name in CAMERAS
        ],
        "mqtt": {"broker": "mqtt://127.0.0.1:1", "reconnect_max_s": 10.0},
        "http": {"enabled": False},
        "alarms": {"reference": {VARIETY: str(folder / f"{VARIETY}.json")}},
        "ablation": {"workers": {"count": 1}},
        "storage": {"limit_bytes": 8 << 20, "free_disk_bytes": 0},
        "logging": {
            "file": str(folder / "agent.log"),
            "file_limit_bytes": 1 << 20,
            "file_count": 3,
        },
    }


def write_reference(config: Config) -> str:
    """Write what the charts compare with, and return the digest of the model it is of."""
    model = load_model(config.model, "cpu")
    bound = factories.bound_of(config, model)
    made = reference(
        [_signal(name) for name in (*USUAL, "profile_cosine")],
        variety=VARIETY,
        profile=PROFILE,
        model_sha256=bound.model_sha256,
        layer=bound.layer,
        score=bound.score,
        width_px=bound.width_px,
        height_px=bound.height_px,
    )
    save_reference(made, config.alarms.reference[VARIETY])
    return model.sha256


def _signal(name: str) -> SignalReference:
    """As a calibration would find it, but for its limits, which are wide."""
    one = BY_NAME[name]
    values = np.array([transformed(one, value) for value in drawn(name)])
    spread = 3.0 * float(values.std()) / WINDOW_FRUIT**0.5
    return signal(name, natural(one, float(values.mean())), spread)


class Plant:
    """One agent, all that it is connected to, and the time."""

    def __init__(self, folder: Path, clock: MadeClock, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.clock = folder, clock
        self.config = Config(**settings(folder))
        self.telemetry = Telemetry(CollectorRegistry(), self.mono)
        self.telemetry.hear()
        self.broker = Broker()
        self.cameras = Cameras(CAMERAS, self.mono, self.utc_ms, seed)
        self.fruit = Fruit(CAMERAS, write_reference(self.config), seed)
        self.workers = Workers(self.mono, self.fruit.explain)
        self.topics = Topics.for_site(Site(**self.config.site.model_dump()))
        self.draw = np.random.default_rng(seed)
        self.agent: Agent | None = None
        self.since: dict[str, float] = {}
        """When something began at a camera, for what changes meanwhile."""
        self._turned_mono = self.mono()

    def mono(self) -> float:
        return self.clock.now

    def utc_ms(self) -> int:
        return int(self.clock.utc_s * 1000)

    @property
    def stages(self) -> Any:
        """Of the agent that runs."""
        assert self.agent is not None
        return self.agent._stages

    # --- its life --------------------------------------------------------------------------------

    @contextmanager
    def standing(self) -> Iterator[None]:
        """The pretended parts are in the place of the true ones, and the agent runs."""
        with ExitStack() as stack:
            put = stack.enter_context
            put(patch.object(feed_module, "spawn", self.cameras.spawn))
            put(patch.object(pool_module, "WorkerProcess", self.workers.launch))
            put(patch.object(session_module, "Connection", self.broker.connect))
            put(patch.object(Segmenter, "segment", lambda _self, frames: self._segment(frames)))
            put(patch.object(Waker, "wait", lambda *_args, **_keys: None))
            put(patch.object(threading.Thread, "start", _start_others))
            put(patch.object(ControlServer, "start", lambda _self: None))
            put(patch.object(executor, "time", true_clock()))
            put(patch.object(copy_request, "time", true_clock()))
            for module in (build_module, report_module):
                put(patch.object(module, "synchronised", lambda: self.clock.synchronised))
            logs = configure_logging(self.config.logging, self.telemetry, self.mono)
            stack.callback(logs.close)
            logs.redirect(lambda _level, _line: None)
            ear = LogEar(self.telemetry)
            self._agent_logger().addHandler(ear)
            stack.callback(self._agent_logger().removeHandler, ear)
            self.start()
            try:
                yield
            finally:
                self.stop()

    @staticmethod
    def _agent_logger() -> Any:
        import logging

        return logging.getLogger("agent")

    def _segment(self, frames: Any) -> Any:
        return self.fruit.segment(frames, self.mono())

    def start(self) -> None:
        """Start the agent, or the next one of the same state."""
        self.agent = Agent(self.config, "0" * 12, self.telemetry)
        self.agent.start()
        self._turned_mono = self.mono()
        self.say_running()

    def restart(self) -> None:
        """End it and start the next one, as an operator does."""
        self.stop()
        self.start()
        self.run_until(lambda: self.stages.pool.status().ready >= 1, 60.0)

    def stop(self) -> bool:
        """End it in order; true when all is on the disk."""
        assert self.agent is not None
        self.agent.stop()
        self.cameras.end()
        kept, self.agent = self.agent.kept, None
        return kept

    # --- time ------------------------------------------------------------------------------------

    def turn(self, seconds: float = STEP_S) -> None:
        """Let so much time pass at once, and every loop turn once or twice."""
        stages = self.stages
        self.clock.advance(seconds)
        self.cameras.turn()
        for feed in stages.capture._feeds:
            stages.capture._turn(feed)
        self._live(stages.live)
        self._workers(stages)
        stages.alarm_loop._tick()
        for sink in stages.sinks:
            for _ in range(2):
                sink._session._step()
        stages.store.database.settle(SETTLE_S)

    def _live(self, live: Any) -> None:
        live.errands.run()
        while frames := live._stages.capture.take(8, 0.0):
            live._handle(frames)
        live._answer(live._stages.fruit.tick(self.mono()))

    def _workers(self, stages: Any) -> None:
        now = self.mono()
        gap_s, self._turned_mono = now - self._turned_mono, now
        stages.explain.errands.run()
        stages.pool._turn(now, gap_s if gap_s > 2 * STEP_S else 0.0)
        stages.explain._collect()
        stages.explain._dispatch()
        stages.pool._turn(now, 0.0)

    def run(self, seconds: float, step_s: float = STEP_S) -> None:
        """Let time pass."""
        end = self.mono() + seconds
        while self.mono() < end:
            self.turn(step_s)

    def run_until(self, condition: Any, limit_s: float, step_s: float = STEP_S) -> bool:
        """Let time pass until it is so; false when it is not in time."""
        end = self.mono() + limit_s
        while not condition():
            if self.mono() >= end:
                return False
            self.turn(step_s)
        return True

    # --- what is said to it, and of it -----------------------------------------------------------

    def say(self, **words: object) -> None:
        """A message of the machine."""
        import json

        payload = json.dumps({"timestamp_ms": self.utc_ms(), **words}).encode()
        self.broker.say(self.topics.base + "/" + MACHINE, payload, now=self.mono())

    def say_running(self) -> None:
        self.say(state="running", variety=VARIETY)

    def active(self) -> dict[str, AlarmState]:
        """The alarms that are not normal, by id."""
        alarms = self.stages.alarm_loop.alarms()
        return {one.alarm_id: one.state for one in alarms if one.active}

    def well(self) -> bool:
        """Whether all goes as it should."""
        stages = self.stages
        cameras = stages.capture.statuses()
        return (
            not self.active()
            and all(one.state is CameraState.LIVE for one in cameras)
            and stages.pool.status().ready >= 1
            and all(sink.link().connected for sink in stages.sinks)
            and not stages.store.status().degraded
        )


_started = threading.Thread.start


def _start_others(thread: threading.Thread) -> None:
    """Start a thread, unless its loop is stepped here."""
    if thread.name not in STEPPED:
        _started(thread)
