"""The statistics of fruit: made of any network, with the line's own pictures, by one command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agent import config
from agent.config import Preprocessing
from agent.models.card import ModelCard, card_path, read_card
from agent.models.loaded import LoadedModel, preprocess
from agent.models.loading import load_model
from agent.models.plausibility import FruitSpace, Plausibility, plausibility_of_batch
from agent.models.unet import UNet
from agent.training import plausibility as module
from agent.training.errors import TrainingError
from agent.training.folder import find_pairs
from agent.training.plausibility import (
    UNET_LAYERS,
    fruit_statistics,
    layers_of,
    main,
    passing_by,
    still,
)
from agent.training.samples import Sample
from agent.training.ship import ship
from tests.training.test_folder import write_pair

SIZE, FEW = 32, 64


class Discs:
    """Cheap fruit: warm discs of different shades."""

    def __init__(self, *_args: object, **_settings: object) -> None:
        axis = (np.arange(SIZE) + 0.5) / (SIZE / 2) - 1
        self.inside = axis[None, :] ** 2 + axis[:, None] ** 2 <= 1.0

    def sample(self, index: int) -> Sample:
        rng = np.random.default_rng([7, index])
        image = np.zeros((SIZE, SIZE, 3), np.uint8)
        image[self.inside] = rng.uniform(0.8, 1.0) * np.array([60.0, 130.0, 220.0])
        noise = rng.integers(0, 20, image.shape, np.uint8)
        image[self.inside] += noise[self.inside]
        return Sample(image, self.inside, np.zeros((SIZE, SIZE), np.uint8))


@pytest.fixture(autouse=True)
def _cheap_fruit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SimulatedSamples", Discs)
    monkeypatch.setattr(module, "LEAST_FRUIT", FEW)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "small.safetensors"
    card = ModelCard(name="small", preprocessing=Preprocessing(width_px=SIZE, height_px=SIZE))
    ship(UNet(3, 3, 4).state_dict(), card, path)
    return path


def load(path: Path) -> LoadedModel:
    return load_model(config.Model(path=path), "cpu")


def judged(model: LoadedModel, picture: np.ndarray) -> float:
    return float(
        plausibility_of_batch(model, Plausibility(model), preprocess(model, picture)[None])[0]
    )


@pytest.mark.long
def test_the_command_writes_statistics_by_which_fruit_are_told_from_other_things(
    weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", str(weights), "--fruit", str(FEW)]) == 0
    card = read_card(card_path(weights))
    assert card is not None
    assert card.plausibility is not None
    assert card.plausibility.layers == UNET_LAYERS
    assert card.name == "small"
    assert [group.name for group in card.plausibility.groups] == ["still", "moved"]
    assert [group.fruit for group in card.plausibility.groups] == [FEW] * 2
    assert card_path(weights).stat().st_size < 1_000_000
    model = load(weights)
    fruit = [judged(model, Discs().sample(10_000 + i).image) for i in range(12)]
    assert np.median(fruit) > 0.5
    checks = (np.indices((SIZE, SIZE)).sum(0) // 4 % 2 * 255).astype(np.uint8)
    assert judged(model, np.repeat(checks[..., None], 3, 2)) < 0.01
    before = card_path(weights).read_bytes()
    assert main(["--model", str(weights), "--fruit", str(FEW)]) == 0
    assert card_path(weights).read_bytes() == before, "the same every time"


def test_the_lines_own_pictures_become_plausible(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "line"
    folder.mkdir()
    for number in range(8):
        write_pair(folder, f"peach_{number}", number)
    model = load(weights)
    pairs = find_pairs(folder)
    without = fruit_statistics(model, FEW)
    with_own = fruit_statistics(model, FEW, pairs)
    mine = preprocess(model, pairs[0].load().image)[None]

    def plausible(found: object) -> float:
        card = model.card.model_copy(update={"plausibility": found})
        knowing = replace(model, card=card)
        return float(plausibility_of_batch(knowing, Plausibility(knowing), mine)[0])

    assert plausible(with_own) > max(0.5, plausible(without))


def test_a_foreign_network_is_watched_at_the_layer_that_it_names(weights: Path) -> None:
    model = load(weights)
    foreign = replace(model, module=torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)), layer="0")
    assert layers_of(foreign) == ("0",)
    found = fruit_statistics(foreign, FEW)
    assert found.layers == ("0",)
    assert found.groups[0].width == 6
    chosen = fruit_statistics(model, FEW, layers=("encoder2",))
    assert (chosen.layers, chosen.groups[0].width) == (("encoder2",), 2 * 8)
    with pytest.raises(TrainingError, match="names no layer"):
        layers_of(replace(foreign, layer=None))


def test_what_cannot_be_done_is_told_and_leaves_the_card_alone(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = card_path(weights).read_bytes()
    for more, words in (
        (["--fruit", "10"], "10 fruit are too few"),
        (["--layer", "encoder9"], "no layer encoder9"),
        (["--folder", str(tmp_path / "none")], "none"),
    ):
        assert main(["--model", str(weights), *more]) == 1
        assert words in " ".join(capsys.readouterr().err.split())
    assert main(["--model", str(tmp_path / "no.safetensors")]) == 1
    assert main(["--config", str(tmp_path / "no.yaml")]) == 1
    assert card_path(weights).read_bytes() == before


def test_a_layer_without_one_map_a_picture_is_refused(weights: Path) -> None:
    flat = torch.nn.Sequential(torch.nn.Flatten(2), torch.nn.Unflatten(2, (SIZE, SIZE)))
    model = replace(load(weights), module=flat, layer="0")
    with pytest.raises(TrainingError, match="its layers give no maps"):
        fruit_statistics(model, FEW)


def test_a_dead_map_divides_by_no_zero() -> None:
    rows = np.random.default_rng(1).normal(size=(300, 6))
    rows[:, 2] = 0.0
    group = module._fitted("still", rows)
    found = FruitSpace(group).distances(rows)
    assert np.isfinite(found).all()
    assert np.median(found) == pytest.approx(1.0, abs=0.3)
    dead = rows[:1].copy()
    dead[0, 2] = 1.0
    assert FruitSpace(group).distances(dead)[0] > 10.0, "a map that wakes up is no usual fruit"


@pytest.mark.parametrize("change", [still, passing_by])
def test_pictures_for_statistics_are_the_same_every_time_and_black_outside(change) -> None:
    for index in range(20):
        sample = Discs().sample(index)
        one, other = change(sample, index), change(sample, index)
        assert np.array_equal(one.image, other.image)
        assert not one.image[~one.aperture].any()


def test_statistics_do_not_follow_a_card_to_other_weights(weights: Path, tmp_path: Path) -> None:
    model = load(weights)
    card = model.card.model_copy(update={"plausibility": fruit_statistics(model, FEW)})
    assert ship(model.module.state_dict(), card, tmp_path / "same.safetensors").plausibility
    other = ship(UNet(3, 3, 4).state_dict(), card, tmp_path / "other.safetensors")
    assert other.plausibility is None
