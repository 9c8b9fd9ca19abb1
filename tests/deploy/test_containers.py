"""Images and compose files: what can be known of them without a daemon."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import httpx
import pytest
import yaml

from agent.capture.sources.genicam.aravis.library import PACKAGE
from agent.cli.health import health
from agent.preflight import load_config
from tests.support import free_port, require_tool, wait_until
from tests.support.mosquitto import Mosquitto
from tests.support.running import running_agent

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
COMMAND = ["run", "--plain", "--config", "/etc/pitwatch/pitwatch.yaml"]
PROGRAM = "/opt/pitwatch/bin/pitwatch"
HEALTH = ["health", "--config", "/etc/pitwatch/pitwatch.yaml"]


# --- the images ----------------------------------------------------------------------------------


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run(
        [program, "--no-color", file], capture_output=True, text=True, timeout=60, check=False
    )


def test_hadolint_has_nothing_to_say_of_the_images(tmp_path: Path) -> None:
    done = hadolint(DOCKER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
    worse = tmp_path / "Dockerfile"
    worse.write_text(DOCKERFILE.replace("python:${PYTHON}", "python:latest"))
    assert hadolint(worse).returncode != 0


def stage(name: str) -> tuple[str, str]:
    """What a stage builds on, and its instructions."""
    found = re.search(rf"^FROM (\S+) AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
    assert found is not None, name
    return found[1], found[2].replace("\\\n", " ")


def test_both_images_run_as_nobody_special_and_start_the_agent() -> None:
    for name in ("cpu", "cuda"):
        parent, text = stage(name)
        assert parent == f"torch-{name}"
        assert text.strip().endswith("USER 10001:10001")
        assert stage(parent)[0] == "base"
    assert str(COMMAND).replace("'", '"') in stage("base")[1]
    assert f"CMD {json.dumps([PROGRAM, *HEALTH])}" in stage("base")[1]
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert len(installs) == 7
    assert [
        one for one in installs if "--require-hashes" not in one and "/wheels/" not in one
    ] == []


def test_the_images_hold_what_reads_machine_cameras() -> None:
    """Of the Debian whose package has the library's name."""
    parent, text = stage("base")
    (wanted,) = re.findall(r"package (\S+)$", PACKAGE)
    installs = re.search(r"apt-get install -y --no-install-recommends (\S+)", text)
    assert parent == "python:${PYTHON}"
    assert re.search(r"^ARG PYTHON=\S+bookworm$", DOCKERFILE, re.M)
    assert installs is not None
    assert installs[1] == wanted
    assert "rm -rf /var/lib/apt/lists" in text


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_a_change_of_the_agents_code_reaches_the_last_layer_alone(name: str) -> None:
    _, torch = stage(f"torch-{name}")
    assert re.findall(r"^COPY (.*)$", torch, re.M) == [f"--from=wheel /torch-{name}.txt ./"]
    _, text = stage(name)
    rest, agent = re.findall(r"^RUN (.*)$", text, re.M)
    assert rest.endswith(f"pip install --require-hashes -r {name}.txt")
    assert "from=wheel" in agent
    assert "--no-deps" in agent
    assert re.findall(r"^COPY (.*)$", text, re.M) == [f"--from=wheel /{name}.txt ./"]


def test_the_layers_of_dependencies_have_what_the_locks_have(tmp_path: Path) -> None:
    """The script of the image, with its folders here and without pip."""
    _, text = stage("wheel")
    command = re.search(r"^RUN (for build .*?)\s*&& pip install", text, re.M | re.S)
    assert command is not None
    script = command[1].replace(">/", f">{tmp_path}/").replace('>"/', f'>"{tmp_path}/')
    for extras in ("", "study cluster"):
        subprocess.run(
            ["sh", "-euc", script], cwd=ROOT / "deploy/offline", timeout=30, check=True,
            env={**os.environ, "EXTRAS": extras},
        )  # fmt: skip
        for build in ("cpu", "cuda"):
            names = (build, *extras.split())
            locks = [(ROOT / f"deploy/offline/locks/{name}.txt").read_text() for name in names]
            assert (tmp_path / f"{build}.txt").read_text() == "".join(locks)
            torch = (tmp_path / f"torch-{build}.txt").read_text()
            assert torch in locks[0]
            assert set(re.findall(r"^\S+?(?===)", torch, re.M)) == {"torch"}
            assert not torch.rstrip().endswith("\\"), "whole entries"
    assert (tmp_path / "setuptools.txt").read_text().startswith("setuptools==")
    done = subprocess.run(
        ["sh", "-euc", script], cwd=ROOT / "deploy/offline", capture_output=True, timeout=30,
        check=False, env={**os.environ, "EXTRAS": "nonsense"},
    )  # fmt: skip
    assert done.returncode != 0, "an extra without a lock ends the build"


