"""Relative paths of a configuration start at its folder, whatever the working directory is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config import Config
from agent.config.load import ConfigErrors, Overrides
from agent.config.load import load_config as load
from agent.config.paths import source_from
from agent.config.values import get, put
from agent.config.words import all_paths, at
from agent.preflight import load_config

REFERENCE = ("alarms", "reference", "golden")
BESIDE: dict[str, object] = {  # what a path key asks for at its side
    "mqtt.broker": "mqtts://broker",
    "cameras": [{"name": "cam1", "source": "sim:"}],
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is not the configuration's folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def written(folder: Path, values: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "line.yaml"
    data: dict[str, object] = {}
    for key, value in values.items():
        put(data, tuple(key.split(".")), value)
    file.write_text(json.dumps(data))  # which is YAML
    return file


def keys_of_paths() -> list[tuple[str, ...]]:
    """Every key that the models call a path, and one of the mapping of references."""
    named = [tuple(key.split(".")) for key in all_paths() if "[" not in key]
    return [*(key for key in named if at(key).get("format") == "path"), REFERENCE]


def test_every_path_begins_at_the_configuration_files_folder(
    tmp_path: Path, elsewhere: Path
) -> None:
    keys = keys_of_paths()
    assert {("model", "path"), ("state_dir",), ("mqtt", "tls", "ca"), REFERENCE} <= set(keys)
    plant = tmp_path / "plant"
    file = written(plant, {**BESIDE, **{".".join(key): f"of/{key[-1]}" for key in keys}})
    for given in (file, Path("../plant/line.yaml")):  # named from the root, and from here
        config = load(given).config
        for key in keys:
            found = config.alarms.reference["golden"] if key == REFERENCE else _value(config, key)
            assert found.resolve() == plant / "of" / key[-1], key
            assert found.is_absolute()
    absolute = {**BESIDE, **{".".join(key): f"/of/{key[-1]}" for key in keys}}
    config = load(written(plant, absolute)).config
    assert all(_value(config, key) == Path("/of") / key[-1] for key in keys[:-1])


def _value(config: Config, key: tuple[str, ...]) -> Path:
    found: object = config
    for step in key:
        found = getattr(found, step)
    assert isinstance(found, Path)
    return found


@pytest.mark.parametrize(
    ("source", "begins"),
    [
        ("pictures", "/plant/pictures"),
        ("pictures?watch=1&after=move", "/plant/pictures?watch=1&after=move"),
        ("film.mp4", "/plant/film.mp4"),
        ("file:pictures?loop=0", "file:/plant/pictures?loop=0"),
        ("sim:?rate=5&log=a%20b.jsonl&seed=2", "sim:?rate=5&log=/plant/a%20b.jsonl&seed=2"),
        *(
            (same, same)
            for same in (
                "/data/pictures?loop=0", "file:///data/pictures", "file:/data", "sim:",
                "sim:?log=/var/truth.jsonl", "v4l2:///dev/video0", "rtsp://camera/1", "what://x",
                "sim:?dialog=x",
            )
        ),
    ],
)  # fmt: skip
def test_a_source_that_is_a_file_begins_there_too(source: str, begins: str) -> None:
    assert source_from(Path("/plant"), source) == begins


def test_what_lies_beside_the_file_is_found_and_what_lies_here_is_not(
    tmp_path: Path, elsewhere: Path
) -> None:
    """By the whole check that a start makes: model, pictures, truth log, secret, reference."""
    plant = tmp_path / "plant"
    (plant / "pictures").mkdir(parents=True)
    values = {
        "cameras": [
            {"name": "a", "source": "pictures?watch=1"},
            {"name": "b", "source": "sim:", "sim": {"log": "logs/truth.jsonl"}},
        ],
        "state_dir": "state",
        "mqtt.broker": "none",
        "model.path": "peach.safetensors",
        "http.token": "${FILE:token}",
    }
    file = written(plant, values)
    (elsewhere / "peach.safetensors").touch()
    (elsewhere / "logs").mkdir()
    (plant / "token").write_text("0123456789abcdef")
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, environment={})
    assert [problem.path for problem in caught.value.problems] == ["cameras[1].sim", "model.path"]
    assert "plant/peach.safetensors" in str(caught.value)
    (plant / "peach.safetensors").touch()
    (plant / "logs").mkdir()
    config = load_config(file, environment={}).config
    assert config.cameras[0].source == f"{plant}/pictures?watch=1"
    assert get(config.cameras[1].sim, ("log",)) == f"{plant}/logs/truth.jsonl"


def test_an_option_of_the_command_line_begins_at_the_working_directory(
    tmp_path: Path, elsewhere: Path
) -> None:
    file = written(tmp_path / "plant", BESIDE)
    (elsewhere / "peach.safetensors").touch()
    (elsewhere / "pictures").mkdir()
    overrides = Overrides(sources=("pictures",), model=Path("peach.safetensors"))
    config = load_config(file, overrides, {}).config
    assert config.model.path == Path("peach.safetensors")
    assert config.cameras[0].source == "pictures"
