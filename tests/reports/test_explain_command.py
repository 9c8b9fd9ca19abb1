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
from agent.config import Preprocessing, Score
from agent.models.card import ModelCard, card_path, card_text
from agent.reports.exit_codes import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK
from agent.reports.explain_command import ExplainOptions, PatchOptions, explain_picture
from agent.reports.sources import Shot
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


def test_figure_numbers_and_arrays_come_out_of_one_picture(timed, tmp_path, fruit, model, capsys):
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
            "aperture": ((64, 64), "bool"),
            "foreground_cells": ((8, 8), "bool"),
            "background_cells": ((8, 8), "bool"),
            "patch_drop": ((64, 64), "float32"),
            "patch_dice": ((64, 64), "float32"),
            "block_drop": ((8, 8), "float64"),
            "hires_map": ((8, 8), "float32"),
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


@pytest.mark.long
def test_the_cards_colour_range_holds_for_its_own_layer_and_score_only(tmp_path, fruit, model):
    weights = tmp_path / "m.safetensors"
    shutil.copy(model.path, weights)
    card = ModelCard(name="m", layer=UNET_LAYER, overlay_range={"suture": 7.0})
    card_path(weights).write_text(card_text(card))
    numbers = tmp_path / "n.json"
    ranges = []
    for changes in ({}, {"layer": "encoder2.enc2relu2"}, {"score": Score.LOGIT_SUM}):
        wanted = options(fruit, model.model_copy(update={"path": weights}), json=numbers, **changes)
        assert explain_picture(wanted) == EXIT_OK
        ranges.append(json.loads(numbers.read_text())["overlay_range"])
    assert ranges[0] == {"value": 7.0, "fixed": True}
    assert [one["fixed"] for one in ranges[1:]] == [False, False]


@pytest.mark.long
def test_region_occlusion_has_a_figure_of_its_own(tmp_path, fruit, model):
    one, other = tmp_path / "cam.png", tmp_path / "regions.png"
    assert explain_picture(options(fruit, model, out=one)) == EXIT_OK
    assert explain_picture(options(fruit, model, out=other, method="region-occlusion")) == EXIT_OK
    assert not np.array_equal(cv2.imread(str(one)), cv2.imread(str(other)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "grad-cam"},
            "no method 'grad-cam'; there are: ablation-cam, occlusion, region",
        ),
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


def test_a_class_without_a_pixel_fails_but_its_files_say_why(tmp_path, fruit, model, capsys):
    blind = unet().module.state_dict()
    blind["conv.bias"][1] -= 1000.0  # never says suture
    save_file(blind, tmp_path / "blind.safetensors")
    model = model.model_copy(update={"path": tmp_path / "blind.safetensors"})
    out, numbers = tmp_path / "b.png", tmp_path / "b.json"
    assert explain_picture(options(fruit, model, out=out, json=numbers)) == EXIT_FAILED
    assert "not explainable" in capsys.readouterr().out
    said = json.loads(numbers.read_text())
    assert said["explainable"] is False
    assert said["y"] is None
    assert out.exists()


def test_importing_the_command_loads_no_network_library():
    code = "import sys, agent.reports.explain_command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


# --- methods, regions, baselines ------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("method", ["occlusion", "hires", "seg-eigen-cam"])
def test_every_method_has_a_figure_of_its_own(tmp_path, fruit, model, method):
    cam, own = tmp_path / "cam.png", tmp_path / "own.png"
    assert explain_picture(options(fruit, model, out=cam)) == EXIT_OK
    patch = PatchOptions(size_px=32, stride_px=16, fill="mean")
    assert explain_picture(options(fruit, model, out=own, method=method, patch=patch)) == EXIT_OK
    first, second = cv2.imread(str(cam)), cv2.imread(str(own))
    assert first.shape == second.shape
    assert np.array_equal(first[70:420, :340], second[70:420, :340]), "the same input"
    assert not np.array_equal(first[450:], second[450:])


