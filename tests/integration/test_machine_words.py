"""What the machine says of a fruit, by MQTT and by HTTP, rides along into the fruit's reading."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.test_main_job import BASE, fruit_pictures
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import forked_agent


@pytest.mark.needs_mosquitto
def test_fruit_id_and_encoder_by_mqtt_and_http_are_in_the_readings(tmp_path: Path) -> None:
    pictures = fruit_pictures(tmp_path / "fruit", 8)
    config = tmp_path / "pitwatch.yaml"
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        config.write_text(
            f"mqtt: {{broker: '{broker.url}'}}\n"
            "ablation: {workers: {count: 0}}\n"
            f"cameras: [{{name: cam1, source: '{pictures}', fps: 5}}]\n"
        )

        def read_with(name: str) -> dict[str, object]:
            readings = [json.loads(m.payload) for m in seen.all(f"{BASE}/fruit/cam1")]
            return next((one for one in readings if one["fruit_id"].startswith(name)), {})

        def named(name: str, say: Callable[[dict[str, object]], None]) -> bool:
            """Name one fruit more; whether one of them was read. A word names one picture."""
            say({"state": "running", "fruit_id": f"{name}-{next(numbers)}"})
            return bool(read_with(name))

        def by_mqtt(word: dict[str, object]) -> None:
            said = word | {"encoder": 4711, "lot": "L1"}
            seen.client.publish(f"{BASE}/machine", json.dumps(said), 1)

        numbers = itertools.count()
        with forked_agent(tmp_path, "--config", str(config)) as agent:

            def by_http(word: dict[str, object]) -> None:
                said = json.dumps(word | {"encoder": 4712})
                assert agent.post("/machine", said.encode()) in (200, 204)

            agent.wait_ready()
            agent.wait(lambda: named("M", by_mqtt), 30, "a reading with the word by MQTT")
            said = next(numbers)  # none of the first words is on its way any more
            heard = "pitwatch_machine_messages_total"
            agent.wait(lambda: agent.total(heard, transport="mqtt") >= said, 30, "all are heard")
            agent.wait(lambda: named("H", by_http), 30, "a reading with the word by HTTP")
        first, second = read_with("M"), read_with("H")
        assert (first["encoder"], first["lot"], first["machine_state"]) == (4711, "L1", "running")
        assert (second["encoder"], second["lot"]) == (4712, ""), "each word is the whole state"
