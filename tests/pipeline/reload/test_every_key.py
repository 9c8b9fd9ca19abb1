"""Every key that a reload takes over is reloaded once, and the part that goes by it has it then."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.ablation.pool.pool import AblationPool
from agent.alarms.text.languages import LANGUAGES
from agent.config import Config
from agent.config.difference import differences
from agent.config.load import Loaded
from agent.config.reload import Part, part_of
from agent.config.reload_table import keys
from agent.observability.logging.logs import Logs, configure_logging
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline import build
from agent.pipeline.agent import Agent
from agent.pipeline.reload import reloader
from agent.pipeline.reload.context import ConfigSource
from agent.pipeline.reload.result import ReloadResult
from agent.publishing.publisher import Publisher
from agent.publishing.sparkplug.publisher import SparkplugPublisher
from agent.recording.writer import quotas_of
from agent.records import AlarmState
from agent.segmentation.reading import LaneGeometry
from agent.telemetry import NullTelemetry
from tests.publishing.certificates import Authority

pytestmark = pytest.mark.usefixtures("children_forked")

OTHER_NAMES = {
    "cameras[]": {"cameras", "cameras[].name"},
    "cameras[].lanes[]": {"cameras[].lanes", "cameras[].lanes[].name"},
    "alarms.change_overs": {f"alarms.change_overs[].{one}" for one in ("at", "minutes", "days")},
}
"""What is changed along with a key that holds others."""


class Files:
    """What keys name that must be there."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.ca, self.other_ca = authority.certificate, Authority(folder, "other").certificate
        self.certificate, self.key = authority.issue("one")
        self.locked = authority.issue("locked", password="password-of-a-key")
        self.folder = folder / "pictures"
        self.folder.mkdir()
        for name in ("features", "token", "cti"):
            (folder / name).touch()
        self.of = folder


def before(files: Files) -> dict[str, Any]:
    """The configuration of the start: a camera of each kind, none of which has to open."""
    return {
        "cameras": (
            {"name": "live", "source": "sim:?rate=5"},
            {"name": "sim", "source": "sim:?rate=1", "sim": {"seed": 1}},
            {"name": "gone", "source": "sim:?rate=1"},
            {"name": "net", "source": "rtsp://127.0.0.1:1/a"},
            {"name": "files", "source": str(files.folder)},
            {
                "name": "wide",
                "source": "sim:?rate=1&lanes=2",
                "lanes": (
                    {"name": "left", "region": (0, 0, 200, 200)},
                    {"name": "right", "region": (256, 0, 200, 200)},
                ),
            },
            {"name": "machine", "source": "genicam://ip/127.0.0.1", "genicam": {}},
        ),
        "ablation": {"workers": {"count": 0}},
        "mqtt": {"broker": "mqtts://127.0.0.1:1", "tls": {"ca": files.ca}},
        "http": {"port": 0},
        "recording": {"folder": files.of / "recordings"},
        "logging": {"level": "warning"},
    }


GENICAM = {
    "backend": "aravis",
    "interface": "eth1",
    "user_set": "UserSet1",
    "features": ("Gamma=1.0",),
    "trigger": "Line1:RisingEdge",
    "exposure_us": 800,
    "gain_db": 3,
    "white_balance_auto": "once",
    "strobe": "Line2",
    "pixel_format": "Mono8",
    "roi": (0, 0, 256, 256),
    "packet_size": 8000,
    "packet_delay": 100,
    "buffers": 4,
    "ptp": "slave",
    "stamp": "camera",
    "chunks": ("Timestamp",),
}


def cameras(files: Files, step: int) -> tuple[dict[str, Any], ...]:
    """The cameras of the first and of the second reload."""
    genicam = {**GENICAM, "features_file": files.of / "features"}
    if step == 2:
        genicam = {"cti": files.of / "cti", "exposure_auto": "once", "gain_auto": "continuous"}
    return (
        {"name": "live", "source": "sim:?rate=5", "mm_per_px": 0.5, "cutting_line_deg": 20 * step},
        {
            "name": "sim",
            "source": "sim:?rate=2",
            "sim": {"seed": 2},
            "mode": "free-run",
            "fps": 3,
            "queue_slots": 8,
            "max_age_s": 1.5,
            "open_timeout_s": 9,
            "read_timeout_s": 4,
            "frozen_after_s": 4,
            "idle_after_s": 50,
            "backoff_first_s": 0.4,
            "backoff_max_s": 20,
            "machine_tolerance_s": 0.4,
            "machine_delay_s": 0.1,
            "machine_wait_s": 0.3,
            "round_aperture": True,
            "width_px": 512,
            "height_px": 256,
        },
        {"name": "new", "source": "sim:?rate=1"},
        {"name": "net", "source": "rtsp://127.0.0.1:1/a", "transport": "udp"},
        {
            "name": "files",
            "source": str(files.folder),
            "bit_depth": 12,
            "rotate": 90,
            "mirror": "vertical",
        },
        {
            "name": "wide",
            "source": "sim:?rate=1&lanes=2",
            "lanes": (
                {
                    "name": "left",
                    "region": (0, 0, 220, 220),
                    "cutting_line_deg": 10,
                    "mm_per_px": 0.2,
                },
                {"name": "third", "region": (256, 0, 200, 200)},
            ),
        },
        {"name": "machine", "source": "genicam://ip/127.0.0.1", "genicam": genicam},
    )


