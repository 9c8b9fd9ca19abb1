"""Kubernetes files: objects that the cluster knows, and whose references lead somewhere."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agent.cli.health import health
from agent.config.problems import ConfigErrors
from agent.preflight import load_config

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
MANIFESTS = list(yaml.safe_load_all((KUBERNETES / "pitwatch.yaml").read_text()))
SECRET = yaml.safe_load((KUBERNETES / "secret.yaml").read_text())
KUBERNETES_VERSION = "1.31"
COMMAND = ["run", "--plain", "--config", "/etc/pitwatch/pitwatch.yaml"]


def manifest(kind: str) -> dict[str, Any]:
    (found,) = (each for each in MANIFESTS if each["kind"] == kind)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("each", [*MANIFESTS, SECRET], ids=lambda each: each["kind"])
def test_each_object_is_one_that_kubernetes_knows(each: dict[str, Any]) -> None:
    kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(manifest("Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES_VERSION, strict=True)


def test_the_pod_is_locked_down_and_probed() -> None:
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == COMMAND
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    program = ["/opt/pitwatch/bin/pitwatch", "health"]
    for probe, words in (
        ("startupProbe", program),
        ("livenessProbe", program),
        ("readinessProbe", [*program, "--ready"]),
    ):
        command = container[probe]["exec"]["command"]
        assert command == [*words, *COMMAND[-2:]]
        limit_s = float(signature(health).parameters["timeout"].default)
        assert container[probe]["timeoutSeconds"] > limit_s, "it says why before it is ended"
    assert container["resources"]["limits"]["memory"]
    assert manifest("Deployment")["spec"]["strategy"]["type"] == "Recreate"
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_gpu_variant_is_still_a_deployment() -> None:
    patch = yaml.safe_load((KUBERNETES / "gpu.yaml").read_text())
    whole = yaml.safe_load(yaml.safe_dump(manifest("Deployment")))
    (container,) = whole["spec"]["template"]["spec"]["containers"]
    (more,) = patch["spec"]["template"]["spec"]["containers"]
    assert more["name"] == container["name"]
    container["image"] = more["image"]
    container["resources"]["limits"].update(more["resources"]["limits"])
    kubernetes_validate.validate(whole, KUBERNETES_VERSION, strict=True)


def test_the_configuration_in_the_config_map_loads(tmp_path: Path) -> None:
    text = manifest("ConfigMap")["data"]["pitwatch.yaml"]
    for name in ("mqtt_password", "http_token", "ca.pem"):
        (tmp_path / name).write_text("a secret of the plant\n")
    text = text.replace("/etc/pitwatch-secrets", str(tmp_path))
    file = tmp_path / "pitwatch.yaml"
    file.write_text(text.replace("/var/lib/pitwatch", str(tmp_path)))
    config = load_config(file, environment={}).config
    assert config.http.token is not None
    assert config.mqtt.tls.ca is not None


def unresolved(manifests: list[dict[str, Any]], secret: dict[str, Any]) -> list[str]:
    """Every name and path that leads nowhere."""
    by_kind = {each["kind"]: each for each in [*manifests, secret]}
    names = {kind: each["metadata"]["name"] for kind, each in by_kind.items()}
    template = by_kind["Deployment"]["spec"]["template"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    (container,) = template["spec"]["containers"]
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    text = by_kind["ConfigMap"]["data"]["pitwatch.yaml"]
    read = re.findall(rf"{mounts['secrets']}/([\w.]+)", text)
    wanted = {
        "config map": volumes["config"]["configMap"]["name"] == names["ConfigMap"],
        "secret": volumes["secrets"]["secret"]["secretName"] == names["Secret"],
        "claim": volumes["state"]["persistentVolumeClaim"]["claimName"]
        == names["PersistentVolumeClaim"],
        "configuration": container["args"][-1]
        in {f"{mounts['config']}/{key}" for key in by_kind["ConfigMap"]["data"]},
        "keys of the secret": len(read) == 3 and set(read) == set(secret["stringData"]),
        "labels of the pod": by_kind["Deployment"]["spec"]["selector"]["matchLabels"].items()
        <= template["metadata"]["labels"].items(),
        "service": by_kind["Service"]["spec"]["selector"].items()
        <= template["metadata"]["labels"].items(),
        "port": by_kind["Service"]["spec"]["ports"][0]["targetPort"]
        in {port["name"] for port in container["ports"]},
    }
    return [what for what, met in wanted.items() if not met]


def test_every_reference_leads_somewhere() -> None:
    assert unresolved(MANIFESTS, SECRET) == []


def test_a_reference_that_leads_nowhere_is_found() -> None:
    other = {**SECRET, "metadata": {"name": "pitwatch-line2"}}
    assert unresolved(MANIFESTS, other) == ["secret"]
    fewer = {**SECRET, "stringData": {"mqtt_password": "x"}}
    assert unresolved(MANIFESTS, fewer) == ["keys of the secret"]


def test_the_documentation_names_the_secret_and_its_keys() -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    assert "(kubernetes/secret.yaml)" in page
    command = re.search(r"^kubectl create secret generic (\S+) (.*)$", page, re.MULTILINE)
    assert command is not None
    assert command[1] == SECRET["metadata"]["name"]
    assert set(re.findall(r"--from-file=(\S+)", command[2])) == set(SECRET["stringData"])


def test_no_value_of_the_template_works(tmp_path: Path) -> None:
    assert set(SECRET["stringData"].values()) == {"REPLACE-ME"}
    for name, value in SECRET["stringData"].items():
        (tmp_path / name).write_text(value)
    text = manifest("ConfigMap")["data"]["pitwatch.yaml"]
    file = tmp_path / "pitwatch.yaml"
    file.write_text(text.replace("/etc/pitwatch-secrets", str(tmp_path)))
    with pytest.raises(ConfigErrors, match=r"http\.token"):
        load_config(file, environment={})
