"""A camera is taken out of the configuration and an operator's variety stands, on a real broker."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.mosquitto import Mosquitto, Observer, mosquitto, retained
from tests.support.running import RunningAgent, forked_agent

BASE = "pitwatch/v1/plant/site/area/line/pitter"
GONE = "camera_lost-gone"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(1)
    for i in range(4):
        picture = noise.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.png"), picture)
    return folder


def configured(folder: Path, broker: Mosquitto, pictures: Path, *, gone: bool) -> str:
    cameras = [f"{{name: cam1, source: {pictures}, fps: 4}}"]
    if gone:
        cameras.append("{name: gone, source: 'v4l2:///dev/video97'}")
    path = folder / "agent.yaml"
    path.write_text(
        f"cameras: [{', '.join(cameras)}]\n"
        f"mqtt: {{broker: {broker.url}, protocol: '3.1.1'}}\n"
        f"state_dir: {folder / 'state'}\nablation: {{workers: {{count: 0}}}}\n"
    )
    return str(path)


def said(observer: Observer, ending: str) -> list[dict[str, Any]]:
    return [json.loads(seen.payload) for seen in observer.all(ending)]


@pytest.mark.long
@pytest.mark.needs_mosquitto
def test_nothing_false_stays_of_a_camera_that_is_gone_and_the_operators_variety_stands(
    tmp_path: Path, pictures: Path
) -> None:
    """Under 3.1.1, where nothing expires. The broker keeps what the machine had said before the
    operator, and hands it over at each connect."""
    keeps = f"persistence true\npersistence_location {tmp_path}/"
    with mosquitto(tmp_path, keeps) as broker, Observer(broker.port) as scada:
        machine = b'{"state": "running", "variety": "golden", "lot": "L-1"}'
        scada.client.publish(f"{BASE}/machine", machine, 1, retain=True).wait_for_publish(5)
        with forked_agent(
            tmp_path, "--config", configured(tmp_path, broker, pictures, gone=True)
        ) as agent:

            def lost() -> bool:
                return any(one["active"] for one in said(scada, f"alarm/{GONE}"))

            agent.wait(lost, 60, "the alarm of the camera that is not there")
            agent.wait(lambda: varieties(scada)[-1:] == ["golden"], 30, "the machine's variety")
            ask_for(scada, agent, "blush")
            agent.wait(lambda: varieties(scada)[-1:] == ["blush"], 30, "the operator's variety")
            assert agent.stop()[0] == 0
        scada.clear()
        with forked_agent(
            tmp_path, "--config", configured(tmp_path, broker, pictures, gone=False)
        ) as agent:
            agent.wait(lambda: ends(scada), 60, "the end of the alarm")
            agent.wait(lambda: len(varieties(scada)) >= 8, 60, "fruit")
            (word,) = agent.events("running_word")
            assert (word["variety"], word["said_by"]) == ("blush", "operator")
            agent.wait(lambda: nothing_stands(broker), 30, "nothing of the camera stands")
            assert agent.stop()[0] == 0
        (end,) = ends(scada).values()
        assert (end["state"], end["active"]) == ("NORM", False)
        assert "taken out of the configuration" in end["message"]
        assert set(varieties(scada)) == {"blush"}


def ends(scada: Observer) -> dict[int, dict[str, Any]]:
    """The events by which the alarm of the camera ended, each once however often it was sent."""
    return {
        one["seq"]: one
        for one in said(scada, "event/alarm")
        if one["alarm_id"] == GONE and one["transition"] == "cleared"
    }


def varieties(scada: Observer) -> list[str]:
    return [one["variety"] for one in said(scada, "fruit/cam1")]


def nothing_stands(broker: Mosquitto) -> bool:
    """Whether no retained topic of the camera looks like something that is so."""
    kept = {
        seen.topic.removeprefix(f"{BASE}/"): json.loads(seen.payload)
        for seen in retained(broker.port, f"{BASE}/#")
        if "gone" in seen.topic and not seen.topic.endswith("/image")
    }
    normal = kept.get(f"alarm/{GONE}", {}).get("state") == "NORM"
    measured = kept.get("metric/gone/fps", {}).get("quality") == "bad"
    return normal and measured and not any(one.get("active") for one in kept.values())


def ask_for(scada: Observer, agent: RunningAgent, variety: str) -> None:
    command = {
        "command_id": f"c-{variety}",
        "issued_ms": time.time_ns() // 1_000_000,
        "user": "anna",
        "variety": variety,
        "lot": "",
    }
    scada.client.publish(f"{BASE}/cmd/variety", json.dumps(command), qos=1)
    agent.wait(lambda: said(scada, "cmd/result"), 20, "the answer")
    assert said(scada, "cmd/result")[-1]["outcome"] == "done"