def first(files: Files) -> dict[str, Any]:
    """Every key but those that exclude another one."""
    return {
        "cameras": cameras(files, 1),
        "segmentation": {
            "batch_max": 4,
            "min_suture_area": 0.01,
            "min_confidence": 0.4,
            "min_plausibility": 0.4,
            "empty_brightness": 20,
            "empty_chroma": 20,
            "dark_chromaticity": 0.6,
        },
        "sampling": {
            "period_s": 3,
            "cooldown_s": 1,
            "duty_cycle": 0.4,
            "budget_window_s": 9,
            "borrow_s": 8,
            "max_age_s": 2,
            "deadline_s": 9,
            "uncertain_margin": 2,
            "uncertain_confidence": 0.5,
        },
        "ablation": {
            "baseline": "mean",
            "region_threshold": 0.4,
            "background_draws": 3,
            "seed": 1,
            "study_every": 50,
            "overlay_quality": 80,
            "overlay_range": 1.5,
            "workers": {
                "pool": "ray",
                "count": 0,
                "threads": 2,
                "priority": "low",
                "heartbeat_s": 2,
                "heartbeat_timeout_s": 6,
                "start_timeout_s": 100,
                "restart_budget": 4,
                "restart_window_s": 200,
                "breaker_cooldown_s": 50,
                "memory_limit_mb": 1024,
                "recycle_after_jobs": 1000,
                "ray": {
                    "address": "127.0.0.1:6379",
                    "gpus": 0.5,
                    "cpus": 2,
                    "token_file": files.of / "token",
                    "tls": {"ca": files.ca, "certificate": files.certificate, "key": files.key},
                    "local_workers": 1,
                    "away_after_s": 20,
                },
            },
        },
        "alarms": {
            "ack_mode": "operator",
            "shelve_max_s": 600,
            "out_of_service": ("no_read_rate-live",),
            "language": "it",
            "change_overs": ({"at": "05:30", "minutes": 20, "days": ("mon",)},),
            "limits": {
                "background_reliance": 0.5,
                "foreground_sensitivity": 0.3,
                "no_read_rate": 0.3,
                "image_quality": 0.3,
                "only_dark_s": 200,
                "explanations_window": 8,
                "fruit_window": 200,
                "no_explanation_s": 50,
                "latency_p95_s": 0.3,
                "unknown_silence_s": 200,
            },
            "budget": {"days": 20, "hours_a_day": 16, "window_s": 30},
        },
        "storage": {
            "limit_bytes": 64 * 2**20,
            "free_disk_bytes": 2**20,
            "alarm_age_s": 1000,
            "evidence_age_s": 2000,
            "explanation_age_s": 3000,
            "keep_acknowledged_s": 60,
            "replay_per_s": 50,
        },
        "recording": {
            "enabled": True,
            "folder": files.of / "recordings",
            "limit_bytes": 2**30,
            "age_s": 1000,
            "free_disk_bytes": 2**20,
            "queue_frames": 8,
            "seed": 1,
            "no_read": {"per_minute": 1, "share": 0.1},
            "uncertain": {"per_minute": 1, "share": 0.1, "confidence_below": 0.5},
            "implausible": {"per_minute": 1, "share": 0.2, "plausibility_below": 0.4},
            "alarmed": {"per_minute": 1, "share": 0.2},
            "explained": {
                "per_minute": 1,
                "share": 0.2,
                "reliance_above": 0.4,
                "foreground_below": 0.1,
                "spot_error_above": 0.1,
            },
            "random": {"per_minute": 1, "share": 0.1, "one_in": 10},
            "sure": {"per_minute": 1, "share": 0.05, "confidence_from": 0.8},
        },
        "commands": {"allow": ("ack",), "max_age_s": 30, "per_s": 2},
        "mqtt": {
            "broker": "mqtts://localhost:1",
            "protocol": "3.1.1",
            "client_id": "other",
            "username": "me",
            "password": "password-of-mine",
            "tls": {
                "ca": files.other_ca,
                "certificate": files.locked[0],
                "key": files.locked[1],
                "key_password": "password-of-a-key",
            },
            "keepalive_s": 20,
            "reconnect_first_s": 2,
            "reconnect_max_s": 50,
            "reconnect_penalty_s": 50,
            "puback_timeout_s": 10,
            "retain": False,
            "publish_per_s": 100,
            "in_flight_max": 10,
            "queue_max": 500,
            "status_interval_s": 5,
            "metric_interval_s": 20,
            "metric_deadband": 0.02,
            "message_limit_bytes": 50_000,
            "sparkplug": {
                "enabled": True,
                "primary_host": "host",
                "batch_s": 0.3,
                "rebirth_debounce_s": 4,
                "datatype_in_data": True,
                "history_max": 100,
            },
        },
        "http": {
            "port": 0,
            "public_url": "https://pit.example",
            "allow": ("10.0.0.0/8",),
            "trusted_proxies": ("127.0.0.1",),
            "token": "token-of-16-signs-",
            "actions": {"token": "another-of-16-signs"},
            "tls": {
                "certificate": files.locked[0],
                "key": files.locked[1],
                "key_password": "password-of-a-key",
                "client_ca": files.ca,
            },
            "picture_link_s": 300,
            "loop_limit_s": 6,
            "limits": {"connections": 64, "requests_per_s": 50, "burst": 100},
        },
        "logging": {"level": "error", "format": "json", "repeat_window_s": 5, "repeat_max": 2},
    }


