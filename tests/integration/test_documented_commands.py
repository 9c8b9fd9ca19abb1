"""Commands of the documentation, run word for word but for ports, folders and their length."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import free_port, require_tool
from tests.support.documentation import ROOT, commands
from tests.support.running import PROMPT_WORKERS, RunningAgent, forked_agent

MODULE = re.compile(r"(?:\.venv/bin/)?(python -m (?:tests|agent)\.\S+)(.*)")


def those(*programs: str) -> list[str]:
    """Documented commands that begin with one of these words, each once."""
    return list(dict.fromkeys(c for _, c in commands() if c.startswith(programs)))


def shell(command: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run one line; a part of a pipe that fails fails it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=where, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningAgent, int]]:
    """An agent with its own broker, as the first command of the README starts one."""
    folder = tmp_path_factory.mktemp("documented")
    port = free_port()
    broker = f"mqtt: {{broker: embedded, embedded_port: {port}}}\n"
    (folder / "a.yaml").write_text(broker + PROMPT_WORKERS)
    with forked_agent(folder, "--config", str(folder / "a.yaml")) as there:
        there.wait_ready()
        wanted = "pitwatch_sensitivity_ratio"
        there.wait(lambda: there.total(wanted, camera="cam1") > 0, 90, "an explanation")
        yield there, port


@pytest.mark.long
@pytest.mark.needs_mosquitto
@pytest.mark.timeout(240)
@pytest.mark.parametrize("command", those("curl", "mosquitto_sub", "mosquitto_pub"))
def test_commands_that_ask_a_running_agent(agent: tuple[RunningAgent, int], command: str) -> None:
    require_tool("curl", "mosquitto_sub", "mosquitto_pub")
    there, broker = agent
    here = command.replace("127.0.0.1:9464", f"127.0.0.1:{there.port}")
    here = here.replace("-p 18883", f"-p {broker}")
    if command.startswith("mosquitto_sub"):  # it would wait for ever
        here += " -C 2 -W 30"
    assert here != command
    if command.startswith("curl"):
        here = here.replace("curl ", "curl --fail-with-body --max-time 10 ", 1)
    done = shell(here)
    assert done.returncode == 0, done.stdout + done.stderr
    quiet = command.startswith("mosquitto_pub") or "/machine" in command
    assert bool(done.stdout) is not quiet


def test_a_wrong_command_fails(agent: tuple[RunningAgent, int]) -> None:
    there, broker = agent
    url = f"http://127.0.0.1:{there.port}"
    assert shell(f"curl --fail-with-body -s {url}/alive").returncode != 0
    assert shell(f"curl --fail-with-body -s {url}/metrics | grep pitwatch_nothing").returncode != 0
    assert shell(f"mosquitto_pub -h 127.0.0.1 -p {broker} --nonsense").returncode != 0


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("command", those("promtool"))
def test_commands_that_check_files(command: str) -> None:
    require_tool("promtool")
    done = shell(command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("command", those("prometheus"))
def test_the_command_of_prometheus(command: str, tmp_path: Path) -> None:
    require_tool("prometheus")
    mine = f"--web.listen-address=127.0.0.1:{free_port()} --storage.tsdb.path={tmp_path}/data"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command.split(), *mine.split()], cwd=ROOT, stderr=log)
    try:
        end = time.monotonic() + 60
        while "ready to receive web requests" not in (tmp_path / "log").read_text():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("command", those(".venv/bin/python -c"))
def test_a_picture_of_the_simulator(command: str, tmp_path: Path) -> None:
    """The documented ``python -c`` writes the picture that the next command explains."""
    here = command.replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, timeout=90,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fruit.png").stat().st_size > 1000


@pytest.mark.long
@pytest.mark.parametrize("command", [c for _, c in commands() if MODULE.fullmatch(c)])
def test_options_of_modules(command: str) -> None:
    """``python -m``: the module is there, and every option shown is one that ``--help`` names."""
    found = MODULE.fullmatch(command)
    assert found is not None
    done = shell(found[1].replace("python", sys.executable, 1) + " --help")
    assert done.returncode == 0, done.stderr
    assert [
        option for option in re.findall(r"--[\w-]+", found[2]) if option not in done.stdout
    ] == []


@pytest.mark.needs_mosquitto
def test_the_script_that_sets_up_a_broker(tmp_path: Path) -> None:
    """As written, with folders of its own; what asks for a password or restarts is stood in for."""
    require_tool("mosquitto_passwd", "openssl")
    text = (ROOT / "deploy/mosquitto/README.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    for before, after in (
        ("/etc/mosquitto", f"{tmp_path}/etc"),
        ("/media/safe", f"{tmp_path}/safe"),
    ):
        assert before in script
        script = script.replace(before, after)
    programs = {
        "mosquitto_passwd": f'exec {shutil.which("mosquitto_passwd")} -b "$1" "$2" "secret of $2"',
        "chown": '[ "$1 $2" = "-R mosquitto:" ]',
        "systemctl": f'echo "$@" > {tmp_path}/systemctl',
    }
    for folder in ("bin", "etc/conf.d", "safe"):
        (tmp_path / folder).mkdir(parents=True)
    for name, line in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT / "deploy/mosquitto", capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    etc = tmp_path / "etc" / "pitwatch"
    users = [line.split(":")[0] for line in (etc / "passwords").read_text().splitlines()]
    assert users == ["pitter-1", "scada", "panel", "plc"]
    assert set(users) <= set(re.findall(r"^user (\S+)$", (etc / "acl").read_text(), re.M))
    assert (etc / "clients" / "pitter-1.pem").exists()
    assert (tmp_path / "safe" / "ca.key").exists()
    assert not (etc / "ca.key").exists()
    assert (tmp_path / "etc" / "conf.d" / "pitwatch.conf").exists()
    assert (tmp_path / "systemctl").read_text() == "restart mosquitto\n"
