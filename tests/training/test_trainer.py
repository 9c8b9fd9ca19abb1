from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agent.config import Preprocessing
from agent.training import trainer as trainer_module
from agent.training.errors import TrainingError
from agent.training.loss import segmentation_loss
from agent.training.recipe import Recipe, Stage
from agent.training.samples import SimulatedSamples
from agent.training.trainer import Trainer

TINY = Recipe(
    stages=(Stage(32, 12, 4, 48), Stage(48, 4, 2, 48)), features=4, warmup=3, bfloat16=False
)


def tiny_trainer(recipe: Recipe = TINY) -> Trainer:
    return Trainer(recipe, lambda stage: SimulatedSamples(stage.render_px), Preprocessing())


@pytest.mark.long
def test_the_loss_falls() -> None:
    recipe = Recipe(stages=(Stage(32, 40, 6, 48),), features=4, warmup=5)
    losses = [step.loss for step in tiny_trainer(recipe).run()]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])


@pytest.mark.long
def test_a_run_that_was_interrupted_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = tiny_trainer()
    for _ in whole.run():
        pass
    first = tiny_trainer()
    for _ in first.run(until=7):
        pass
    first.save(tmp_path / "checkpoint")
    second = tiny_trainer()
    second.resume(tmp_path / "checkpoint")
    assert second.step == 7
    steps = [step.step for step in second.run()]
    assert steps == list(range(8, 17))
    for key, value in whole.averaged().items():
        assert torch.equal(value, second.averaged()[key]), key
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key]), key


def test_another_seed_trains_another_network() -> None:
    one, two = tiny_trainer(), tiny_trainer(Recipe(**{**_fields(TINY), "seed": 1}))
    key = "encoder1.enc1conv1.weight"
    assert not torch.equal(one.averaged()[key], two.averaged()[key])


def test_a_trainer_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    tiny_trainer()
    assert torch.equal(torch.rand(2), wanted)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    tiny_trainer().save(tmp_path / "checkpoint")
    other = tiny_trainer(Recipe(**{**_fields(TINY), "features": 5}))
    with pytest.raises(TrainingError, match="recipe"):
        other.resume(tmp_path / "checkpoint")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    with pytest.raises(TrainingError, match="not a checkpoint"):
        tiny_trainer().resume(tmp_path / "checkpoint")


def test_a_full_disk_leaves_the_old_checkpoint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    trainer = tiny_trainer()
    trainer.save(path)
    old = path.read_bytes()

    def full(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer_module.torch, "save", full)
    with pytest.raises(TrainingError, match="No space left"):
        trainer.save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_the_rate_warms_up_and_falls_to_a_hundredth() -> None:
    recipe = Recipe(stages=(Stage(32, 100, 1, 48),), lr=1.0, warmup=10)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] < 0.02
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_refinement_holds_its_rate_and_falls_at_the_end() -> None:
    recipe = Recipe(stages=(Stage(32, 100, 1, 48),), lr=1.0, warmup=10, decay=0.5)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[10:55] == pytest.approx([1.0] * 45)
    assert rates[56:] == sorted(rates[56:], reverse=True)
    assert rates[-1] < 0.02


def test_a_refinement_begins_with_the_weights_it_is_given() -> None:
    first = tiny_trainer()
    for _ in first.run(until=3):
        pass
    second = tiny_trainer()
    second.start_from(first.averaged())
    for key, value in first.averaged().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(second.averaged()[key], value), key
            assert torch.equal(second.model.state_dict()[key], value), key


def test_weights_of_another_width_cannot_be_refined() -> None:
    other = tiny_trainer(Recipe(**{**_fields(TINY), "features": 5})).averaged()
    with pytest.raises(TrainingError, match=r"encoder1.*expected \(4, 3, 3, 3\)"):
        tiny_trainer().start_from(other)


def test_weights_that_lack_a_layer_cannot_be_refined() -> None:
    state = tiny_trainer().averaged()
    del state["conv.weight"]
    with pytest.raises(TrainingError, match=r"conv\.weight.*nothing"):
        tiny_trainer().start_from(state)


def test_a_checkpoint_of_other_starting_weights_is_refused(tmp_path: Path) -> None:
    tiny_trainer().save(tmp_path / "checkpoint")
    other = tiny_trainer(Recipe(**{**_fields(TINY), "start_sha256": "0" * 64}))
    with pytest.raises(TrainingError, match="recipe"):
        other.resume(tmp_path / "checkpoint")


def test_stages_follow_each_other_without_showing_a_sample_twice() -> None:
    firsts = [TINY.at(step) for step in range(TINY.steps)]
    assert [stage.size_px for stage, _ in firsts] == [32] * 12 + [48] * 4
    assert [first for _, first in firsts[:2]] == [0, 4]
    assert [first for _, first in firsts[12:]] == [48, 50, 52, 54]


@pytest.mark.parametrize(
    "broken",
    [{"stages": ()}, {"stages": (Stage(40, 1, 1, 48),)}, {"stages": (Stage(32, 0, 1, 48),)}],
)
def test_a_recipe_that_cannot_be_run_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(TrainingError):
        Recipe(**broken)  # type: ignore[arg-type]


def test_finding_nothing_costs_more_than_finding_half() -> None:
    target = torch.zeros((1, 8, 8), dtype=torch.long)
    target[:, 2:4] = 1
    weights = torch.tensor([0.4, 1.0, 1.4])

    def loss(rows: slice) -> float:
        logits = torch.zeros((1, 3, 8, 8))
        logits[:, 0] = 5.0
        logits[:, :, rows] = torch.tensor([0.0, 5.0, 0.0])[None, :, None, None]
        return float(segmentation_loss(logits, target, weights))

    nothing, half, all_of_it = loss(slice(0, 0)), loss(slice(2, 3)), loss(slice(2, 4))
    assert nothing > half > all_of_it


def _fields(recipe: Recipe) -> dict[str, object]:
    return {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}
