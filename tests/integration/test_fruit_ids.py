"""A PLC names each fruit by MQTT; every reading has the id of its own fruit, or says otherwise."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.test_main_job import BASE
from tests.support.mosquitto import Observer, mosquitto
from tests.support.plc import Naming, Plc
from tests.support.running import forked_agent

STOP_S = 1.6


@pytest.mark.long
@pytest.mark.needs_mosquitto
def test_ids_stay_with_their_fruit_while_the_agent_is_stopped(tmp_path: Path) -> None:
    """Of two lanes of one picture: the left with the PLC's stamps, the right without."""
    config = tmp_path / "pitwatch.yaml"
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        plc = Plc(Naming(), seen, f"{BASE}/machine", tmp_path)
        config.write_text(
            f"mqtt: {{broker: '{broker.url}'}}\n"
            "ablation: {workers: {count: 0}}\n"
            f"cameras: [{plc.camera}]\n"
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait_ready()
            plc.start()
            for lane in ("left", "right"):
                certain = {"camera": lane, "reason": "none"}
                agent.wait(
                    lambda said=certain: agent.total("pitwatch_fruit_ids_total", **said) >= 5,
                    60,
                    f"ids of {lane} that are certain",
                )
            os.kill(agent.process.pid, signal.SIGSTOP)
            stopped_ms = 1000 * time.time()
            time.sleep(STOP_S)
            os.kill(agent.process.pid, signal.SIGCONT)
            resumed_ms = 1000 * time.time()
            seen.wait("fruit/right", len(seen.all("fruit/right")) + 12, 30)
            plc.stop()
        readings = {lane: plc.readings(lane) for lane in ("left", "right")}
    for lane, those in readings.items():
        certain = [(own, one) for own, one in those if one["fruit_id_reason"] == "none"]
        named = [(own, one["fruit_id"]) for own, one in certain if one["fruit_id"]]
        assert len(named) >= 5
        assert [pair for pair in named if pair[0] != pair[1]] == []
        given = [one["fruit_id"] for _, one in those if one["fruit_id"]]
        assert len(set(given)) == len(given), "an id is used once"
        uncertain = [one["quality"] for _, one in those if one["fruit_id_reason"] != "none"]
        assert "good" not in uncertain
        during = [
            (own, one)
            for own, one in those
            if stopped_ms + 150 < one["timestamp_ms"] < resumed_ms - 350
        ]
        if lane == "left":
            assert [one["fruit_id"] for _, one in during] == [own for own, _ in during]
            assert all(one["machine_timestamp_ms"] > 0 for _, one in during)
        else:
            assert all(one["fruit_id_reason"] != "none" for _, one in during)
