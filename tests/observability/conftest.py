"""A running server over an agent that a test can change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.observability.build import Now, build_view
from agent.observability.http.app_state import AppState
from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView, CameraView, LevelView, LimitsView
from agent.records import Alarm, CameraState, CameraStatus, MachineInfo
from tests.observability.http.served import Served
from tests.observability.support import TRUST
from tests.support.prometheus import prometheus  # noqa: F401 - a fixture


@dataclass
class FakeAgent:
    """What the wiring would be: holds what the routes ask for, to be changed by a test."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    cameras: tuple[str, ...] = ("cam1", "cam2")
    sources: dict[str, CameraState] = field(default_factory=dict)
    machine: list[MachineInfo] = field(default_factory=list)
    alarms: tuple[Alarm, ...] = ()
    levels: dict[str, dict[str, LevelView]] = field(default_factory=dict)
    statuses: tuple[CameraStatus, ...] = ()
    views: int = 0
    hold_view: threading.Event | None = None
    kept_evidence: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    descriptions: dict[str, object] = field(
        default_factory=lambda: {"metrics": {"fps": {"unit": "Hz", "low": 0.0}}}
    )

    def __post_init__(self) -> None:
        self.telemetry = PrometheusTelemetry(self.registry, time.monotonic, strict=True)
        self.newest = Newest(self.cameras)
        self.started = time.monotonic()
        self.make_ready()

    def make_ready(self) -> None:
        """Let every loop move, and model and camera be as they should."""
        for loop in ("live", "desk"):
            self.telemetry.beat(loop)
        self.sources = {"cam1": CameraState.LIVE}

    def view(self) -> AgentView:
        """Return the snapshot; stays away while ``hold_view`` is not set."""
        self.views += 1
        if self.hold_view is not None:
            self.hold_view.wait(30)
        first = AgentView(
            agent_id="line-1", version="0.1.0", session="7f", utc_ms=0, uptime_s=0.0,
            config_hash="c0ffee", model_name="default", model_sha256="ab" * 32, layer="decoder1",
            cameras=tuple(CameraView(name, "sim:", "") for name in self.cameras),
            limits=LimitsView(0.2, 0.6, 0.2, 0.214),
        )  # fmt: skip
        now = Now(
            mono=time.monotonic(), utc_ms=1_700_000_000_000, alarms=self.alarms,
            statuses=self.statuses, started_mono=self.started, levels=self.levels,
        )  # fmt: skip
        return build_view(first, now, self.newest, self.telemetry)

    def state(self) -> AppState:
        """Return what the server is given."""
        return AppState(
            view=self.view,
            sources=lambda: self.sources,
            on_machine=self.machine.append,
            newest=self.newest,
            telemetry=self.telemetry,
            kept_evidence=self.kept_evidence.get,
            descriptions=self.descriptions,
        )


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


ServeAgent = Callable[..., Served]


@pytest.fixture
def serve(agent: FakeAgent) -> Iterator[ServeAgent]:
    """Return a function that serves the agent until the test ends."""
    servers = []

    def start(**settings: object) -> Served:
        server = Served(config.Http(**{"port": 0, **settings}), agent.state())
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(serve: ServeAgent) -> Served:
    return serve()


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False, verify=TRUST) as client:
        yield client
