"""A running server over an agent that a test can change, and a browser that looks at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import httpx
import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.observability.build import Now, build_view
from agent.observability.http.app_state import Acted, AppState
from agent.observability.newest import Newest
from agent.observability.page.words import Words, load_words
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import (
    AgentView,
    CameraView,
    LevelView,
    LimitsView,
    RecordingView,
    RunningView,
    UsualView,
)
from agent.records import (
    Alarm,
    AlarmState,
    CameraState,
    CameraStatus,
    CommandOutcome,
    LinkStatus,
    MachineInfo,
    PoolStatus,
)
from agent.simulator.truth_log import draw_number
from tests.observability.http.served import Served
from tests.observability.samples import alarm, explanation, frame, fruit, overlay, segmentation
from tests.observability.support import TRUST
from tests.support.chromium import Chromium, chromium
from tests.support.prometheus import prometheus  # noqa: F401 - a fixture

PANEL, TELEPHONE = (1280, 800), (390, 844)
ONE = "/#cam1"
"""The lane that is explained, with everything."""
ANGLE = "document.querySelector('.angle')?.textContent"


NO_HISTORY: dict[str, object] = {
    "hours": 8, "alarms": [],
    **{name: [] for name in ("end_s", "seconds", "fruit", "no_read", "no_read_limit", "foreground",
                             "foreground_limit", "reliance", "reliance_limit")},
}  # fmt: skip
"""What is said of a lane that has just been started."""


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
    workers: PoolStatus | None = None
    link: LinkStatus | None = None
    running: dict[str, RunningView] = field(default_factory=dict)
    usual: dict[str, UsualView] = field(default_factory=dict)
    recording: RecordingView = field(default_factory=RecordingView)
    machine_word: MachineInfo = field(default_factory=MachineInfo)
    utc_ms: int = 1_700_000_000_000
    views: int = 0
    hold_view: threading.Event | None = None
    kept_evidence: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    words: Words = field(default_factory=load_words)
    acts: list[tuple[str, bytes, str]] = field(default_factory=list)
    acted: Acted = field(default_factory=lambda: Acted(CommandOutcome.DONE))
    actions: tuple[str, ...] = ()
    history: dict[str, dict[str, object]] = field(default_factory=dict)
    past_alarms: dict[str, object] = field(default_factory=lambda: {"alarms": []})
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
            limits=LimitsView(0.2, 0.6, 0.2, 0.214), actions=self.actions, shelve_max_s=28_800.0,
        )  # fmt: skip
        now = Now(
            mono=time.monotonic(), utc_ms=self.utc_ms, alarms=self.alarms,
            statuses=self.statuses, started_mono=self.started, levels=self.levels,
            workers=self.workers, link=self.link, machine=self.machine_word, running=self.running,
            usual=self.usual, recording=self.recording,
        )  # fmt: skip
        return build_view(first, now, self.newest, self.telemetry)

    def act(self, name: str, body: bytes, address: str) -> Acted:
        """Remember what was asked for."""
        self.acts.append((name, body, address))
        return self.acted

    def state(self) -> AppState:
        """Return what the server is given."""
        return AppState(
            view=self.view,
            sources=lambda: self.sources,
            on_machine=self.machine.append,
            newest=self.newest,
            telemetry=self.telemetry,
            kept_evidence=self.kept_evidence.get,
            act=self.act,
            history=lambda lane: self.history.get(lane, NO_HISTORY),
            past_alarms=lambda: self.past_alarms,
            descriptions=self.descriptions,
            words=self.words,
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


@pytest.fixture(scope="module")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Chromium) -> Iterator[Chromium]:
    one_browser.errors.clear()
    one_browser.size(*PANEL)
    yield one_browser
    one_browser.open("about:blank")


def status(camera: str, state: CameraState = CameraState.LIVE) -> CameraStatus:
    return CameraStatus(camera, (camera,), state, "first_frame", time.monotonic(), 64, 64)


def see(
    agent: FakeAgent, seq: int, angle_deg: float, lane: str = "cam1", *, read: bool = True
) -> None:
    """One fruit, through every counter that the page shows."""
    shown = frame(lane, seq=seq, mono=time.monotonic(), side=256)
    draw_number(shown.image, seq)
    seen = segmentation(shown, angle_deg=angle_deg, read=read)
    for counter in ("frames_captured", "frames_segmented", "fruit"):
        agent.telemetry.count(counter, camera=lane)
    agent.telemetry.observe("capture_to_mask_seconds", 0.03, camera=lane)
    agent.newest.on_segmented(shown, seen)
    agent.newest.on_fruit(replace(fruit(shown), segmentation=seen))


@pytest.fixture
def busy(agent: FakeAgent) -> FakeAgent:
    """Two cameras, of which one delivers and is explained, and an alarm with its picture."""
    agent.statuses = (status("cam1"), status("cam2", CameraState.STALLED))
    see(agent, 1, 12.5)
    for seq in range(3):
        shown = frame(seq=seq, mono=time.monotonic())
        agent.newest.on_explanation(explanation(shown, (overlay("suture"), overlay("stem"))))
    agent.alarms = (alarm(), alarm("no_read_rate-cam1", active=False))
    agent.levels["cam1"] = {
        "no_read_rate": LevelView(0.05, 0.2, 280, judged=True),
        "latency_budget": LevelView(0.03, 0.214, 280, judged=True),
        "foreground_insensitive": LevelView(0.74, 0.2, 10, low=True, judged=True),
        "background_reliance": LevelView(0.12, 0.6, 10, judged=True),
    }
    agent.newest.on_evidence("e1", overlay(""))
    agent.telemetry.gauge("storage_bytes", 2.0 * 2**20)
    agent.telemetry.gauge("storage_limit_bytes", 256.0 * 2**20)
    agent.telemetry.gauge("spool_oldest_seconds", 30.0, topic_family="event")
    return agent


@pytest.fixture
def eight(agent: FakeAgent) -> FakeAgent:
    """Four lanes, or eight, and two alarms with their pictures."""
    lanes = [f"lane-{i}" for i in range(1, 9)]
    agent.cameras = tuple(lanes)
    agent.newest = Newest(lanes)
    agent.statuses = tuple(status(lane) for lane in lanes)
    agent.alarms = (
        replace(alarm("camera_lost-lane-4", severity=800), camera_id="lane-4", priority="high"),
        replace(alarm("no_read_rate-lane-2", severity=500), camera_id="lane-2", priority="medium"),
        replace(alarm("latency_budget-lane-1", active=False), state=AlarmState.RTN_UNACK),
    )
    agent.newest.on_evidence("e1", overlay(""))
    for lane in lanes:
        agent.levels[lane] = {
            "no_read_rate": LevelView(0.05, 0.2, 280, judged=True),
            "foreground_insensitive": LevelView(0.7, 0.2, 10, low=True, judged=lane != "lane-3"),
        }
        see(agent, 1, 12.5, lane, read=lane != "lane-2")
        shown = frame(lane, mono=time.monotonic())
        agent.newest.on_explanation(explanation(shown, (overlay("suture"),)))
    return agent
