"""The main job as a plant would see it: the real command, a real broker, real sources.

Three tests start the command as a person does; in the others, and wherever else a whole agent
runs, it is forked: see ``tests.support.forked``.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import httpx
import numpy as np
import psutil
import pytest

from tests.support import free_port, wait_until
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import PROMPT_WORKERS, RunningAgent, forked_agent, running_agent

BASE = "pitwatch/v1/plant/site/area/line/pitter"


def fruit_pictures(folder: Path, count: int) -> Path:
    """Write rendered fruit as pictures with an alpha channel, one corrupt file among them."""
    from agent.simulator.render import Renderer

    folder.mkdir()
    renderer = Renderer(256)
    for seed in range(count):
        fruit = renderer.fruit(seed)
        alpha = (fruit.aperture * 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"fruit{seed:03}.png"), np.dstack([fruit.image, alpha]))
    (folder / "fruit005x.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    return folder


def fruit_video(path: Path, count: int, fps: float) -> Path:
    """Write rendered fruit as a video."""
    from agent.simulator.render import Renderer

    renderer = Renderer(256)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (256, 256))
    for seed in range(count):
        writer.write(renderer.fruit(seed).image)
    writer.release()
    return path


def demonstration(folder: Path) -> tuple[str, ...]:
    """Options for the built-in defaults, with the embedded broker on a port that is free here."""
    config = folder / "demonstration.yaml"
    config.write_text(
        f"mqtt: {{broker: embedded, embedded_port: {free_port()}}}\n" + PROMPT_WORKERS
    )
    return "--config", str(config)


def unexplained(folder: Path) -> tuple[str, ...]:
    """Options for an agent without workers, whose start costs more than all the rest of it."""
    config = folder / "unexplained.yaml"
    config.write_text("ablation: {workers: {count: 0}}\n")
    return "--config", str(config)


def assert_the_books_balance(agent: RunningAgent, dropped: int = 0) -> None:
    for camera, books in agent.final_books().items():
        assert books["captured"] > 0, camera
        assert books["in_flight"] == 0, (camera, books)
        assert books["captured"] == books["segmented"] + books["dropped"], (camera, books)
        assert books["dropped"] <= dropped, (camera, books)


@pytest.mark.long
def test_without_configuration_the_demonstration_runs_and_ends_cleanly(tmp_path: Path) -> None:
    with running_agent(tmp_path, *demonstration(tmp_path)) as agent:
        agent.wait_ready()
        agent.wait(lambda: agent.status()["explanations"]["completed"] >= 1, 60, "an explanation")
        view = agent.status()
        assert view["link"]["connected"], "the embedded broker takes the connection"
        assert view["messages"]["delivered"] > 0
        assert agent.stop()[0] == 0
    assert_the_books_balance(agent)
    assert agent.events("agent_stopped")[0]["acknowledged"] == "true"


@pytest.mark.needs_mosquitto
def test_scada_receives_fruit_explanations_pictures_and_a_clean_goodbye(tmp_path: Path) -> None:
    """Under MQTT 3.1.1; a whole agent speaks version 5 in most other tests."""
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        config = tmp_path / "pitwatch.yaml"
        config.write_text(
            "cameras: [{name: cam1, source: 'sim:'}]\n"
            f'mqtt:\n  broker: {broker.url}\n  protocol: "3.1.1"\n' + PROMPT_WORKERS
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait(lambda: seen.all(f"{BASE}/cam/cam1/suture/meta"), 90, "a CAM's meta")
            code, seconds = agent.stop()
        assert code == 0
        assert seconds < 15, "5 s where nothing else loads the machine"
        fruit = json.loads(seen.all(f"{BASE}/fruit/cam1")[-1].payload)
        assert fruit["read"] == (fruit["angle_deg"] >= 0)
        image = seen.all(f"{BASE}/cam/cam1/suture/image")[-1].payload
        assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR) is not None
        explanation = json.loads(seen.all(f"{BASE}/explanation/cam1")[-1].payload)
        assert explanation["suture_y"] == pytest.approx(explanation["suture_y_null"], abs=1e-3)
        goodbye = json.loads(seen.all(f"{BASE}/status")[-1].payload)
        assert (goodbye["online"], goodbye["state"]) == (False, "stopped")
    assert_the_books_balance(agent)


@pytest.mark.long
@pytest.mark.needs_mosquitto
def test_a_folder_of_pictures_is_read_to_its_end_into_a_broker(tmp_path: Path) -> None:
    folder = fruit_pictures(tmp_path / "fruit", 20)
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        source = f"file://{folder}?loop=0"
        options = ("--source", source, "--broker", broker.url, *unexplained(tmp_path))
        with forked_agent(tmp_path, *options) as agent:
            assert agent.process.wait(60) == 0, agent.log
        readings = [json.loads(m.payload) for m in seen.all(f"{BASE}/fruit/cam1")]
    assert len(readings) == 20, "the corrupt picture costs itself only"
    assert agent.final_books()["cam1"] == {
        "captured": 20,
        "segmented": 20,
        "dropped": 0,
        "in_flight": 0,
        "fruit": 20,
        "no_read": sum(not reading["read"] for reading in readings),
    }
    assert agent.events("pictures_unreadable"), agent.log


@pytest.mark.long
@pytest.mark.needs_mosquitto
def test_a_video_file_is_played_into_a_broker(tmp_path: Path) -> None:
    video = fruit_video(tmp_path / "fruit.mp4", 30, fps=10)
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        source = f"file://{video}?loop=0"
        options = ("--source", source, "--broker", broker.url, *unexplained(tmp_path))
        with forked_agent(tmp_path, *options) as agent:
            assert agent.process.wait(60) == 0, agent.log
        assert len(seen.all(f"{BASE}/fruit/cam1")) == 30
    assert_the_books_balance(agent)


@pytest.mark.needs_mosquitto
def test_several_cameras_and_lanes_each_have_topics_and_books_of_their_own(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        config = tmp_path / "pitwatch.yaml"
        config.write_text(
            f"mqtt: {{broker: '{broker.url}'}}\n"
            "ablation: {workers: {count: 0}}\n"
            "cameras:\n"
            "  - name: double\n"
            "    source: 'sim:?lanes=2&rate=200&seed=3'\n"
            "    lanes:\n"
            "      - {name: left, region: [0, 0, 256, 256], cutting_line_deg: 90}\n"
            "      - {name: right, region: [256, 0, 256, 256], mm_per_px: 0.3}\n"
            "  - {name: single, source: 'sim:?rate=80&seed=4'}\n"
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            for camera in ("left", "right", "single"):
                agent.wait(lambda camera=camera: seen.all(f"{BASE}/fruit/{camera}"), 60, camera)
            assert agent.stop()[0] == 0, agent.log
    assert set(agent.final_books()) == {"left", "right", "single"}
    assert_the_books_balance(agent)


def test_the_machine_state_by_http_rides_along_into_the_readings(tmp_path: Path) -> None:
    arguments = ("--source", "sim:?seed=1", "--broker", "none", *unexplained(tmp_path))
    with forked_agent(tmp_path, *arguments) as agent:
        agent.wait_ready()
        machine = {"state": "stopped", "lot": "L7", "variety": "golden"}
        assert agent.post("/machine", json.dumps(machine).encode()) in (200, 204)
        assert agent.status()["machine"]["lot"] == "L7"
        assert agent.post("/machine", b'{"state": "dancing"}') == 400
        assert agent.total("pitwatch_machine_messages_total", outcome="invalid") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_soon(tmp_path: Path, number: int) -> None:
    with forked_agent(tmp_path, *demonstration(tmp_path)) as agent:
        agent.wait_ready()
        family = agent.children()
        code, seconds = agent.stop(number)
    assert code == 0
    assert seconds < 15, "5 s where nothing else loads the machine"
    assert not psutil.wait_procs(family, timeout=0)[1]
    assert_the_books_balance(agent, dropped=2)  # what waited for the first, which takes longest


@pytest.mark.long
def test_a_terminal_that_closes_ends_it_in_order(tmp_path: Path) -> None:
    """The live view loses its terminal in the middle of a picture; the log is in a file."""
    ours, its = os.openpty()
    port, log = free_port(), tmp_path / "agent.log"
    arguments = [*demonstration(tmp_path), "--http", f"127.0.0.1:{port}"]

    def take_terminal() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup themselves
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)

    def ready() -> bool:
        while select.select([ours], [], [], 0.0)[0]:
            os.read(ours, 65536)
        try:
            url = f"http://127.0.0.1:{port}/readyz"
            return httpx.get(url, trust_env=False, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    with log.open("wb") as file:
        agent = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", *arguments],
            stdin=its, stdout=its, stderr=file, preexec_fn=take_terminal,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm"},
        )  # fmt: skip
    os.close(its)
    try:
        wait_until(ready, 90, "ready", every_s=0.1)
        os.close(ours)
        assert agent.wait(30) == 0
    finally:
        agent.kill()
    assert "event=stopping logger=pipeline.runner reason=signal" in log.read_text()
    assert "event=agent_stopped logger=pipeline.agent acknowledged=true" in log.read_text()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with forked_agent(tmp_path, *demonstration(tmp_path)) as agent:
        agent.wait_ready()
        family = agent.children()
        agent.process.send_signal(signal.SIGSTOP)  # so that both signals wait for it together
        agent.process.send_signal(signal.SIGTERM)
        agent.process.send_signal(signal.SIGINT)
        agent.process.send_signal(signal.SIGCONT)
        assert agent.process.wait(5) == 130
    assert not psutil.wait_procs(family, timeout=5)[1]


@pytest.mark.long
def test_killing_the_agent_leaves_no_child_no_port_and_no_shared_memory(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").iterdir())
    with running_agent(tmp_path, *demonstration(tmp_path)) as agent:
        agent.wait_ready()
        broker_port = urlsplit(agent.status()["broker_url"]).port
        family = agent.children()
        assert len(family) >= 3, "capture, worker and broker"
        agent.process.kill()
        agent.process.wait(10)
        wait_until(lambda: not any(p.is_running() for p in family), 10, "every child is gone")
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", agent.port))
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", broker_port))
    assert set(Path("/dev/shm").iterdir()) <= before
