from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agent import config
from agent.models.card import ModelCard, card_path, read_card
from agent.models.files import sha256_of
from agent.models.loading import load_model
from agent.models.unet import UNet
from agent.phases import Unseen
from agent.records import CLASSES
from agent.training import train as module
from agent.training.errors import TrainingError
from agent.training.recipe import Recipe, Stage
from agent.training.ship import pack, ship
from agent.training.train import TrainOptions, folder_cases, notes_of, train
from tests.training.test_folder import write_pair

TINY = Recipe(stages=(Stage(32, 6, 4, 48),), features=4, warmup=2, bfloat16=False)


def options(out: Path, **changes: object) -> TrainOptions:
    return TrainOptions(out=out, recipe=TINY, cases=8, **changes)  # type: ignore[arg-type]


class Heard(Unseen):
    """Remembers the phases."""

    def __init__(self, heard: list[tuple[str, int | None]]) -> None:
        self._heard = heard

    def begin(self, name: str, total: int | None = None) -> None:
        self._heard.append((name, total))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("peach.pt", "must end with .safetensors"),
        ("peach", "must end with .safetensors"),
        ("no/such/folder/peach.safetensors", "there is no folder"),
        ("file/peach.safetensors", "there is no folder"),
        ("folder.safetensors", "is a folder"),
        ("full.safetensors", "MB are needed"),
        ("p" * 300 + ".safetensors", "cannot be written"),
    ],
)
def test_what_could_not_be_written_at_the_end_is_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, words: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.safetensors").mkdir()
    if out.startswith("full"):
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage._replace(free=1_000_000))
    monkeypatch.setattr(module, "Trainer", None)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(TrainingError) as caught:
        train(options(tmp_path / out, folder=tmp_path / "nowhere"))
    assert words in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_larger_network_needs_more_room() -> None:
    widths = [module.parameters(replace(TINY, features=features)) for features in (4, 8)]
    assert widths[0] == sum(p.numel() for p in UNet(3, 3, 4).parameters())
    assert 3 < widths[1] / widths[0] < 5


@pytest.mark.long
def test_training_on_both_kinds_of_data_ends_with_weights_and_a_card_that_load(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "fruit"
    folder.mkdir()
    for number in range(4):
        write_pair(folder, f"peach_{number}", number)
    out = tmp_path / "peach.safetensors"
    steps = []
    heard: list[tuple[str, int | None]] = []
    trained = train(options(out, folder=folder, folder_share=0.5), steps.append, Heard(heard))
    assert heard == [
        ("reading samples", 4), ("training", 6), ("writing the weights", None), ("calibration", 8),
        ("judging on simulated fruit", 8), ("judging on the folder", 1), ("plausibility", None),
        ("colour ranges", 2), ("writing the card", None),
    ]  # fmt: skip
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    card = read_card(card_path(out))
    assert card == trained.card
    assert card.classes == CLASSES
    assert card.layer == "encoder4.enc4relu2"
    assert set(card.channel_means) == {card.layer}
    assert all(value >= 0 for value in card.channel_means[card.layer])  # after a ReLU
    assert card.metrics["fruit"] > 0
    assert "folder_suture_dice" in card.metrics or "folder_no_read" in card.metrics
    assert "folder" in card.notes
    model = load_model(config.Model(path=out), "cpu")
    assert model.sha256 == card.sha256
    assert model.preprocessing.width_px == 32
    assert out.with_name(out.name + ".checkpoint").exists()


@pytest.mark.long
def test_an_interrupted_training_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "peach.safetensors"
    whole = train(options(tmp_path / "whole.safetensors"))

    class PowerCutError(Exception):
        pass

    def interrupt(step: object) -> None:
        if step.step == 4:  # type: ignore[attr-defined]
            raise PowerCutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHECKPOINT_EVERY_S", 0.0)
        with pytest.raises(PowerCutError):
            train(options(out), interrupt)
    seen = []
    resumed = train(options(out, resume=True), seen.append)
    assert seen[0].step == 4, "the third step was the last one saved"
    assert resumed.card.sha256 == whole.card.sha256


def test_weights_are_refined_and_the_card_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / "start.safetensors"
    card = ship(UNet(3, 3, 4).state_dict(), ModelCard(name="start"), start)
    recipe = replace(TINY, lr=1e-12, start_sha256=card.sha256)
    chosen = TrainOptions(
        tmp_path / "refined.safetensors", recipe, cases=8, start=config.Model(path=start)
    )
    assert card.sha256 in notes_of(chosen)
    monkeypatch.setattr(module, "finish", lambda trainer, *_: trainer)
    refined = train(chosen)
    wanted = load_model(config.Model(path=start), "cpu").module.state_dict()
    for key, value in refined.averaged().items():  # type: ignore[attr-defined]
        if value.ndim == 4:
            assert torch.allclose(value, wanted[key], atol=1e-6), key


def test_the_weights_that_the_default_model_was_refined_from_are_there() -> None:
    start = Path(__file__).parents[2] / "agent" / "training" / "start" / "unet8.safetensors"
    assert Recipe.refining(sha256_of(start.read_bytes())).features == 8
    assert load_model(config.Model(path=start), "cpu").sha256 == sha256_of(start.read_bytes())


def test_bad_data_are_told_before_anything_is_computed(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    (tmp_path / "a_mask.png").unlink()
    steps: list[object] = []
    with pytest.raises(TrainingError, match=r"a\.png: has no mask"):
        train(options(tmp_path / "x.safetensors", folder=tmp_path), steps.append)
    with pytest.raises(TrainingError, match="folder share"):
        train(options(tmp_path / "x.safetensors", folder_share=2.0), steps.append)
    assert not steps


def test_a_folder_is_a_set_of_cases(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 3)
    (case,) = folder_cases(tmp_path)
    assert case.name == "a"
    assert 0 <= case.angle_deg < 180


def test_half_precision_keeps_the_statistics_whole() -> None:
    from safetensors.torch import load

    packed = load(pack(UNet(3, 3, 4).state_dict()))
    assert packed["encoder1.enc1conv1.weight"].dtype is torch.float16
    assert packed["encoder1.enc1norm1.running_var"].dtype is torch.float32


def test_a_disk_that_refuses_leaves_the_old_weights_alone(tmp_path: Path) -> None:
    out = tmp_path / "peach.safetensors"
    card = ship(UNet(3, 3, 4).state_dict(), ModelCard(name="old"), out)
    old = out.read_bytes()
    (tmp_path / "peach.safetensors.part").mkdir()  # nothing can be written there
    with pytest.raises(TrainingError, match="could not be written"):
        ship(UNet(3, 3, 4).state_dict(), ModelCard(name="new"), out)
    assert out.read_bytes() == old
    assert read_card(card_path(out)) == card
