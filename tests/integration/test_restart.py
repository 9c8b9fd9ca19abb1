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
from tests.support.running import running_agent

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
        with running_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait_ready()
            assert agent.status()["evidence"] == [event_id]
            agent.wait(lambda: agent.status()["link"]["connected"], 15, "connected")
            with Observer(broker.port) as seen:
                said = json.loads(seen.wait("/alarm/no_read_rate-cam1")[0].payload)
            assert said["evidence_topic"] == TOPIC.format(event_id)
            path = said["evidence_url"].removeprefix(f"http://127.0.0.1:{agent.port}")
            assert agent.get(path) == (200, picture)
