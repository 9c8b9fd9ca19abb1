"""``from agent.ablation import ...``: the names, a module of one's own, the README's example."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import agent.ablation
from agent.ablation import (
    Ablation,
    AblationError,
    Engine,
    Preprocessing,
    explainable,
)
from agent.simulator.render import Renderer
from tests.ablation.networks import OneByOne, picture, seeded, unet

README = Path(agent.ablation.__file__).parent / "README.md"
CLASSES = ("background", "suture", "stem")
SMALL = Preprocessing(width_px=16, height_px=16)


def test_importing_the_library_loads_no_network_library():
    code = "import sys, agent.ablation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_every_name_of_the_library_is_there_and_documented():
    for name in agent.ablation.__all__:
        assert name in dir(agent.ablation)
        found = getattr(agent.ablation, name)
        if getattr(found, "__module__", "").startswith("agent.ablation"):
            assert found.__doc__, name
            assert not found.__doc__.startswith(f"{name}("), "a dataclass without words"
    with pytest.raises(AttributeError, match="no attribute 'engines'"):
        agent.ablation.engines  # noqa: B018


def test_the_readmes_example_runs_as_it_stands(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    (example,) = re.findall(r"<!-- example -->\n```python\n(.*?)\n```", README.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)
    found = names["found"]
    assert isinstance(found, agent.ablation.EngineResult)
    assert found.of("line").explainable
    assert found.of("line").deltas.shape == (8,)
    assert found.left_out == ("insertion_deletion",)


def test_the_second_example_is_about_tensors_and_runs_as_it_stands():
    torch.set_num_threads(1)
    (example,) = re.findall(r"<!-- tensors -->\n```python\n(.*?)\n```", README.read_text(), re.S)
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)
    found = names["found"]
    assert isinstance(found, agent.ablation.Deltas)
    assert found.of("leaf").shape == (3, 2)
    assert found.of("leaf").isfinite().any()


def test_the_top_readmes_five_lines_explain_a_fruit(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    top = README.parents[2] / "README.md"
    (example,) = re.findall(r"<!-- library -->\n```python\n(.*?)\n```", top.read_text(), re.S)
    assert len([line for line in example.splitlines() if line]) <= 5
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("fruit.png", Renderer(256).fruit(3).image)
    names: dict[str, object] = {}
    exec(compile(example, str(top), "exec"), names)
    suture = names["suture"]
    assert suture.explainable
    assert suture.deltas.shape == (64,)


def test_a_module_of_ones_own_is_explained_where_it_stands():
    module = seeded(OneByOne(), 14).eval()
    model = explainable(module, CLASSES, SMALL, layer="relu")
    found = Engine(model, Ablation(classes=("suture",))).explain(picture(16))
    assert found.classes[0].deltas.shape == (5,)
    assert np.isfinite(found.classes[0].map).all()


def test_a_module_in_train_mode_is_refused_by_the_name_of_the_part():
    module = nn.Sequential(OneByOne(), nn.Dropout()).eval()
    module[1].train()
    with pytest.raises(AblationError, match=r"^1 is in train mode"):
        explainable(module, CLASSES, SMALL)


def test_classes_and_outputs_that_do_not_fit_are_refused():
    module = seeded(OneByOne()).eval()
    with pytest.raises(AblationError, match="at least two different classes"):
        explainable(module, ("one",), SMALL)
    with pytest.raises(AblationError, match="'a' stands there twice"):
        explainable(module, ("a", "a"), SMALL)
    with pytest.raises(AblationError, match="3 output channels, but 4 classes"):
        explainable(module, (*CLASSES, "leaf"), SMALL)


def test_a_module_that_is_random_in_eval_mode_is_refused():
    class Random(OneByOne):
        def forward(self, x):
            return super().forward(x) + torch.rand(())

    with pytest.raises(AblationError, match="two runs of one input differ"):
        explainable(Random().eval(), CLASSES, SMALL)


def test_weights_that_are_no_numbers_are_refused():
    module = seeded(OneByOne()).eval()
    with torch.no_grad():
        module.head.weight[0, 0] = float("nan")
    with pytest.raises(AblationError, match="NaN or infinite"):
        explainable(module, CLASSES, SMALL)


def test_pictures_and_inputs_smaller_than_the_network_can_take_are_refused():
    model = explainable(seeded(OneByOne(), 14).eval(), CLASSES, SMALL, layer="relu")
    engine = Engine(model, Ablation(classes=("suture",)))
    with pytest.raises(AblationError, match=r"at least 8 px a side, found \(4, 30\)"):
        engine.explain(np.zeros((4, 30, 3), np.uint8))
    coarse = unet(64).module  # halves its input four times
    with pytest.raises(AblationError, match=r"fails on an input of shape \(3, 24, 24\)"):
        explainable(coarse, CLASSES, Preprocessing(width_px=24, height_px=24))
