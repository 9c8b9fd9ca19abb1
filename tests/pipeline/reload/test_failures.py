"""A reload that cannot be: what was in force before is so afterwards, and is said to be."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from agent.config import Config
from agent.config.load import ConfigErrors, ConfigProblem, Loaded
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline.agent import Agent
from agent.pipeline.reload import parts, reloader
from agent.pipeline.reload.context import ConfigSource
from agent.pipeline.reload.reloader import NO_FILE
from agent.pipeline.reload.result import ReloadResult
from agent.storage.store import Store
from agent.telemetry import NullTelemetry

pytestmark = pytest.mark.usefixtures("children_forked")


def of(*cameras: str, **sections: Any) -> Config:
    found = ({"name": name, "source": "sim:?rate=30"} for name in cameras or ("cam1", "cam2"))
    base: dict[str, Any] = {
        "cameras": tuple(found),
        "ablation": {"workers": {"count": 0}},
        "http": {"enabled": False},
        "mqtt": {"broker": "none"},
    }
    return Config(**(base | sections))


class Line:
    """A started agent whose file reads as ``next`` says."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.start = of(state_dir=state_dir)
        self.next: Callable[[], Config] = lambda: self.start
        self.telemetry = PrometheusTelemetry(CollectorRegistry(), lambda: 0.0)
        source = ConfigSource(lambda _: Loaded(self.next(), "", (), "a.yaml"))
        self.agent = Agent(self.start, "hash", self.telemetry, source)
        self.agent.start()

    def reload(self, config: Config) -> reloader.Reloaded:
        self.next = lambda: config.model_copy(update={"state_dir": self.state_dir})
        return self.agent.reloads.reload("test")

    def runs_as(self, config: Config) -> bool:
        """Whether every part that a camera or a limit concerns goes by this configuration."""
        stages = self.agent._stages
        names = tuple(camera.name for camera in config.cameras)
        lanes = {stages.newest.lanes, tuple(stages.alarm_loop.watch._lanes)}
        cameras = tuple(feed.camera.name for feed in stages.capture._feeds)
        watched = next(iter(stages.alarm_loop.watch._lanes.values()))._limits
        return (lanes, cameras, watched) == ({names}, names, config.alarms.limits)


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(reloader, "CAMERA_SETTLES_S", 0.0)
    one = Line(tmp_path)
    yield one
    one.agent.stop()


@pytest.mark.long
def test_a_part_that_fails_brings_back_those_before_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no descriptor left")

    pages = iter([broken, None])  # once: it is asked again to bring back what was before
    with monkeypatch.context() as patched:
        patched.setattr(parts, "page", lambda *_: next(pages))
        other = of("cam1", "cam3", alarms={"limits": {"no_read_rate": 0.4}})
        failed = line.reload(other)
    assert failed.result is ReloadResult.FAILED
    assert "no descriptor left; what was in force before is so again" in failed.problems[0]
    assert line.runs_as(line.start)
    assert line.agent.view().config_hash == "hash"
    assert line.telemetry.total("config_reloads", result="failed") == 1
    assert line.reload(other).result is ReloadResult.APPLIED
    assert line.runs_as(other)


def test_a_part_that_cannot_be_brought_back_keeps_none_of_the_others_from_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no descriptor left")

    with monkeypatch.context() as patched:
        patched.setattr(parts, "storage", lambda *_: broken)  # first, both ways
        patched.setattr(parts, "sampling", lambda *_: None)
        failed = line.reload(of("cam1", "cam3"))
    assert failed.result is ReloadResult.FAILED
    assert "not all that was in force before could be brought back" in failed.problems[0]
    assert line.runs_as(line.start)
    assert line.agent.view().config_hash == "hash"


def test_lanes_that_go_and_come_are_told_apart_from_cameras(line: Line) -> None:
    def lanes(*names: str) -> Config:
        at = {"left": (0, 0, 128, 256), "right": (128, 0, 128, 256), "far": (128, 0, 128, 256)}
        cut = tuple({"name": name, "region": at[name]} for name in names)
        return of(cameras=({"name": "cam1", "source": "sim:?rate=30", "lanes": cut},))

    forgotten: list[str] = []
    explain = line.agent._stages.explain
    explain.forget = forgotten.append  # type: ignore[method-assign]
    assert line.reload(lanes("left", "right")).result is ReloadResult.APPLIED
    assert sorted(forgotten) == ["cam1", "cam2"]
    assert line.reload(lanes("left", "far")).result is ReloadResult.APPLIED
    assert forgotten[2:] == ["right"]


