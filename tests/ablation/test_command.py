"""``pitwatch explain`` from files to files, with a network written to disk for it."""

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agent import config
from agent.ablation.command import (
    EXIT_CONFIGURATION,
    EXIT_FAILED,
    EXIT_OK,
    ExplainOptions,
    explain_picture,
)
from agent.config import Preprocessing, Score
from agent.models.card import ModelCard, card_path, write_card
from tests.ablation.networks import UNET_LAYER, bar_and_disc, picture, unet


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_file(unet().module.state_dict(), path)
    return config.Model(
        path=path,
        classes=("background", "suture", "stem"),
        head=config.Head.LOGITS,
        preprocessing=Preprocessing(width_px=64, height_px=64),
        layer=UNET_LAYER,
    )


@pytest.fixture
def fruit(tmp_path):
    path = tmp_path / "fruit.png"
    alpha = np.full((80, 80), 255, np.uint8)
    alpha[:8] = 0
    cv2.imwrite(str(path), np.dstack((picture(80), alpha)))
    return path


def options(fruit, model, **changes):
    return ExplainOptions(**{"picture": fruit, "model": model, **changes})


def test_figure_numbers_and_arrays_come_out_of_one_picture(tmp_path, fruit, model, capsys):
    mask = tmp_path / "mask.png"
    colours = np.zeros((80, 80, 3), np.uint8)
    colours[cv2.resize(bar_and_disc(64), (80, 80), interpolation=cv2.INTER_NEAREST) == 1] = 255
    cv2.imwrite(str(mask), colours)
    out, numbers, arrays = (tmp_path / name for name in ("f.png", "f.json", "f.npz"))
    wanted = options(fruit, model, out=out, json=numbers, npz=arrays, mask=mask)
    assert explain_picture(wanted) == EXIT_OK
    assert "suture: margin y=" in capsys.readouterr().out

    figure = cv2.imread(str(out))
    assert figure.shape[0] > 600
    assert figure.shape[1] > 1000

    said = json.loads(numbers.read_text())
    assert said["class"] == "suture"
    assert said["layer"] == UNET_LAYER
    assert abs(said["y_null"] - said["y"]) <= said["null_tolerance"]
    assert len(said["deltas"]) == said["channels"] == 64
    for name in ("sensitivity_foreground", "sensitivity_background", "context_reliance"):
        assert {name, f"input_{name}"} <= said.keys()
    assert set(said["dice_to_mask"]) == {"background", "suture", "stem", "mean"}
    assert said["dice_to_mask"]["stem"] is None

    with np.load(arrays) as kept:
        shapes = {key: (value.shape, str(value.dtype)) for key, value in kept.items()}
        assert shapes == {
            "input": ((3, 64, 64), "float32"),
            "deltas": ((64,), "float64"),
            "weights": ((64,), "float64"),
            "map": ((8, 8), "float32"),
            "mean_map": ((8, 8), "float32"),
            "mask": ((64, 64), "uint8"),
            "logits": ((3, 64, 64), "float32"),
            "y": ((), "float64"),
            "y_null": ((), "float64"),
        }
        np.testing.assert_allclose(kept["weights"], kept["deltas"] / kept["y"])
        assert np.array_equal(kept["logits"].argmax(0), kept["mask"])
        np.testing.assert_allclose(said["deltas"], kept["deltas"])