def second(files: Files) -> dict[str, Any]:
    """What excludes a key of the first reload; all else stays."""
    sections = first(files)
    workers = {"count": 1, "devices": ("cpu",)}
    http = {key: value for key, value in sections["http"].items() if key != "actions"}
    return {
        **sections,
        "cameras": cameras(files, 2),
        "ablation": {**sections["ablation"], "workers": workers},
        "http": {**http, "page": False},
    }


# --- what goes by each section -------------------------------------------------------------------


def check(agent: Agent, wanted: Config, logs: Logs, pools: list[tuple[Any, Any]]) -> None:
    """Every part goes by this configuration."""
    stages = agent._stages
    segmenter, scheduler = stages.live._stages.segmenter.current, stages.explain._scheduler
    assert stages.live._stages.batch_max == wanted.segmentation.batch_max
    assert segmenter._settings == wanted.segmentation
    assert scheduler._settings == wanted.sampling
    assert scheduler._budget.debt == wanted.sampling.borrow_s
    spec, workers = pools[-1]
    assert (spec.ablation, workers) == (stages.config.ablation, wanted.ablation.workers)
    assert spec.ablation.model_dump(exclude={"classes"}) == wanted.ablation.model_dump(
        exclude={"classes"}
    )
    check_alarms(agent, wanted)
    check_network(agent, wanted)
    assert stages.store.spool._settings == wanted.storage
    assert stages.store.spool.capacity._settings == wanted.storage
    check_recording(agent, wanted)
    handler = logs._handler
    assert handler._format.__name__ == f"format_{wanted.logging.format}"
    assert handler._limiter._window_s == wanted.logging.repeat_window_s
    assert handler._limiter._limit == wanted.logging.repeat_max
    assert logging.getLogger("agent").level == getattr(logging, wanted.logging.level.upper())
    check_cameras(agent, wanted)


def check_recording(agent: Agent, wanted: Config) -> None:
    recorder, section = agent._stages.recording.recorder, wanted.recording
    assert recorder.status().on == section.enabled
    assert recorder._settings.recording == recorder._choice._settings == section
    shelf = recorder._writer.shelf
    assert shelf.holdings.quotas == quotas_of(section)
    assert shelf.free_disk_bytes == section.free_disk_bytes


def check_alarms(agent: Agent, wanted: Config) -> None:
    stages, alarms = agent._stages, wanted.alarms
    watch, manager = stages.alarm_loop.watch, stages.persistence._manager
    assert watch._change_overs == alarms.change_overs
    assert manager._settings == alarms
    assert manager._recorder.language is LANGUAGES[alarms.language]
    for lane in watch._lanes.values():
        assert lane._limits == lane._light._limits == lane._data._limits == alarms.limits
        assert lane._no_reads._size == alarms.limits.fruit_window
        assert lane._reliance._size == alarms.limits.explanations_window
    out = {one.alarm_id for one in manager.current() if one.state is AlarmState.OUT_OF_SERVICE}
    assert stages.first_view.shelve_max_s == alarms.shelve_max_s
    assert stages.first_view.limits.no_read_rate == alarms.limits.no_read_rate
    assert out == set(alarms.out_of_service)