def test_a_model_that_lacks_what_the_file_asks_refuses_it_before_anything_is_touched(
    line: Line,
) -> None:
    refused = line.reload(of(ablation={"workers": {"count": 1, "devices": ("cuda:7",)}}))
    assert (refused.result, line.runs_as(line.start)) == (ReloadResult.REFUSED, True)
    assert "cuda:7" in refused.problems[0]


def test_every_mistake_of_the_file_is_told_and_a_defect_of_the_reading_is_no_end(
    line: Line,
) -> None:
    def mistaken() -> Config:
        problems = [ConfigProblem("a.b", "is no key"), ConfigProblem("c", "is missing")]
        raise ConfigErrors("a.yaml", problems)

    def defect() -> Config:
        raise ZeroDivisionError("a defect")

    line.next = mistaken
    refused = line.agent.reloads.reload("test")
    assert refused.problems == ("a.b: is no key", "c: is missing")
    line.next = defect
    failed = line.agent.reloads.reload("test")
    assert (failed.result, failed.problems) == (
        ReloadResult.FAILED,
        ("ZeroDivisionError: a defect",),
    )
    assert line.reload(line.start).result is ReloadResult.UNCHANGED


def test_two_at_once_are_done_one_after_the_other(line: Line) -> None:
    at_work, go, order = threading.Event(), threading.Event(), []
    second = of(alarms={"limits": {"no_read_rate": 0.4}})

    def slow() -> Config:
        order.append("slow")
        at_work.set()
        go.wait(30)
        line.next = lambda: second.model_copy(update={"state_dir": line.state_dir})
        return line.start

    line.next = slow
    results: list[reloader.Reloaded] = []
    threads = [
        threading.Thread(target=lambda: results.append(line.agent.reloads.reload("test")))
        for _ in range(2)
    ]
    threads[0].start()
    assert at_work.wait(30)
    threads[1].start()
    go.set()
    for one in threads:
        one.join(60)
    assert order == ["slow"]
    assert sorted(one.result.value for one in results) == ["applied", "unchanged"]
    assert line.runs_as(second)


def test_one_that_does_not_get_its_turn_is_told_so(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloader, "WAIT_FOR_TURN_S", 0.01)
    with line.agent.reloads._turn:
        late = line.agent.reloads.reload("test")
    assert (late.result, late.problems) == (
        ReloadResult.FAILED,
        ("another reload has not ended yet",),
    )


def test_each_is_in_the_audit_table_with_who_asked_and_both_hashes(line: Line) -> None:
    result = line.reload(of(alarms={"limits": {"no_read_rate": 0.4}}))
    query = "SELECT command, user, outcome, detail, arguments FROM audit ORDER BY id DESC LIMIT 1"
    (row,) = line.agent._stages.store.database.rows(query)
    assert row[:4] == ("reload", "test", "applied", "alarms.limits.no_read_rate")
    assert f'"hash": "{result.sha256}"' in row[4]
    assert '"hash_before": "hash"' in row[4]


def test_without_a_file_there_is_nothing_to_read_again() -> None:
    agent = Agent(of(), "hash", PrometheusTelemetry(CollectorRegistry(), lambda: 0.0))
    refused = agent.reloads.reload("SIGHUP")
    assert (refused.result, refused.problems) == (ReloadResult.REFUSED, (NO_FILE,))


def test_who_changed_it_last_is_known_over_a_restart_of_the_same_configuration(
    tmp_path: Path,
) -> None:
    from agent.pipeline.reload import origin

    def at(sha256: str, utc_ms: int) -> origin.Origin:
        store = Store(tmp_path, NullTelemetry())
        found = origin.at_start(store.kept, sha256, utc_ms)
        store.close()
        return found

    assert at("a", 1) == origin.Origin("a", "", 1, "start")
    store = Store(tmp_path, NullTelemetry())
    origin.save(store.kept, origin.Origin("b", "a", 2, "SIGHUP"))
    store.close()
    assert at("b", 3) == origin.Origin("b", "a", 2, "SIGHUP")
    assert at("c", 4) == origin.Origin("c", "b", 4, "start")
    store = Store(tmp_path, NullTelemetry())
    store.kept.put(origin.NAME, {"version": 9}, lambda: None)
    store.close()
    assert at("d", 5) == origin.Origin("d", "", 5, "start")
