"""A Ray cluster by compose and by KubeRay: what can be known of the files without either."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agent.preflight import load_config
from tests.deploy.test_kubernetes import KUBERNETES_VERSION, manifest

ROOT = Path(__file__).parents[2]
DOCKER, KUBERNETES = ROOT / "deploy" / "docker", ROOT / "deploy" / "kubernetes"
BASE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
CLUSTER = yaml.safe_load((DOCKER / "compose.ray.yaml").read_text())
SERVICES = CLUSTER["services"]
RAY = yaml.safe_load((KUBERNETES / "ray.yaml").read_text())
AGENT = yaml.safe_load((KUBERNETES / "ray-agent.yaml").read_text())["spec"]["template"]["spec"]
HEAD = RAY["spec"]["headGroupSpec"]
(WORKERS,) = RAY["spec"]["workerGroupSpecs"]
AGENTS = ("pitwatch", "pitwatch-2", "pitwatch-3")
MEMBERS = ("ray-member-1", "ray-member-2", "ray-member-3")
SHM_LEAST_B = 78 * 1024 * 1024
"""Ray refuses an object store below 75 MB."""


def start_of(service: dict[str, Any]) -> dict[str, str]:
    """The options of a ``ray start``, those without a value empty."""
    words = [*service["entrypoint"], *service["command"]]
    assert words[:2] == ["ray", "start"]
    options = [word for word in words if word.startswith("--")]
    values = {one: other for one, other in pairwise(words) if not other.startswith("--")}
    return {option.removeprefix("--"): values.get(option, "") for option in options}


def starts() -> dict[str, dict[str, str]]:
    found = {
        name: start_of(service) for name, service in SERVICES.items() if "entrypoint" in service
    }
    for name, group in (("head", HEAD), ("workers", WORKERS)):
        found[f"kubernetes {name}"] = group["rayStartParams"]
    member = next(one for one in AGENT["containers"] if one["name"] == "ray-member")
    found["kubernetes member"] = start_of(
        {"entrypoint": member["command"], "command": member["args"]}
    )
    return found


def size_b(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi|m|g)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"m": 2**20, "g": 2**30}[unit[0].lower()]


def test_a_head_two_gpus_and_three_agents_each_a_member() -> None:
    found = starts()
    assert {name for name in SERVICES if name.startswith("ray-worker")} == {
        "ray-worker-1", "ray-worker-2"
    }  # fmt: skip
    for name in ("ray-worker-1", "ray-worker-2"):
        assert found[name]["num-gpus"] == "1"
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [str(int(name[-1]) - 1)]
    assert found["ray-head"]["num-cpus"] == "0"
    assert found["ray-head"]["port"] == "6379"
    for agent, member in zip(AGENTS, MEMBERS, strict=True):
        for shared in ("network_mode", "ipc", "pid"):
            assert SERVICES[member][shared] == f"service:{agent}"
        assert SERVICES[agent]["ipc"] == "shareable"
        (tmp,) = SERVICES[member]["volumes"]
        assert tmp in SERVICES[agent]["volumes"]
        assert (found[member]["num-cpus"], found[member]["num-gpus"]) == ("0", "0")
    assert WORKERS["replicas"] == 2
    assert WORKERS["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]


def test_the_object_store_has_its_place_and_every_process_the_token() -> None:
    for name, options in starts().items():
        assert int(options["object-store-memory"]) >= SHM_LEAST_B, name
    for name, service in SERVICES.items():
        if name.startswith("ray-"):
            assert service["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
            assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
            owner = SERVICES[service["ipc"].partition(":")[2]] if "ipc" in service else service
            assert size_b(owner["shm_size"]) > int(starts()[name]["object-store-memory"])
        if name != "prometheus":
            assert "ray_token" in service["secrets"]
            assert service["mem_limit"]
            assert service["cap_drop"] == ["ALL"]
    assert set(CLUSTER["secrets"]) == {"ray_token"}
    assert "ray_token" in (DOCKER / "secrets.sh").read_text()


def test_compose_lays_the_agent_over_its_own_and_scrapes_every_machine() -> None:
    for name in ("pitwatch", "prometheus", "mosquitto"):
        assert name in BASE["services"]
    for agent in AGENTS:
        used = {volume.split(":")[0] for volume in SERVICES[agent]["volumes"]}
        there = {*BASE["volumes"], *CLUSTER["volumes"], "./pitwatch.ray.yaml"}
        assert used <= there
    jobs = yaml.safe_load((DOCKER / "prometheus.ray.yml").read_text())["scrape_configs"]
    (agents,), (cluster,) = (job["static_configs"] for job in jobs)
    assert agents["targets"] == [f"{name}:9464" for name in AGENTS]
    port = starts()["ray-head"]["metrics-export-port"]
    assert cluster["targets"] == [
        f"{name}:{port}" for name in ("ray-head", "ray-worker-1", "ray-worker-2")
    ]
    ports = [SERVICES[name].get("ports", BASE["services"]["pitwatch"]["ports"]) for name in AGENTS]
    assert len({port[0] for port in ports}) == len(AGENTS)


def test_the_agents_file_loads_with_its_workers_in_the_cluster(tmp_path: Path) -> None:
    text = (DOCKER / "pitwatch.ray.yaml").read_text()
    for name in ("mqtt_password", "http_token", "ray_token", "ca.pem"):
        (tmp_path / name).write_text("a secret of the plant\n")
    file = tmp_path / "pitwatch.yaml"
    text = text.replace("/run/secrets", str(tmp_path)).replace("/var/lib/pitwatch", str(tmp_path))
    file.write_text(text)
    environment = SERVICES["pitwatch-2"]["environment"]
    found = load_config(file, environment=environment).config
    assert (found.id, found.site.line) == ("line2", "line2")
    assert found.ablation.workers.pool == "ray"
    ray = found.ablation.workers.ray
    assert ray.address == "ray-head:6379"
    assert ray.local_workers == 1


@pytest.mark.parametrize("group", [HEAD, WORKERS], ids=["head", "workers"])
def test_the_pods_of_the_cluster_are_what_kubernetes_knows(group: dict[str, Any]) -> None:
    template = group["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**pod["metadata"], "name": "one"}
    kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)
    spec = template["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in spec["volumes"]
    }
    (shm,) = (volume for volume in spec["volumes"] if volume["name"] == "shm")
    store = int(group["rayStartParams"]["object-store-memory"])
    assert size_b(shm["emptyDir"]["sizeLimit"]) > store
    assert (RAY["apiVersion"], RAY["kind"]) == ("ray.io/v1", "RayCluster")
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert RAY["spec"]["rayVersion"] == pinned[1]


def test_the_patched_agent_is_still_a_deployment() -> None:
    whole = yaml.safe_load(yaml.safe_dump(manifest("Deployment")))
    spec = whole["spec"]["template"]["spec"]
    more, member = AGENT["containers"]
    spec["containers"][0]["image"] = more["image"]
    spec["containers"][0]["volumeMounts"] += more["volumeMounts"]
    spec["containers"].append(member)
    others = [one for one in spec["volumes"] if one["name"] != "tmp"]
    spec["volumes"] = [*others, *AGENT["volumes"]]
    spec["shareProcessNamespace"] = AGENT["shareProcessNamespace"]
    kubernetes_validate.validate(whole, KUBERNETES_VERSION, strict=True)
    names = {volume["name"] for volume in spec["volumes"]}
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= names


def test_every_option_is_one_that_ray_start_knows() -> None:
    scripts = pytest.importorskip("ray.scripts.scripts", reason="needs the extra ray")
    known = {option for parameter in scripts.start.params for option in (*parameter.opts,)}
    for name, options in starts().items():
        assert {f"--{option}" for option in options} <= known, name
