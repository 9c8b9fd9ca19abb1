"""The recipe for a network of one's own, as the page has it, in the installed command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.models.files import sha256_of
from agent.simulator.render import Renderer

PAGE = (Path(__file__).parents[2] / "agent/models/README.md").read_text(encoding="utf-8")
FOLDER = "/opt/pitwatch/networks"


def blocks(language: str) -> list[str]:
    recipe = PAGE.partition("## A network from its Python source")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", recipe, re.M | re.S)


@pytest.fixture
def recipe(tmp_path: Path) -> tuple[Path, str]:
    """The folder with the module, the configuration and a picture; the sha256 of the module."""
    (tmp_path / "networks").mkdir()
    module = tmp_path / "networks" / "peach_net.py"
    (source,) = blocks("python")
    module.write_text(source)
    sha256 = sha256_of(module.read_bytes())
    (settings,) = blocks("yaml")
    assert settings.count("SHA256 ") == 1
    (tmp_path / "peach.yaml").write_text(settings.replace("SHA256 ", f"{sha256} "))
    cv2.imwrite(str(tmp_path / "fruit.png"), Renderer(64).fruit(3).image)
    return tmp_path, sha256


@pytest.mark.long
def test_the_recipe_works_word_for_word(recipe: tuple[Path, str]) -> None:
    folder, sha256 = recipe
    script = "".join(blocks("sh")).replace(FOLDER, f"{folder}/networks")
    assert script.count(f"{folder}/networks") == 2
    command = Path(sys.executable).parent / "pitwatch"
    script = script.replace(".venv/bin/pitwatch", str(command))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    said = json.loads((folder / "fruit.json").read_text()) if done.returncode == 0 else {}
    assert said.get("layer") == "body.1", done.stdout + done.stderr
    assert said["model_sha256"] == sha256
    assert sha256 in done.stdout
    assert "peach.yaml: no errors" in done.stdout


@pytest.mark.parametrize("key", ["classes", "head", "preprocessing", "layer", "sha256"])
def test_an_incomplete_one_is_called_so(
    recipe: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    folder, _ = recipe
    monkeypatch.syspath_prepend(folder / "networks")
    text = (folder / "peach.yaml").read_text()
    shorter, count = re.subn(rf"^  {key}: .*\n", "", text, flags=re.M)
    assert count == 1
    (folder / "peach.yaml").write_text(shorter)
    result = CliRunner().invoke(app, ["check-config", str(folder / "peach.yaml")])
    assert result.exit_code == 78
    assert f"model.{key}: is missing" in result.stderr
    assert "1 error" in result.stderr
    assert "peach_net" not in sys.modules


def test_a_source_that_is_not_importable_or_another_is_named(
    recipe: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sha256 = recipe
    asked = ["check-config", str(folder / "peach.yaml")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 78
    assert "no Python source of the module 'peach_net' is importable" in result.stderr
    assert "PYTHONPATH" in result.stderr
    monkeypatch.syspath_prepend(folder / "networks")
    assert CliRunner().invoke(app, asked).exit_code == 0
    with (folder / "networks" / "peach_net.py").open("a") as module:
        module.write("# changed\n")
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 78
    assert f"model.sha256 says {sha256}" in result.stderr
