"""What a user can misspell or lack: one clear line that names the place, and nothing is started."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agent.models.unet import UNet

EXIT_FAILED = 1
EXIT_CONFIG = 78


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
        f"model: {{path: {folder}/m.ts, format: torchscript, trust: program, sha256: '{'0' * 64}'}}"
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


@pytest.mark.parametrize("name", CASES)
def test_bad_configuration_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    make, words = CASES[name]
    text = make if isinstance(make, str) else make(tmp_path)
    if "mqtt:" not in text:
        text += "\nmqtt: {broker: none}"
    answer = run_with(tmp_path, text + "\nhttp: {port: 0}\n")
    assert answer.returncode == EXIT_CONFIG, answer.stderr
    for word in words:
        assert word in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "agent_started" not in answer.stderr


def test_a_missing_broker_is_an_error_with_a_configuration_file(tmp_path: Path) -> None:
    answer = run_with(tmp_path, "sampling: {period_s: 3}\n")
    assert answer.returncode == EXIT_CONFIG
    assert "mqtt.broker" in answer.stderr


def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = pitwatch("run", "--plain", "--broker", "none", "--http", f"127.0.0.1:{port}")
        assert (answer.returncode, str(port) in answer.stderr) == (EXIT_FAILED, True)
        answer = run_with(
            tmp_path, f"mqtt: {{broker: embedded, embedded_port: {port}}}\nhttp: {{port: 0}}\n"
        )
        assert (answer.returncode, str(port) in answer.stderr) == (EXIT_FAILED, True)
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("gray", np.full((200, 220), 120, np.uint8)),
        ("tall", np.full((900, 300, 3), 120, np.uint8)),
        ("sixteen bits", np.full((256, 256, 3), 30_000, np.uint16)),
    ],
)
def test_pictures_of_another_size_or_channel_count_are_read(
    tmp_path: Path, name: str, picture: np.ndarray
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), picture)
    answer = run_with(
        tmp_path,
        f"cameras: [{{name: cam1, source: 'file://{folder}?loop=0'}}]\n"
        "mqtt: {broker: none}\nhttp: {port: 0}\nablation: {workers: {count: 0}}\n",
    )
    assert answer.returncode == 0, answer.stderr
    assert "captured=1 segmented=1 dropped=0" in answer.stderr


def test_a_broker_that_refuses_is_retried_while_fruit_go_on(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        port = closed.getsockname()[1]
        answer = run_with(
            tmp_path,
            f"mqtt: {{broker: 'mqtt://127.0.0.1:{port}'}}\nhttp: {{port: 0}}\n"
            "ablation: {workers: {count: 0}}\n",
        )
    assert answer.returncode == 0, answer.stderr
    assert "event=broker_connect_failed" in answer.stderr
    assert "dropped=0" in answer.stderr


def test_a_camera_that_is_absent_is_retried_and_named(tmp_path: Path) -> None:
    answer = run_with(
        tmp_path,
        "cameras: [{name: cam1, source: 'v4l2:///dev/video97'}, {name: cam2, source: 'sim:'}]\n"
        "mqtt: {broker: none}\nhttp: {port: 0}\nablation: {workers: {count: 0}}\n",
    )
    assert answer.returncode == 0, answer.stderr
    assert "camera=cam1 state=backoff" in answer.stderr
    assert "camera=cam2 state=live" in answer.stderr


def test_a_folder_that_is_away_or_empty_is_waited_for_as_any_camera(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    text = (
        f"cameras: [{{name: cam1, source: {tmp_path}/empty}}, "
        f"{{name: cam2, source: {tmp_path}/no}}]\n"
        "mqtt: {broker: none}\nhttp: {port: 0}\nablation: {workers: {count: 0}}\n"
    )
    answer = run_with(tmp_path, text)
    assert answer.returncode == 0, answer.stderr
    assert "warning: cameras[0].source is waited for:" in answer.stderr
    assert "camera=cam1 state=backoff" in answer.stderr
    assert "camera=cam2 state=backoff" in answer.stderr
    checked = pitwatch("check-config", str(tmp_path / "bad.yaml"))
    assert (checked.returncode, "no errors" in checked.stdout) == (0, True)
    assert f"waited for: {tmp_path}/no: No such file" in checked.stderr


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
