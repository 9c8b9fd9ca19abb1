"""Commands that take any network: what is wrong ends in one line, whatever it is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner, Result

from agent.cli import app
from agent.models.files import sha256_of
from agent.models.unet import UNet
from agent.simulator.render import Renderer

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

LAYER = "encoder2.enc2relu2"
COMMANDS = {
    "explain": ["explain", "{folder}/fruit.png", "--json", "{folder}/n.json", "--layer", LAYER],
    "study": ["study", "sim:?size=64", "--out", "{folder}/study", "--count", "1", "--layer", LAYER],
    "evaluate": ["evaluate", "--count", "1"],
    "train": ["train", "--out", "{folder}/t.safetensors", "--effort", "0.0001"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks on disk, and a picture."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    net = UNet(init_features=4).eval().requires_grad_(False)
    net.conv.bias[1] += 5.0  # it says suture everywhere
    state = net.state_dict()
    save_file(state, folder / "good.safetensors")
    torch.save(
        {**state, "conv.bias": state["conv.bias"].to(torch.float8_e4m3fn)}, folder / "float8.pt"
    )
    torch.save({**state, "conv.bias": torch.eye(3).to_sparse()}, folder / "sparse.pt")
    (folder / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (folder / "page.onnx").write_text("<!DOCTYPE html><html>Sign in</html>")
    scripted = {"net": torch.jit.trace(net, torch.zeros(2, 3, 64, 64))}
    scripted |= {"two": torch.jit.script(Two()), "numbers": torch.jit.script(ClassNumbers())}
    for name, program in scripted.items():
        torch.jit.save(program, folder / f"{name}.ts")
    for name in scripted:
        text = written(folder / f"{name}.ts", "good" if name == "net" else name)
        (folder / f"{name}.yaml").write_text(text)
    cv2.imwrite(str(folder / "fruit.png"), Renderer(64).fruit(3).image)
    return folder


class Two(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


class ClassNumbers(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argmax(1, keepdim=True).expand(-1, 3, -1, -1)


def written(path: Path, name: str) -> str:
    """A line's configuration, whose other sections are not right on this computer."""
    return (
        f"id: {name}\ncameras: [{{name: a, source: /no/such/place.mp4}}]\n"
        f"mqtt: {{broker: 'mqtts://h', password: '${{FILE:/no/such/secret}}'}}\n"
        f"model:\n  path: {path}\n  trust: program\n  sha256: {sha256_of(path.read_bytes())}\n"
        "  classes: [background, suture, stem]\n  head: logits\n"
        "  preprocessing: {width_px: 64, height_px: 64}\n"
    )


def pitwatch(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})


def refused(result: Result, code: int, says: str) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def of(command: str, files: Path, *more: str) -> Result:
    arguments = [one.format(folder=files) for one in COMMANDS[command]]
    return pitwatch(*arguments, *(one.format(folder=files) for one in more))


def option(command: str) -> str:
    return "--start" if command == "train" else "--model"


@pytest.mark.parametrize(
    ("command", "name", "says"),
    [
        ("explain", "none.pt", "No such file"),
        ("evaluate", "sparse.pt", "conv.bias: sparse_coo float32 values"),
        ("evaluate", "pointer.pt", "a Git LFS pointer"),
        ("train", "page.onnx", "a web page, not a model"),
        ("study", "net.ts", "model.trust"),
        ("train", "fruit.png", "its suffix names no format"),
        *((command, "float8.pt", "conv.bias: float8_e4m3fn values") for command in COMMANDS),
    ],
)
def test_a_file_that_is_no_network_is_named(
    files: Path, command: str, name: str, says: str
) -> None:
    result = of(command, files, option(command), f"{{folder}}/{name}")
    refused(result, 78, says)
    assert name in result.stderr or says == "model.trust"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("name", "says"),
    [("two", "missing value for argument 'y'"), ("numbers", "its output is int64")],
)
def test_a_network_of_another_kind_is_named(
    files: Path, command: str, name: str, says: str
) -> None:
    refused(of(command, files, "--config", f"{{folder}}/{name}.yaml"), 78, says)


def test_a_program_is_explained_as_the_configuration_of_its_line_says(files: Path) -> None:
    """Cameras and secrets of a plant are not on the computer of who explains a picture."""
    result = of("explain", files, "--config", "{folder}/net.yaml")
    assert result.exit_code == 0, result.stderr
    said = json.loads((files / "n.json").read_text())
    assert said["model_sha256"] == sha256_of((files / "net.ts").read_bytes())
    assert said["layer"] == LAYER


