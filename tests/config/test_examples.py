"""The documented files: they load, they tell the truth, and no key is missing from them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from agent.config import Camera, Config
from agent.config.load import ConfigErrors
from agent.config.schema import FILE, schema_text
from agent.config.values import each, path_text
from agent.config.words import all_paths
from agent.config.yaml import Document, read_yaml
from agent.preflight import load_config

FOLDER = Path(__file__).parents[2] / "config"
DOCUMENTED = FOLDER / "pitwatch.yaml"
_OFF = re.compile(r"^( *)#(?=\S| {2,}(?:- )?[a-z_0-9]+:| {2,}#)", re.MULTILINE)


def with_every_key() -> Document:
    """The documented file with the keys behind a bare # put to work."""
    return read_yaml(_OFF.sub(r"\1", DOCUMENTED.read_text()).encode())


def generic(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        text += "[]" if isinstance(step, int) else f".{step}" if text else step
    return text


def test_the_documented_file_is_the_default_configuration() -> None:
    result = load_config(DOCUMENTED, environment={})
    assert result.config == Config(mqtt={"broker": "embedded"})


def test_every_key_of_the_models_is_documented() -> None:
    found = {generic(path) for path in with_every_key().lines}
    assert set(all_paths()) - found == set()


def test_every_value_of_the_documented_file_is_the_default() -> None:
    defaults = Config(mqtt={"broker": "embedded"}).model_dump(mode="json")
    written = yaml.safe_load(DOCUMENTED.read_text())

    def compare(here: Any, default: Any, path: str) -> None:
        if isinstance(here, dict):
            for key, value in here.items():
                compare(value, default[key], f"{path}.{key}")
        elif isinstance(here, list) and here and isinstance(here[0], dict):
            for value, item in zip(here, default, strict=True):
                compare(value, item, path)
        elif here is not None:  # a section of which every key is off
            assert here == default, path

    compare(written, defaults, "")


def test_every_key_without_a_default_shows_a_form_that_is_allowed() -> None:
    data = with_every_key().data
    data["state_dir"] = "/tmp"
    data["mqtt"]["password"] = data["mqtt"]["tls"]["key_password"] = "x"
    data["mqtt"]["broker"] = "mqtts://broker"
    del data["model"]["factory"], data["cameras"][0]["cutting_line_deg"]
    del data["cameras"][0]["mm_per_px"], data["cameras"][0]["bit_depth"]
    told = data["cameras"][0].pop("genicam")  # beside another source than the simulated machine
    assert Camera(name="cam1", source="genicam://serial/1", genicam=told).genicam.buffers == 8
    assert Config.model_validate(data).model.layer == "encoder4.enc4relu2"


def test_every_key_is_named_once_when_all_are_wrong_at_once(tmp_path: Path) -> None:
    """A mapping is right for no value: each becomes one, and none hides another."""
    data = with_every_key().data
    del data["cameras"][0]["sim"]  # takes a mapping of anything
    data["alarms"]["reference"] = None  # takes one of paths, and is named as a whole
    wrong = each(data, lambda path, value: {"x": 1})
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(wrong))
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, environment={})
    places: list[str] = []
    each(data, lambda path, value: places.append(path_text(path)))
    named = sorted(problem.path for problem in caught.value.problems)
    assert named == sorted(places)


def test_every_key_is_preceded_by_words_about_it() -> None:
    lines = DOCUMENTED.read_text().splitlines()
    bare = []
    for i, line in enumerate(lines):
        match = re.match(r"^ *#?(?:- )?([a-z_0-9]+):", line)
        if match is None or line.lstrip().startswith("# "):
            continue
        above = i - 1
        while above >= 0 and re.match(r"^ *#?(?:  *- )? *[a-z_0-9]+:", lines[above]):
            above -= 1  # keys that share their words
        if not lines[above].lstrip().startswith("#"):
            bare.append(match[1])
    assert bare == ["alarms", "mqtt", "logging"]


ENVIRONMENT = {"OVERHEAD_URL": "rtsp://u:p@10.20.0.11/1", "PITWATCH_KEY_PASSWORD": "x"}


@pytest.mark.parametrize("name", ["lanes.yaml", "genicam.yaml", "gpu.yaml", "tls.yaml"])
def test_each_example_loads_without_an_error(name: str, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    for file in (
        "secrets/camera_url", "secrets/mqtt_password", "tls/ca.pem", "tls/client.pem",
        "tls/client.key",
    ):  # fmt: skip
        (etc / file).parent.mkdir(parents=True, exist_ok=True)
        (etc / file).write_text("rtsp://u:p@camera/1\n")
    example = tmp_path / name
    example.write_text((FOLDER / name).read_text().replace("/etc/pitwatch", str(etc)))
    result = load_config(example, environment=ENVIRONMENT | {"PITWATCH_STATE": str(tmp_path)})
    assert [w for w in result.warnings if "state_dir" not in w] == []


def test_the_lanes_of_the_example_are_three_cameras(tmp_path: Path) -> None:
    config = load_config(
        FOLDER / "lanes.yaml", environment=ENVIRONMENT | {"PITWATCH_STATE": str(tmp_path)}
    ).config
    lanes = [lane for camera in config.cameras for lane in camera.effective_lanes()]
    assert [lane.name for lane in lanes] == ["lane1", "lane2", "lane3"]
    assert all(lane.mm_per_px for lane in lanes)


def test_the_json_schema_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m agent.config.schema"


@pytest.mark.parametrize(
    "name", ["pitwatch.yaml", "lanes.yaml", "genicam.yaml", "gpu.yaml", "tls.yaml"]
)
def test_the_json_schema_accepts_every_example(name: str) -> None:
    schema = json.loads(FILE.read_text())
    Draft202012Validator.check_schema(schema)
    data = read_yaml((FOLDER / name).read_bytes()).data
    errors = list(Draft202012Validator(schema).iter_errors(data))
    assert [e.message for e in errors if e.instance is not None] == []


def test_the_json_schema_refuses_what_the_models_refuse() -> None:
    validator = Draft202012Validator(json.loads(FILE.read_text()))
    for wrong in ({"cammeras": []}, {"http": {"port": 70_000}}, {"cameras": [{"name": "a"}]}):
        assert not validator.is_valid(wrong)
