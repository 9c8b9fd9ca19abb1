"""Every scrape configuration that is shipped: valid, and at work on a running agent."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.support import require_tool
from tests.support.prometheus import Prometheus, served
from tests.support.running import PROMPT_WORKERS, RunningAgent, forked_agent

DEPLOY = Path(__file__).parents[2] / "deploy"
SHIPPED = {
    str(file.relative_to(DEPLOY)): file
    for file in sorted(DEPLOY.rglob("*.y*ml"))
    if re.search("^scrape_configs:", file.read_text(), re.MULTILINE)
}
RULES = DEPLOY / "prometheus"

pytestmark = pytest.mark.needs_prometheus


def mounted(name: str, folder: Path) -> Path:
    """The configuration with its rules where it looks for them, in a folder of the test."""
    text = SHIPPED[name].read_text()
    if name.startswith("docker/"):
        # Where compose.yaml mounts configuration and rules.
        text = text.replace("/etc/prometheus/", "")
    for rules in yaml.safe_load(text)["rule_files"]:
        (folder / rules).write_text((RULES / rules).read_text())
    file = folder / "prometheus.yml"
    file.write_text(text)
    return file


def check(file: Path) -> subprocess.CompletedProcess[str]:
    require_tool("promtool")
    command = ["promtool", "check", "config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_there_is_one_beside_the_rules_and_two_for_compose() -> None:
    assert set(SHIPPED) == {
        "prometheus/prometheus.yml", "docker/prometheus.yml", "docker/prometheus.ray.yml"
    }  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_promtool_has_nothing_to_say_of_it(name: str, tmp_path: Path) -> None:
    file = mounted(name, tmp_path)
    done = check(file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == 2, "both files of rules were read"
    file.write_text(file.read_text().replace("sample_limit", "samples_limit"))
    assert check(file).returncode != 0


def test_compose_mounts_what_its_configuration_reads() -> None:
    service = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]["prometheus"]
    mounts = dict(volume.split(":")[1::-1] for volume in service["volumes"])
    config = yaml.safe_load(SHIPPED["docker/prometheus.yml"].read_text())
    for inside in ("/etc/prometheus/prometheus.yml", *config["rule_files"]):
        assert (DEPLOY / "docker" / mounts[inside]).is_file(), inside


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    folder = tmp_path_factory.mktemp("agent")
    (folder / "a.yaml").write_text("mqtt: {broker: none}\n" + PROMPT_WORKERS)
    with forked_agent(folder, "--config", str(folder / "a.yaml")) as there:
        there.wait_ready()
        yield there


@pytest.mark.long
@pytest.mark.timeout(240)
def test_they_scrape_an_agent_and_their_rules_give_values(
    agent: RunningAgent, tmp_path: Path
) -> None:
    """All at once: each takes as long as its interval says."""
    with ExitStack() as stack:
        servers = {}
        for name in SHIPPED:
            folder = tmp_path / name.removesuffix(".yml")
            folder.mkdir(parents=True)
            file = mounted(name, folder)
            text, count = re.subn(
                r"(127\.0\.0\.1|pitwatch):9464", f"127.0.0.1:{agent.port}", file.read_text()
            )
            assert count == 1
            nobody = re.sub(r"(pitwatch|ray)-[\w-]+:\d+", "127.0.0.1:9", text)
            file.write_text(nobody)
            servers[name] = stack.enter_context(served(file, folder))
        for name, there in servers.items():
            (up,) = there.wait_for('up{job="pitwatch"} == 1', 60)
            assert up["metric"]["instance"] == f"127.0.0.1:{agent.port}", name
            give_values(there)


def give_values(there: Prometheus) -> None:
    rules = yaml.safe_load((RULES / "rules.yml").read_text())["groups"]
    for record in (rule["record"] for group in rules for rule in group["rules"]):
        for sample in there.wait_for(record, 90):
            assert sample["metric"]["camera"] == "cam1"
            assert math.isfinite(float(sample["value"][1])), record
    loaded = [rule for group in there.get("rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in loaded if rule["health"] == "err"] == []
    assert any(rule["type"] == "alerting" for rule in loaded)