def test_without_any_file_named_the_figure_lands_in_the_working_directory(
    tmp_path, fruit, model, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert explain_picture(options(fruit, model)) == EXIT_OK
    assert (tmp_path / "fruit-explained.png").stat().st_size > 10_000


@pytest.mark.parametrize(("name", "expected"), [("stem", "stem"), ("2", "stem"), (None, "suture")])
def test_a_class_goes_by_name_or_index(tmp_path, fruit, model, name, expected):
    numbers = tmp_path / "n.json"
    explain_picture(options(fruit, model, class_name=name, json=numbers))
    assert json.loads(numbers.read_text())["class"] == expected


def test_any_named_layer_and_score_can_be_asked_for(tmp_path, fruit, model):
    numbers = tmp_path / "n.json"
    wanted = options(fruit, model, layer="encoder2.enc2relu2", score=Score.LOGIT_SUM, json=numbers)
    assert explain_picture(wanted) == EXIT_OK
    said = json.loads(numbers.read_text())
    assert (said["layer"], said["score"], said["channels"]) == (
        "encoder2.enc2relu2",
        "logit_sum",
        16,
    )


def test_the_cards_colour_range_holds_for_its_own_layer_and_score_only(tmp_path, fruit, model):
    weights = tmp_path / "m.safetensors"
    shutil.copy(model.path, weights)
    card = ModelCard(name="m", layer=UNET_LAYER, overlay_range={"suture": 7.0})
    write_card(card, card_path(weights))
    numbers = tmp_path / "n.json"
    ranges = []
    for changes in ({}, {"layer": "encoder2.enc2relu2"}, {"score": Score.LOGIT_SUM}):
        wanted = options(fruit, model.model_copy(update={"path": weights}), json=numbers, **changes)
        assert explain_picture(wanted) == EXIT_OK
        ranges.append(json.loads(numbers.read_text())["overlay_range"])
    assert ranges[0] == {"value": 7.0, "fixed": True}
    assert [one["fixed"] for one in ranges[1:]] == [False, False]


def test_region_occlusion_has_a_figure_of_its_own(tmp_path, fruit, model):
    one, other = tmp_path / "cam.png", tmp_path / "regions.png"
    assert explain_picture(options(fruit, model, out=one)) == EXIT_OK
    assert explain_picture(options(fruit, model, out=other, method="region-occlusion")) == EXIT_OK
    assert not np.array_equal(cv2.imread(str(one)), cv2.imread(str(other)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "occlusion"}, "no method 'occlusion'; there are: ablation-cam, region-occl"),
        ({"class_name": "stone"}, "no class 'stone'; there are: 0 background, 1 suture, 2 stem"),
        ({"class_name": "7"}, "no class '7'"),
        ({"layer": "encoder4.enc4relu3"}, "encoder4.enc4relu2"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(fruit, model, capsys, changes, message):
    assert explain_picture(options(fruit, model, **changes)) == EXIT_CONFIGURATION
    assert message in capsys.readouterr().err


def test_a_missing_model_is_a_configuration_error(tmp_path, fruit, capsys):
    wanted = options(fruit, config.Model(path=tmp_path / "none.safetensors"))
    assert explain_picture(wanted) == EXIT_CONFIGURATION
    assert "none.safetensors" in capsys.readouterr().err


def test_pictures_and_files_that_cannot_be_used_are_named(tmp_path, fruit, model, capsys):
    assert explain_picture(options(tmp_path / "no.png", model)) == EXIT_FAILED
    assert "no.png: cannot be read" in capsys.readouterr().err
    wanted = options(fruit, model, out=tmp_path / "no" / "such" / "folder.png")
    assert explain_picture(wanted) == EXIT_FAILED
    assert "folder.png: there is no folder" in capsys.readouterr().err
    wanted = options(fruit, model, out=tmp_path / "figure.jpg", json=tmp_path / "n.json")
    assert explain_picture(wanted) == EXIT_CONFIGURATION
    assert "must end in .png" in capsys.readouterr().err
    assert not (tmp_path / "n.json").exists()
    indices = tmp_path / "grey.png"
    cv2.imwrite(str(indices), np.full((80, 80), 255, np.uint8))
    assert explain_picture(options(fruit, model, mask=indices)) == EXIT_FAILED
    assert "class 255" in capsys.readouterr().err


def test_a_class_without_a_pixel_fails_but_its_files_say_why(tmp_path, model, capsys):
    black = tmp_path / "black.png"
    cv2.imwrite(str(black), np.zeros((64, 64, 4), np.uint8))  # alpha 0: nothing is inside
    out, numbers = tmp_path / "b.png", tmp_path / "b.json"
    assert explain_picture(options(black, model, out=out, json=numbers)) == EXIT_FAILED
    assert "not explainable" in capsys.readouterr().out
    said = json.loads(numbers.read_text())
    assert said["explainable"] is False
    assert said["y"] is None
    assert out.exists()


def test_importing_the_command_loads_no_network_library():
    code = "import sys, agent.ablation.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