def test_the_base_is_a_tag_whose_place_takes_a_digest() -> None:
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-\S+$", DOCKERFILE, re.M)
    assert "--build-arg PYTHON=3.11.11-slim-bookworm@sha256:..." in DOCKERFILE
    images = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.M)
    assert [image for image in images if ":" in image] == ["python:${PYTHON}"]


def test_only_what_the_image_is_made_of_is_sent_to_the_build() -> None:
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    taken = {line[1:] for line in ignore if line.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE))
    assert {word for line in copied for word in line.split()} == taken
    assert all((ROOT / name).exists() for name in taken)


# --- compose -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_pinned_capped_and_cannot_write_where_it_need_not(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["mem_limit"]
    assert service["logging"]["options"]["max-size"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        there = (
            (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )
        assert there, volume
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])


def test_no_secret_stands_in_a_file() -> None:
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("secrets/")
    assert "/deploy/docker/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_container_is_asked_by_the_command_that_reads_its_configuration() -> None:
    service = SERVICES["pitwatch"]
    assert service["healthcheck"]["test"] == ["CMD", PROGRAM, *HEALTH]
    mounted = [volume.split(":")[1] for volume in service["volumes"]]
    assert HEALTH[-1] in mounted
    limits = re.search(r"--timeout=(\d+)s", DOCKERFILE)
    assert limits is not None
    assert service["healthcheck"]["timeout"] == f"{limits[1]}s"
    assert asked_for_s() < int(limits[1]), "the command has its say before the daemon ends it"


def asked_for_s() -> float:
    return float(signature(health).parameters["timeout"].default)


def test_the_gpu_variant_builds_the_other_image() -> None:
    gpu = yaml.safe_load((DOCKER / "compose.gpu.yaml").read_text())["services"]["pitwatch"]
    assert gpu["build"]["target"] == "cuda"
    assert gpu["image"].endswith("-cuda")


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    require_tool("openssl", "mosquitto_passwd")
    folder = tmp_path / "secrets"
    subprocess.run([DOCKER / "secrets.sh", folder], check=True, capture_output=True, timeout=60)
    again = subprocess.run([DOCKER / "secrets.sh", folder], capture_output=True, check=False)
    assert again.returncode == 1, "it never overwrites a secret"
    return folder


@pytest.fixture
def broker(tmp_path: Path, secrets: Path) -> Iterator[Mosquitto]:
    """The broker of compose.yaml: its own configuration, with the paths of this test."""
    text = (DOCKER / "mosquitto.conf").read_text()
    port = free_port()
    for here, there in (
        ("/run/secrets", str(secrets)),
        ("/mosquitto/config/acl", str(DOCKER / "acl")),
        ("/mosquitto/data/", f"{tmp_path}/"),
        ("listener 8883", f"listener {port} 127.0.0.1"),
    ):
        assert here in text
        text = text.replace(here, there)
    there = Mosquitto(tmp_path)
    there.port = port
    there._config.write_text(text + "\nuser root\nlog_type all\n")
    try:
        there.start()
        yield there
    finally:
        there.close()


def asked(file: Path, port: int, question: str) -> int:
    """The exit code of the image's own check, by hand."""
    words = [*HEALTH[:-1], str(file), "--http", f"127.0.0.1:{port}", question]
    command = [sys.executable, "-m", "agent", *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.long
@pytest.mark.needs_mosquitto
@pytest.mark.timeout(180)
def test_the_command_of_the_image_runs_by_hand_against_the_broker_of_compose(
    tmp_path: Path, secrets: Path, broker: Mosquitto
) -> None:
    text = (DOCKER / "pitwatch.yaml").read_text()
    for here, there in (
        ("/run/secrets", str(secrets)),
        ("/var/lib/pitwatch", str(tmp_path / "state")),
        ("mosquitto:8883", f"localhost:{broker.port}"),
        ('"sim:"', '"sim:?rate=60"'),
    ):
        assert here in text
        text = text.replace(here, there)
    (tmp_path / "state").mkdir()
    file = tmp_path / "pitwatch.yaml"
    file.write_text(text)
    assert load_config(file, environment={}).config.http.page
    assert COMMAND[:3] == ["run", "--plain", "--config"]  # what running_agent starts
    with running_agent(tmp_path, "--config", str(file)) as agent:
        agent.wait(lambda: agent.get("/livez")[0] == 200, 90, "alive")
        assert agent.get("/")[0] == 401
        for question in ("--live", "--ready"):
            wait_until(lambda q=question: asked(file, agent.port, q) == 0, 60, question)
        token = (secrets / "http_token").read_text().strip()
        url = f"http://127.0.0.1:{agent.port}/api/v1/status"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert answer.status_code == 200
        wait_until(lambda: agent.total("pitwatch_broker_connected") == 1, 30, "connected")
        delivered = "pitwatch_messages_delivered_total"
        wait_until(lambda: agent.total(delivered, topic_family="status") >= 1, 30, "published")
        assert agent.total("pitwatch_publish_results_total", reason="not_authorized") == 0
        assert token not in agent.log
        assert agent.stop()[0] == 0
