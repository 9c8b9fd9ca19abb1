"""What is done to a running agent, its broker, its disk and its files, and how each is ended."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
import psutil

from agent.supervision.control import client
from agent.supervision.control.protocol import ControlError
from tests.soak.year.real.plant import Plant, _does

# --- signals --------------------------------------------------------------------------------------


def child(kind: str, number: int) -> Any:
    def begin(plant: Plant) -> None:
        for child in plant.agent.children(kind)[:1]:
            child.send_signal(number)

    return begin


def thaw(kind: str) -> Any:
    def end(plant: Plant) -> None:
        for child in plant.agent.children(kind):
            with suppress(psutil.Error):
                child.send_signal(signal.SIGCONT)

    return end


def stop_agent(plant: Plant) -> None:
    plant.agent.process.send_signal(signal.SIGSTOP)


def go_on(plant: Plant) -> None:
    plant.agent.process.send_signal(signal.SIGCONT)


def kill_agent(plant: Plant) -> None:
    """With everything that it has; the next one starts at once."""
    plant.look_at_log()
    plant.agent.process.kill()
    plant.agent.process.wait()
    plant.agent.log_path.unlink()
    plant.start()


def restart(plant: Plant) -> None:
    plant.restart()


# --- broker ---------------------------------------------------------------------------------------


def kill_broker(plant: Plant) -> None:
    plant.broker.kill()


def start_broker(plant: Plant) -> None:
    plant.broker.start()


# --- machine and commands -------------------------------------------------------------------------


def stamp() -> int:
    return int(time.time() * 1000)


def invalid_words(plant: Plant) -> None:
    half = json.dumps({"timestamp_ms": stamp(), "state": "unknown", "variety": 5}).encode()
    plant.publish(("machine", b"{", False), ("machine", b"", False), ("machine", half, False))
    plant.agent.post("/machine", json.dumps({"state": "unknown", "variety": 5}).encode())


def flood_of_words(plant: Plant) -> None:
    word = json.dumps({"timestamp_ms": stamp(), "state": "running"}).encode()
    plant.publish(*[("machine", word, False)] * 1500)


def stands(plant: Plant) -> None:
    plant.machine(state="stopped")


def runs(plant: Plant) -> None:
    plant.machine(state="unknown")


def command(name: str, **fields: object) -> tuple[str, bytes, bool]:
    known = {"command_id": f"c{time.monotonic_ns()}", "issued_ms": stamp(), "user": "year"}
    return f"cmd/{name}", json.dumps({**known, **fields}).encode(), False


def retained_command(plant: Plant) -> None:
    topic, payload, _ = command("explain", camera="cam1")
    plant.publish((topic, payload, True))
    plant.broker.kill()  # it comes with the next connection
    plant.broker.start()
    plant.publish((topic, payload, True))
    plant.broker.freeze()
    time.sleep(8.0)
    plant.broker.thaw()


def take_command_away(plant: Plant) -> None:
    plant.publish(("cmd/explain", b"", True))


def flood_of_commands(plant: Plant) -> None:
    plant.publish(*[command("explain", camera="cam1") for _ in range(60)])


def commands_that_may_not_be(plant: Plant) -> None:
    plant.publish(
        command("disable", alarm_id="camera_lost-cam1"),
        command("explain", camera="?"),
        command("explain", camera="cam1", issued_ms=stamp() - 600_000),
    )


# --- disk, clock, files ---------------------------------------------------------------------------


def fill(plant: Plant) -> None:
    fill = plant.disk / "fill"
    for size in (1 << 16, 512):
        with suppress(OSError), fill.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(size))
    write_something(plant)


def empty(plant: Plant) -> None:
    (plant.disk / "fill").unlink()


def write_something(plant: Plant) -> None:
    """A variety is kept at once."""
    plant.machine(state="unknown", variety=f"v{time.monotonic_ns()}")


def freeze(plant: Plant) -> None:
    _does("fsfreeze", "-f", plant.disk)
    write_something(plant)


def unfreeze(plant: Plant) -> None:
    _does("fsfreeze", "-u", plant.disk)


def replace_folder(plant: Plant) -> None:
    plant.state.rename(plant.disk / "gone")
    write_something(plant)


def forget_folder(plant: Plant) -> None:
    for file in (plant.disk / "gone").rglob("*"):
        if not file.is_dir():
            file.unlink()
    for folder in sorted((plant.disk / "gone").rglob("*"), reverse=True):
        folder.rmdir()
    (plant.disk / "gone").rmdir()


def away(plant: Plant) -> None:
    plant.pictures.rename(plant.folder / "away")


def here(plant: Plant) -> None:
    (plant.folder / "away").rename(plant.pictures)


def damaged_picture(plant: Plant) -> None:
    whole = (plant.pictures / "0.png").read_bytes()
    _exchange(plant, whole[: len(whole) // 2])


def other_size(plant: Plant) -> None:
    _exchange(plant, cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes())


def whole_picture(plant: Plant) -> None:
    _exchange(plant, (plant.pictures / "0.png").read_bytes())


def _exchange(plant: Plant, content: bytes) -> None:
    """At once: a file that is away when its turn comes is another fault."""
    part = plant.folder / "part.png"
    part.write_bytes(content)
    part.replace(plant.pictures / "4.png")


def rotate_log(plant: Plant) -> None:
    plant.log.rename(plant.log.with_suffix(".old"))


# --- configuration and control --------------------------------------------------------------------


def ask(plant: Plant, command: str, **arguments: object) -> None:
    """Ask the agent, and keep its refusal."""
    try:
        client.ask(plant.state, command, arguments, 60.0)
    except ControlError as error:
        plant.answers.append(str(error))


def reload(more: str = "", **changes: object) -> Any:
    def begin(plant: Plant) -> None:
        plant.write(more=more, **changes)
        ask(plant, "reload")

    return begin


def as_before(plant: Plant) -> None:
    plant.write()
    ask(plant, "reload")


def reload_twice(plant: Plant) -> None:
    plant.write(period_s=3.0)
    ask(plant, "reload")
    ask(plant, "reload")


def no_model(plant: Plant) -> None:
    file = plant.folder / "none.safetensors"
    file.write_bytes(b"no model")
    ask(plant, "model.stage", path=str(file))


def remove_socket(plant: Plant) -> None:
    (plant.state / "control.sock").unlink()


def misuse_socket(plant: Plant) -> None:
    ask(plant, "nonsense")


# --- page and control -----------------------------------------------------------------------------


def another_site(plant: Plant) -> None:
    """A web page of somebody else reaches the agent by a name of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", plant.agent.port, timeout=5)
    with suppress(OSError):
        connection.request("GET", "/api/v1/status", headers={"Host": "elsewhere.example"})
        connection.getresponse().read()
    connection.close()


def slow_clients(plant: Plant) -> None:
    """They begin to ask, and go away in the middle or never end."""
    clients = []
    for _ in range(30):
        with suppress(OSError):
            client = socket.create_connection(("127.0.0.1", plant.agent.port), 2)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0")
            clients.append(client)
    time.sleep(2.0)
    for one in clients:
        one.close()


def needs_a_restart(plant: Plant) -> None:
    """The file names another line than the agent was started for."""
    plant.write(more="site: {line: other}\n")
    ask(plant, "reload")