def test_options_name_a_program_and_its_card_says_the_rest(files: Path, tmp_path: Path) -> None:
    program = tmp_path / "net.ts"
    program.write_bytes((files / "net.ts").read_bytes())
    asked = ["--model", str(program), "--trust", "program", "--sha256"]
    sha256 = sha256_of(program.read_bytes()).upper()
    result = of("evaluate", files, *asked, sha256)
    refused(result, 78, "model.classes: is missing")
    assert "net.card.json" in result.stderr
    assert "model.layer" not in result.stderr, "not needed here"
    card = {
        "name": "net",
        "classes": ["background", "suture", "stem"],
        "head": "logits",
        "preprocessing": {"width_px": 64, "height_px": 64},
    }
    (tmp_path / "net.card.json").write_text(json.dumps(card))
    assert of("evaluate", files, *asked, sha256).exit_code == 0
    refused(of("evaluate", files, *asked, "0" * 64), 78, "but model.sha256 says 0000")


def test_a_key_that_may_be_meant_to_be_the_section_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("modle: {path: m.pt}\n")
    refused(pitwatch("evaluate", "--config", str(file)), 78, "modle")
    file.write_text("model: [\n")
    refused(pitwatch("evaluate", "--config", str(file)), 78, "a.yaml")
    refused(pitwatch("evaluate", "--config", str(tmp_path / "none.yaml")), 78, "No such file")


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ("evaluate --device gpu", 2, "'gpu' is none of auto, cpu, cuda"),
        ("evaluate --device cuda:99", 78, "this machine offers"),
        ("evaluate --seed -1", 2, "--seed"),
        ("evaluate --seed 99999999999999999999", 2, "--seed"),
        ("evaluate --count -5", 2, "--count"),
        ("evaluate --count 0", 2, "--count"),
        ("evaluate --faint 1.5", 2, "--faint"),
        ("evaluate --faint nan", 2, "--faint"),
        ("evaluate --folder /no/such/folder", 1, "no such folder"),
        ("evaluate --trust maybe", 78, "--trust"),
        ("evaluate --sha256 abc", 78, "--sha256"),
        ("evaluate --factory make", 78, "--factory"),
        ("evaluate --factory no_such_module:make --trust program --sha256 " + "0" * 64, 78,
         "no Python source of the module 'no_such_module'"),
        ("train --out t.pt --device gpu", 2, "--device"),
        ("train --out t.safetensors --device cuda:99", 78, "this machine offers"),
        ("train --out t.safetensors --seed -1", 2, "--seed"),
        ("train --out t.safetensors --features 0", 2, "--features"),
        ("train --out t.safetensors --features 100000", 2, "--features"),
        ("train --out t.safetensors --cases 0", 2, "--cases"),
        ("train --out t.safetensors --effort 0", 1, "effort 0 is outside"),
        ("train --out t.safetensors --effort nan", 1, "effort nan is outside"),
        ("train --out t.safetensors --folder-share 2", 2, "--folder-share"),
        ("train --out t.safetensors --name ''", 2, "--name"),
        ("train --out t.safetensors --folder /no/such/folder", 1, "no such folder"),
        ("train --out t.safetensors --sha256 abc", 2, "--trust"),
        ("study sim: --out s --count 0", 2, "--count"),
        ("study sim: --out s --seed -1", 2, "--seed"),
        ("study sim: --out s --examples -1", 2, "--examples"),
        ("explain p.png --patch 1.5", 2, "--patch"),
        ("explain p.png --bit-depth 9", 2, "--bit-depth"),
        ("explain p.png --config none.yaml", 78, "none.yaml"),
    ],
)  # fmt: skip
def test_a_wrong_value_ends_in_one_line(
    given: str, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(pitwatch(*(one.strip("'") for one in given.split())), code, says)
    assert not list(tmp_path.iterdir())


def test_run_takes_a_program_by_its_options(files: Path) -> None:
    """Up to the point where the configuration is known to be right."""
    asked = ["run", "--model", str(files / "net.ts"), "--trust", "program", "--sha256", "0" * 64]
    result = pitwatch(*asked)
    refused(result, 78, "model.classes: is missing")
    assert "model.trust" not in result.stderr
