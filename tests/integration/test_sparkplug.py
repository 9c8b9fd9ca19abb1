"""The real command as a Sparkplug edge node: from birth to clean death, and over a restart."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from agent.publishing.sparkplug.codec import DataType, Metric, Payload, encode, value_of
from agent.publishing.sparkplug.writes import ANSWER
from tests.publishing.sparkplug.host import Host
from tests.publishing.sparkplug.rig import NCMD, Listener
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import forked_agent

pytestmark = pytest.mark.needs_mosquitto


def comment_on(listener: Listener, seen: Observer, event_id: str) -> None:
    """Write to the tag as a host does: by the alias that the birth has given."""
    text = json.dumps({"event_id": event_id, "user": "anna", "text": "cable replaced"})
    alias = listener.host.tags["", "Alarms/camera_lost-cam1/comment"].alias
    value = value_of(DataType.STRING, text)
    metric = Metric(alias=alias, timestamp_ms=round(1000 * time.time()), value=value)
    seen.client.publish(NCMD, encode(Payload(metric.timestamp_ms, (metric,))))


def read_a_fruit(host: Host) -> bool:
    tag = host.tags.get(("cam1", "Fruit/seq"))
    return host.online and tag is not None and tag.value is not None


def test_the_agent_is_born_sends_fruit_dies_cleanly_and_is_born_with_the_next_bdseq(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        config = tmp_path / "pitwatch.yaml"
        config.write_text(
            f"state_dir: {tmp_path}\n"
            "cameras: [{name: cam1, source: 'sim:'}]\n"
            f"mqtt: {{broker: '{broker.url}', sparkplug: {{enabled: true}}}}\n"
            "ablation: {workers: {count: 0}}\n"
        )
        listener = Listener(seen)
        for start in range(2):
            with forked_agent(tmp_path, "--config", str(config)) as agent:
                agent.wait(lambda: read_a_fruit(listener.listen()), 90, "a fruit")
                host = listener.host
                assert host.bdseq == start
                assert host.tags["cam1", "fps"].unit == "Hz"
                listener.wait(lambda h: h.value("Cameras/cam1/state") == "live", "its state")
                assert host.value("Alarms/camera_lost-cam1/active") is False
                assert host.value("Properties/Model") == "peach-sim-unet8"
                comment_on(listener, seen, "s0-1")
                answer = listener.wait(lambda h: h.value(ANSWER), "an answer").value(ANSWER)
                assert json.loads(answer)["outcome"] == "stale", "it never rang"
                assert agent.total("pitwatch_commands_total", outcome="stale") == 1
                agent.stop()
            host = listener.wait(lambda h: not h.online, "the death")
            assert host.devices == {"cam1": False}