@pytest.mark.long
def test_without_the_dice_the_drops_are_the_same_and_the_figure_says_so(tmp_path, fruit, model):
    found = []
    for dice in (True, False):
        patch = PatchOptions(size_px=32, stride_px=16, dice=dice)
        files = {"npz": tmp_path / f"{dice}.npz", "out": tmp_path / f"{dice}.png"}
        asked = options(fruit, model, method="occlusion", patch=patch, **files)
        assert explain_picture(asked) == EXIT_OK
        with np.load(files["npz"]) as arrays:
            found.append((arrays["patch_drop"], "patch_dice" in arrays))
    (drop, measured), (again, left_out) = found
    assert (measured, left_out) == (True, False)
    np.testing.assert_allclose(again, drop, atol=1e-4 * float(np.nanmax(np.abs(drop))))
    first, second = (cv2.imread(str(tmp_path / f"{dice}.png")) for dice in (True, False))
    assert not np.array_equal(first, second)


def test_a_box_a_component_and_a_mask_can_be_explained(tmp_path, fruit, model):
    drawn = np.zeros((80, 80, 3), np.uint8)
    drawn[20:40, 10:60] = 255
    cv2.imwrite(str(tmp_path / "m.png"), drawn)
    found = {}
    for words in ("box:10,20,50,20", f"mask:{tmp_path / 'm.png'}", "component:1"):
        numbers = tmp_path / "n.json"
        assert explain_picture(options(fruit, model, region=words, json=numbers)) == EXIT_OK
        found[words.partition(":")[0]] = json.loads(numbers.read_text())
    assert found["box"]["region_source"] == "box:10,20,50,20"
    assert found["mask"]["region_source"] == "mask"
    assert found["component"]["region_source"] == "component:1"
    assert found["box"]["y"] == found["mask"]["y"] != found["component"]["y"]


def test_the_mean_baseline_needs_means_and_tells_how_it_ranks_channels(
    tmp_path, fruit, model, capsys
):
    assert explain_picture(options(fruit, model, baseline="mean")) == EXIT_CONFIGURATION
    assert "the model's card has none" in capsys.readouterr().err
    reference = [Shot(str(seed), lambda seed=seed: (picture(64, seed), None)) for seed in (1, 2)]
    numbers = tmp_path / "n.json"
    wanted = options(fruit, model, baseline="mean", reference=reference, json=numbers)
    assert explain_picture(wanted) == EXIT_OK
    said = json.loads(numbers.read_text())
    assert said["baseline"] == "mean"
    assert -1 <= said["baseline_correlation"] < 1
    assert "rank correlation of zero and mean baseline" in capsys.readouterr().out


def test_checks_and_groups_are_told_and_written(tmp_path, fruit, model, capsys):
    numbers = tmp_path / "n.json"
    wanted = options(fruit, model, groups="contiguous:4", checks=True, json=numbers)
    assert explain_picture(wanted) == EXIT_OK
    said = json.loads(numbers.read_text())
    assert [len(group["channels"]) for group in said["groups"]] == [16] * 4
    assert len(said["gains"]) == 4
    assert said["left_out"] == ["patch_occlusion"]
    told = capsys.readouterr().out
    assert "group of 16 channels from 48" in told
    assert "insertion (blur)" in told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "blob"}, "no region 'blob'; a region is predicted, component"),
        ({"region": "mask:none.png"}, "none.png: cannot be read"),
        ({"groups": "0,64"}, "no channel 64; there are 0 to 63"),
        ({"method": "occlusion", "patch": PatchOptions(size_px=65)}, "do not fit"),
        ({"method": "occlusion", "patch": PatchOptions(size_px=(8, 65))}, "65 x 8 px do not fit"),
        ({"patch": PatchOptions(size_px=8, stride_px=9)}, "at most the size"),
        ({"patch": PatchOptions(fill="black")}, "no fill 'black'; there are: zero, mean, blur"),
        ({"sheet": "s.png", "layers": "decoder9*"}, "no layer fits 'decoder9*'; there are: "),
    ],
)
def test_settings_that_cannot_be_are_refused_before_the_work(
    tmp_path, fruit, model, capsys, changes, message
):
    if "sheet" in changes:
        changes = {**changes, "sheet": tmp_path / changes["sheet"]}
    assert explain_picture(options(fruit, model, **changes)) == EXIT_CONFIGURATION
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ("box:70,70,20,20", "does not lie in the picture, which is 80 x 80"),
        ("mask", "the mask of the region is 10 x 12 pixels, the picture 80 x 80"),
    ],
)
def test_a_region_that_does_not_fit_the_picture_fails_with_both_sizes(
    tmp_path, fruit, model, capsys, region, message
):
    if region == "mask":
        cv2.imwrite(str(tmp_path / "m.png"), np.full((12, 10), 255, np.uint8))
        region = f"mask:{tmp_path / 'm.png'}"
    assert explain_picture(options(fruit, model, region=region)) == EXIT_FAILED
    assert message in capsys.readouterr().err


