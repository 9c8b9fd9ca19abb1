"""What a start takes over from the one before it, seen from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.storage.rows import Kind, NewRow
from agent.storage.store import Store
from agent.telemetry import NullTelemetry
from tests.alarms.support import TimedManager, condition, utc_ms
from tests.publishing import examples
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import forked_agent

TOPIC = "pitwatch/v1/plant/site/area/line/pitter/evidence/{}/image"


def leave_behind(folder: Path, picture: bytes) -> str:
    """Write what an agent with one standing alarm leaves; return the id of its occurrence."""
    timed = TimedManager()
    timed.update(condition(True, value=0.4, limit=0.2, samples=100))
    timed.wait(600)
    event_id = timed.alarm.event_id
    assert timed.alarm.active
    store = Store(folder, NullTelemetry())
    store.alarms.save(timed.manager.export(timed.now, utc_ms(timed.now)))
    store.spool.add(
        NewRow(Kind.EVIDENCE, "evidence", TOPIC.format(event_id), "image/png", picture, event_id)
    )
    store.close()
    return event_id


@pytest.mark.needs_mosquitto
def test_the_picture_behind_an_alarm_is_served_after_a_restart(tmp_path: Path) -> None:
    picture = examples.overlay().data
    event_id = leave_behind(tmp_path / "state", picture)
    config = tmp_path / "pitwatch.yaml"
    with mosquitto(tmp_path) as broker:
        config.write_text(
            f"state_dir: {tmp_path / 'state'}\n"
            f"mqtt: {{broker: '{broker.url}'}}\n"
            "cameras: [{name: cam1, source: 'sim:?seed=5'}]\n"
            "ablation: {workers: {count: 0}}\n"
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait_ready()
            assert agent.status()["evidence"] == [event_id]
            agent.wait(lambda: agent.status()["link"]["connected"], 15, "connected")
            with Observer(broker.port) as seen:
                said = json.loads(seen.wait("/alarm/no_read_rate-cam1")[0].payload)
            assert said["evidence_topic"] == TOPIC.format(event_id)
            path = said["evidence_url"].removeprefix(f"http://127.0.0.1:{agent.port}")
            assert agent.get(path) == (200, picture)


@pytest.mark.long
def test_an_end_without_a_disk_has_an_exit_code_of_its_own_and_says_what_is_lost(
    tmp_path: Path,
) -> None:
    """Everything in memory was thrown away, with exit code 0."""
    state = tmp_path / "state"
    config = tmp_path / "pitwatch.yaml"
    config.write_text(
        f"state_dir: {state}\n"
        "mqtt: {broker: 'mqtt://127.0.0.1:9'}\n"
        "cameras: [{name: cam1, source: 'sim:?seed=5'}]\n"
        "ablation: {workers: {count: 0}}\n"
    )
    with forked_agent(tmp_path, "--config", str(config)) as agent:
        agent.wait_ready()
        state.rename(tmp_path / "elsewhere")
        state.write_text("no folder")
        agent.wait(lambda: agent.total("pitwatch_storage_durable") == 0, 30, "noticed")
        of = {"alarm": "spool_loss", "camera": "agent"}
        agent.wait(lambda: agent.total("pitwatch_alarm_active", **of) == 1, 30, "alarm")
        agent.wait(lambda: agent.total("pitwatch_storage_pending") > 0, 30, "counted")
        code, _ = agent.stop(timeout_s=60.0)
    assert code == 74, agent.log[-2000:]
    (said,) = agent.events("storage_not_kept")
    assert int(said["messages"]) > 0
    assert agent.events("storage_degraded")[0]["cause"] == "folder_replaced"
    books = agent.message_books()
    assert books["enqueued"] == books["delivered"] + books["dropped"] + books["in_flight"]
    assert books["dropped"] >= int(said["messages"])
    assert "could not be kept" in agent.log.splitlines()[-1]
