"""Names that no topic can hold: one clear error each, at its place, before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.config.problems import ConfigErrors
from agent.preflight import load_config

BAD_LEVELS = {
    "wildcard of one level": "+",
    "wildcard of all levels": "#",
    "wildcard inside": "line#1",
    "NUL": "a\0b",
    "control character": "a\nb",
    "new line at the end": "a\n",
    "empty": "",
    "leading slash": "/a",
    "two levels": "a/b",
    "broker's own": "$SYS",
    "blank": "a b",
    "dot, which no tag may hold": "a.b",
    "not ASCII": "käse",
    "half of a surrogate pair": "\ud800",
    "too long": "x" * 41,
}
LEVELS = (
    "site.root", "site.enterprise", "site.site", "site.area", "site.line", "site.machine", "id",
    "cameras[0].name", "cameras[0].lanes[0].name",
)  # fmt: skip
BAD_HOSTS = ("+", "#", "a\0b", "a\n", "", "/a", "a/b", "$SYS", "a b", "x" * 81)


def configuration(path: str, name: str) -> dict[str, Any]:
    """Return a configuration whose only fault is ``name`` at ``path``."""
    camera: dict[str, Any] = {"name": "cam1", "source": "sim:"}
    whole: dict[str, Any] = {"mqtt": {"broker": "embedded"}, "cameras": [camera]}
    if path == "cameras[0].name":
        camera["name"] = name
    elif path == "cameras[0].lanes[0].name":
        camera["lanes"] = [{"name": name}]
    elif path == "mqtt.sparkplug.primary_host":
        whole["mqtt"]["sparkplug"] = {"enabled": True, "primary_host": name}
    elif path == "mqtt.client_id":
        whole["mqtt"]["client_id"] = name
    else:
        *sections, key = path.split(".")
        whole |= {sections[0]: {key: name}} if sections else {key: name}
    return whole


def only_problem(folder: Path, path: str, name: str) -> str:
    file = folder / "pitwatch.yaml"
    file.write_text(json.dumps(configuration(path, name)))
    with pytest.raises(ConfigErrors) as error:
        load_config(file, environment={})
    (problem,) = error.value.problems
    assert problem.path == path
    assert "\n" not in str(problem)
    assert "\0" not in str(problem)
    return str(problem)


@pytest.mark.parametrize(
    ("path", "name"),
    [("site.area", name) for name in BAD_LEVELS.values()] + [(path, "/+") for path in LEVELS],
    ids=ascii,
)
def test_a_level_that_no_topic_or_tag_can_hold_is_one_error_at_its_place(
    tmp_path: Path, path: str, name: str
) -> None:
    assert "1 to 40 letters, digits, _ or -" in only_problem(tmp_path, path, name)


@pytest.mark.parametrize("name", BAD_HOSTS, ids=ascii)
def test_a_primary_host_that_no_state_topic_can_hold_is_one_error(
    tmp_path: Path, name: str
) -> None:
    said = only_problem(tmp_path, "mqtt.sparkplug.primary_host", name)
    assert "without + / # $" in said


@pytest.mark.parametrize("name", ["a/b", "", "a\0", "ä", "x" * 61], ids=ascii)
def test_a_client_id_that_a_broker_may_refuse_is_one_error(tmp_path: Path, name: str) -> None:
    assert "1 to 60 letters" in only_problem(tmp_path, "mqtt.client_id", name)


def test_good_names_are_taken_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "pitwatch.yaml"
    for path in LEVELS:
        file.write_text(json.dumps(configuration(path, "A-z_9" * 8)))
        load_config(file, environment={})
    file.write_text(json.dumps(configuration("mqtt.sparkplug.primary_host", "Ignition.west-2")))
    load_config(file, environment={})


def test_check_config_names_every_place_and_ends_with_78(tmp_path: Path) -> None:
    file = tmp_path / "pitwatch.yaml"
    wrong = configuration("site.area", "+")
    wrong["site"]["line"] = "/north"
    wrong["cameras"][0]["name"] = "cam#1"
    file.write_text(json.dumps(wrong))
    result = CliRunner().invoke(app, ["check-config", str(file)])
    assert result.exit_code == 78
    for place in ("site.area", "site.line", "cameras[0].name"):
        assert result.output.count(place) == 1
