"""What a user can misspell or lack: one clear line that names the place, and nothing is started."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agent.models.unet import UNet
from tests.support.forked import Ended, forked_commands
from tests.support.running import START_S, RunningAgent, forked_agent

EXIT_FAILED = 1
EXIT_CONFIG = 78


@dataclass(frozen=True, slots=True)
class Whatever:
    """The folder of a run, and the agent, which has ended."""

    folder: Path
    agent: RunningAgent


def pitwatch(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )


def run_with(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    config = folder / "bad.yaml"
    config.write_text(text)
    return pitwatch("run", "--plain", "--duration", "3", "--config", str(config))


def unreadable_weights(folder: Path) -> str:
    (folder / "w.safetensors").write_bytes(b"these are no weights")
    return f"model: {{path: {folder}/w.safetensors}}"


def other_architecture(folder: Path) -> str:
    save_file({"backbone.stem.weight": torch.zeros(8, 3, 3, 3)}, folder / "w.safetensors")
    return f"model: {{path: {folder}/w.safetensors}}"


def pickled_module(folder: Path) -> str:
    torch.save(UNet(init_features=4), folder / "w.pt")
    return f"model: {{path: {folder}/w.pt}}"


def program_without_trust(folder: Path) -> str:
    torch.jit.script(torch.nn.Identity()).save(str(folder / "m.ts"))
    return f"model: {{path: {folder}/m.ts, format: torchscript}}"


def program_of_another_hash(folder: Path) -> str:
    torch.jit.script(torch.nn.Identity()).save(str(folder / "m.ts"))
    return (
        f"model: {{path: {folder}/m.ts, format: torchscript, trust: program, sha256: '{'0' * 64}', "
        "classes: [background, suture, stem], layer: '', head: logits, "
        "preprocessing: {width_px: 32, height_px: 32, colour: rgb, scale: 1}}"
    )


def read_only_state(folder: Path) -> str:
    return "state_dir: /proc/pitwatch"  # nobody can make a folder there, not even root


CASES: dict[str, tuple[Callable[[Path], str] | str, tuple[str, ...]]] = {
    "a misspelt key": ("samplling: {period_s: 3}", ("samplling", "sampling")),
    "a wrong type": ("sampling: {period_s: soon}", ("sampling.period_s", "soon")),
    "a value out of range": ("mqtt: {keepalive_s: 1}", ("mqtt.keepalive_s",)),
    "weights that are none": (unreadable_weights, ("w.safetensors",)),
    "weights of another architecture": (other_architecture, ("w.safetensors", "encoder1")),
    "a pickled object": (pickled_module, ("w.pt",)),
    "a layer that does not exist": (
        "model: {layer: encoder4.enc4relu9}",
        ("encoder4.enc4relu9", "encoder4.enc4relu2"),
    ),
    "a program without trust": (program_without_trust, ("model", "trust")),
    "a program of another hash": (program_of_another_hash, ("m.ts", "sha256")),
    "a video that is not there": (
        "cameras: [{name: a, source: /no/such.mp4}]",
        ("cameras[0].source", "/no/such.mp4"),
    ),
    "an unknown parameter of the simulator": (
        "cameras: [{name: cam1, source: 'sim:?rte=280'}]",
        ("cameras[0].source", "rte", "rate"),
    ),
    "a lane outside of every picture": (
        "cameras: [{name: cam1, source: 'sim:', lanes: [{name: l, region: [-5, 0, 9, 9]}]}]",
        ("region",),
    ),
    "two cameras of one name": (
        "cameras: [{name: a, source: 'sim:'}, {name: a, source: 'sim:'}]",
        ("a", "taken"),
    ),
    "a state directory that cannot be written": (read_only_state, ("state_dir",)),
    "a GPU that is not there": (
        "ablation: {workers: {devices: ['cuda:31']}}",
        ("ablation.workers.devices", "cuda:31"),
    ),
    "a scheme that nobody knows": ("cameras: [{name: a, source: 'ftp://x/y'}]", ("ftp", "rtsp")),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """What ``pitwatch run`` says to each of ``CASES``."""
    files = {}
    for name, (make, _) in CASES.items():
        folder = tmp_path_factory.mktemp("bad")
        text = make if isinstance(make, str) else make(folder)
        if "mqtt:" not in text:
            text += "\nmqtt: {broker: none}"
        files[name] = folder / "bad.yaml"
        files[name].write_text(text + "\nhttp: {port: 0}\n")
    commands = [
        ("run", "--plain", "--duration", "3", "--config", str(file)) for file in files.values()
    ]
    ended = forked_commands(tmp_path_factory.mktemp("said"), commands)
    return dict(zip(files, ended, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_bad_configuration_is_refused_with_its_place(refusals: dict[str, Ended], name: str) -> None:
    answer = refusals[name]
    assert answer.returncode == EXIT_CONFIG, answer.stderr
    for word in CASES[name][1]:
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "agent_started" not in answer.stderr


def test_a_missing_broker_is_an_error_with_a_configuration_file(tmp_path: Path) -> None:
    answer = run_with(tmp_path, "sampling: {period_s: 3}\n")
    assert answer.returncode == EXIT_CONFIG
    assert "mqtt.broker" in answer.stderr


def test_a_port_in_use_is_named_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "broker.yaml").write_text(
            f"mqtt: {{broker: embedded, embedded_port: {port}}}\nhttp: {{port: 0}}\n"
        )
        answers = forked_commands(
            tmp_path,
            [
                ("run", "--plain", "--broker", "none", "--http", f"127.0.0.1:{port}"),
                ("run", "--plain", "--config", str(tmp_path / "broker.yaml")),
            ],
        )
    for answer, key in zip(answers, ("http.port", "mqtt.embedded_port"), strict=True):
        assert answer.returncode == EXIT_FAILED
        last = answer.stderr.splitlines()[-1]
        assert last.startswith(f"pitwatch: {key}: 127.0.0.1:{port}")
        assert "Traceback" not in answer.stderr
        assert "event=model_loaded" not in answer.stderr


PICTURES = {
    "gray": np.full((200, 220), 120, np.uint8),
    "tall": np.full((900, 300, 3), 120, np.uint8),
    "deep": np.full((256, 256, 3), 30_000, np.uint16),
}


@pytest.fixture(scope="module")
def whatever_comes(tmp_path_factory: pytest.TempPathFactory) -> Whatever:
    """One run with a broker that refuses, and cameras each of which but one is a trouble."""
    folder = tmp_path_factory.mktemp("whatever")
    cameras = [
        "{name: healthy, source: 'sim:?rate=60'}",
        "{name: absent, source: 'v4l2:///dev/video97'}",
    ]
    for name, picture in PICTURES.items():
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "a.png"), picture)
        cameras.append(f"{{name: {name}, source: 'file://{folder}/{name}?loop=0'}}")
    (folder / "empty").mkdir()
    cameras += [f"{{name: {name}, source: {folder}/{name}}}" for name in ("empty", "away")]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        (folder / "bad.yaml").write_text(
            f"cameras: [{', '.join(cameras)}]\n"
            f"mqtt: {{broker: 'mqtt://127.0.0.1:{closed.getsockname()[1]}'}}\n"
            "ablation: {workers: {count: 0}}\n"
        )
        with forked_agent(folder, "--config", str(folder / "bad.yaml")) as agent:
            for name in PICTURES:
                agent.wait(lambda name=name: agent.books(name).segmented, START_S, f"{name} read")
            for name in ("absent", "empty", "away"):
                agent.wait(lambda name=name: f"camera={name} state=backoff" in agent.log, 30, name)
            agent.wait(lambda: agent.events("broker_connect_failed"), 30, "a refusal")
            agent.wait(lambda: agent.books("healthy").segmented > 3, 30, "fruit that go on")
            assert agent.stop()[0] == 0
    return Whatever(folder, agent)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_another_size_or_channel_count_are_read(
    whatever_comes: Whatever, name: str
) -> None:
    books = whatever_comes.agent.final_books()[name]
    assert (books["captured"], books["segmented"], books["dropped"]) == (1, 1, 0)


def test_a_broker_that_refuses_is_retried_while_fruit_go_on(whatever_comes: Whatever) -> None:
    assert whatever_comes.agent.events("broker_connect_failed")
    books = whatever_comes.agent.final_books()["healthy"]
    assert books["segmented"] > 3
    assert books["captured"] == books["segmented"] + books["dropped"]


def test_a_camera_that_is_absent_is_retried_and_named(whatever_comes: Whatever) -> None:
    assert "camera=absent state=backoff" in whatever_comes.agent.log
    assert "camera=healthy state=live" in whatever_comes.agent.log


def test_a_folder_that_is_away_or_empty_is_waited_for_as_any_camera(
    whatever_comes: Whatever,
) -> None:
    folder = whatever_comes.folder
    for name in ("empty", "away"):
        assert f"camera={name} state=backoff" in whatever_comes.agent.log
        assert re.search(
            rf"warning: cameras\[\d\]\.source is waited for: {folder}/{name}",
            whatever_comes.agent.log,
        )
    checked = pitwatch("check-config", str(folder / "bad.yaml"))
    assert (checked.returncode, "no errors" in checked.stdout) == (0, True)
    assert f"waited for: {folder}/away: No such file" in checked.stderr


@pytest.mark.long
def test_a_camera_that_failed_for_good_is_an_exit_code_and_a_last_line(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    answer = run_with(
        tmp_path,
        f"cameras: [{{name: good, source: '{tmp_path}?loop=0'}}, {{name: bad, "
        f"source: '{tmp_path}', "
        "lanes: [{name: l, region: [0, 0, 80, 80]}]}]\n"
        "mqtt: {broker: none}\nhttp: {port: 0}\nablation: {workers: {count: 0}}\n",
    )
    assert answer.returncode == EXIT_FAILED, answer.stderr
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("pitwatch: camera bad failed: region: lane 'l'")
    assert "reason=sources_ended" in answer.stderr