# --- folders and sheets ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, fruit):
    where = tmp_path / "set"
    where.mkdir()
    for name in ("a", "b"):
        shutil.copy(fruit, where / f"{name}.png")
    colours = np.zeros((80, 80, 3), np.uint8)
    colours[cv2.resize(bar_and_disc(64), (80, 80), interpolation=cv2.INTER_NEAREST) == 1] = 255
    cv2.imwrite(str(where / "a_mask.png"), colours)
    return where


def test_a_folder_gives_a_file_for_each_picture_and_masks_are_no_pictures(
    tmp_path, folder, model, capsys
):
    wanted = options(folder, model, json=tmp_path / "numbers", out=tmp_path / "figures")
    assert explain_picture(wanted) == EXIT_OK
    assert sorted(p.name for p in (tmp_path / "numbers").iterdir()) == ["a.json", "b.json"]
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["a.png", "b.png"]
    with_mask, without = (
        json.loads((tmp_path / "numbers" / f"{n}.json").read_text()) for n in "ab"
    )
    assert "dice_to_mask" in with_mask
    assert "dice_to_mask" not in without
    assert "2 of 2 pictures explained" in capsys.readouterr().out


def test_a_picture_of_a_folder_that_cannot_be_read_costs_no_other(tmp_path, folder, model, capsys):
    (folder / "aa.png").write_bytes(b"no picture")
    assert explain_picture(options(folder, model, json=tmp_path / "numbers")) == EXIT_FAILED
    said = capsys.readouterr()
    assert "aa.png: the file cannot be decoded" in said.err
    assert "2 of 3 pictures explained" in said.out
    assert (tmp_path / "numbers" / "b.json").exists()


def test_a_folder_without_a_picture_and_files_where_folders_belong_are_refused(
    tmp_path, folder, fruit, model, capsys
):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert explain_picture(options(empty, model)) == EXIT_FAILED
    assert "holds no picture" in capsys.readouterr().err
    assert explain_picture(options(folder, model, json=fruit)) == EXIT_FAILED
    assert "files go to folders" in capsys.readouterr().err
    assert explain_picture(options(folder, model, sheet=tmp_path / "s.png")) == EXIT_CONFIGURATION
    assert "belong to one picture" in capsys.readouterr().err


@pytest.mark.long
def test_a_sheet_shows_every_layer_that_fits_the_pattern(tmp_path, fruit, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = options(fruit, model, sheet=tmp_path / "s.png", layers="encoder[34].*relu2")
    assert explain_picture(wanted) == EXIT_OK
    two = cv2.imread(str(tmp_path / "s.png"))
    assert 400 < two.shape[1] < 600
    assert not (tmp_path / "fruit-explained.png").exists(), "only the sheet was asked for"