def check_network(agent: Agent, wanted: Config) -> None:
    stages, mqtt = agent._stages, wanted.mqtt
    publisher = stages.sinks[0]
    assert isinstance(publisher, Publisher)
    assert publisher._session._settings.mqtt == mqtt
    assert publisher._session._settings.client_id == (mqtt.client_id or "pitwatch-uns")
    assert publisher._settings.commands == stages.actions._reader._settings == wanted.commands
    assert publisher._outbox._memory._cap == mqtt.queue_max
    assert publisher._outbox._replay._pace.rate_per_s == wanted.storage.replay_per_s
    assert publisher._deadband.relative == mqtt.metric_deadband
    assert publisher._deadband.interval_s == mqtt.metric_interval_s
    assert publisher._status._interval_s == mqtt.status_interval_s
    assert publisher._composer._settings.mqtt == mqtt
    assert publisher._composer._settings.identity == stages.identity
    nodes = [sink for sink in stages.sinks if isinstance(sink, SparkplugPublisher)]
    assert [node._settings.mqtt.sparkplug for node in nodes] == (
        [mqtt.sparkplug] if mqtt.sparkplug.enabled else []
    )
    assert stages.http is not None
    assert stages.http.settings == stages.http._spec.settings == wanted.http
    assert stages.http._spec.lanes == stages.newest.lanes
    assert stages.http.signer._valid_s == wanted.http.picture_link_s
    assert agent._stages.config.http.loop_limit_s == wanted.http.loop_limit_s


def check_cameras(agent: Agent, wanted: Config) -> None:
    stages = agent._stages
    feeds = {feed.camera.name: feed for feed in stages.capture._feeds}
    assert list(feeds) == [camera.name for camera in wanted.cameras]
    geometry = {"cutting_line_deg", "mm_per_px", "lanes"}
    for camera in wanted.cameras:
        running = feeds[camera.name].camera
        assert running.model_dump(exclude=geometry) == camera.model_dump(exclude=geometry)
        for lane in camera.effective_lanes():
            cut = LaneGeometry(
                mode=camera.mode,
                cutting_line_deg=lane.cutting_line_deg,
                mm_per_px=lane.mm_per_px,
            )
            assert stages.live._stages.segmenter.current._lanes[lane.name] == cut
            assert stages.newest._cutting_lines_deg[lane.name] == lane.cutting_line_deg
        assert [(one.name, one.region) for one in running.effective_lanes()] == [
            (one.name, one.region) for one in camera.effective_lanes()
        ]
    lanes = tuple(lane.name for camera in wanted.cameras for lane in camera.effective_lanes())
    assert stages.newest.lanes == lanes
    assert tuple(stages.alarm_loop.watch._lanes) == lanes
    assert tuple(stages.live._stages.fruit.lanes) == lanes
    assert tuple(camera.name for camera in stages.first_view.cameras) == lanes
    assert tuple(stages.commands._targets.lanes) == lanes


# --- the reloads ---------------------------------------------------------------------------------


class Recorded(AblationPool):
    """Starts no process: what it was made of is looked at."""

    made: list[tuple[Any, Any]]

    def __init__(self, spec: Any, settings: config.Workers, *rest: Any) -> None:
        self.made.append((spec, settings))
        super().__init__(spec, settings, *rest)

    def start(self) -> None:
        pass


@pytest.fixture
def logs() -> Iterator[Logs]:
    found = configure_logging(config.Logging(level="warning"), NullTelemetry())
    yield found
    found.close()


def test_every_key_is_taken_over_by_what_goes_by_it(
    tmp_path: Path, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools: list[tuple[Any, Any]] = []
    monkeypatch.setattr(Recorded, "made", pools, raising=False)
    monkeypatch.setattr(build, "AblationPool", Recorded)
    monkeypatch.setattr(reloader, "CAMERA_SETTLES_S", 0.0)
    files = Files(tmp_path)
    configs = [Config(**make(files)) for make in (before, first, second)]
    files_read = iter(configs[1:])
    telemetry = PrometheusTelemetry(CollectorRegistry(), lambda: 0.0)
    source = ConfigSource(lambda _: Loaded(next(files_read), "", (), "test.yaml"), logs)
    agent = Agent(configs[0], "", telemetry, source)
    agent.start()
    covered: set[str] = set()
    try:
        for was, now in pairwise(configs):
            result = agent.reloads.reload("test")
            assert (result.result, result.problems) == (ReloadResult.APPLIED, ())
            assert result.changes == differences(was, now)
            covered |= {one.key for one in result.changes}
            check(agent, now, logs, pools)
    finally:
        agent.stop()
    for key, others in OTHER_NAMES.items():
        covered |= others if key in covered else set()
    assert {key for key in keys() if part_of(key) is not Part.RESTART} - covered == set()
    assert not result.well, "most of these cameras do not open"
