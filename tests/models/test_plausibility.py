"""How like fruit a picture is, from maps that a network makes anyway."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from agent import config
from agent.models.card import FruitStatistics, ModelCard, card_path, card_text, packed, read_card
from agent.models.errors import ModelError
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel, logits
from agent.models.loading import load_model
from agent.models.plausibility import (
    FruitSpace,
    Plausibility,
    Watched,
    plausibility_of,
    plausibility_of_batch,
    pooled,
)
from tests.models.test_programs import exported, torchscript, trusted

ONE = packed(np.ones(1), "<f4")
LAYERS = ("encoder2.enc2relu2", "encoder4.enc4relu2")


def group(**changes: object) -> dict[str, object]:
    """Three numbers: fruit vary most along the first."""
    return {
        "name": "still",
        "fruit": 100,
        "width": 3,
        "centre": packed(np.array([1.0, 2.0, 3.0]), "<f4"),
        "scale": packed(np.array([1.0, 2.0, 0.5]), "<f4"),
        "variances": (4.0,),
        "axes": packed(np.array([[1.0, 0.0, 0.0]]), "<f2"),
        "rest": 0.25,
        "limit": 1.5,
    } | changes


def statistics(*groups: dict[str, object], **changes: object) -> FruitStatistics:
    values: dict[str, object] = {
        "weights_sha256": "a" * 64,
        "layers": ("conv",),
        "groups": groups or (group(),),
    }
    return FruitStatistics.model_validate(values | changes)


def of_model(model: LoadedModel, batch: torch.Tensor, limit: float = 1.5) -> LoadedModel:
    """The model with statistics of noise that it was shown."""
    watched = Watched(model.module, LAYERS)
    with watched.watching():
        logits(model, batch)
    rows = watched.taken(len(batch))
    assert rows is not None
    width = rows.shape[1]
    made = group(
        width=width,
        centre=packed(rows.mean(0), "<f4"),
        scale=packed(rows.std(0) + 0.1, "<f4"),
        axes=packed(np.eye(1, width), "<f2"),
        limit=limit,
    )
    found = statistics(made, weights_sha256=model.sha256, layers=LAYERS)
    return replace(model, card=model.card.model_copy(update={"plausibility": found}))


def why(caplog: pytest.LogCaptureFixture) -> str:
    """What the log says of a model that cannot tell."""
    (record,) = (one for one in caplog.records if one.getMessage() == "plausibility_unknown")
    return str(record.fields["reason"])


def test_maps_are_pooled_to_mean_and_deviation() -> None:
    maps = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    for layout in (torch.contiguous_format, torch.channels_last):
        found = pooled(maps.to(memory_format=layout))
        assert found.tolist() == [[3.0, 1.0, pytest.approx(5.0**0.5), 0.0]]


@pytest.mark.parametrize("shape", [(2, 8, 96, 96), (1, 3, 7, 5), (3, 300, 4, 4), (1, 1, 1, 1)])
def test_maps_of_any_size_are_pooled_by_the_plain_formula(shape: tuple[int, ...]) -> None:
    maps = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    taken = maps[:, :, :: max(1, shape[2] // 48)].double()
    variance, mean = torch.var_mean(taken, dim=(2, 3), correction=0)
    plain = torch.cat((mean, variance.sqrt()), dim=1).numpy()
    assert pooled(maps) == pytest.approx(plain, abs=1e-7)


def test_the_distance_is_the_one_worked_out_by_hand() -> None:
    (only,) = statistics().groups
    space = FruitSpace(only)
    # standardised (2, 1, -1): 2^2 / 4 along the axis and (1 + 1) / 0.25 across, over 3 numbers
    rows = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 2.5], [np.inf, 0.0, 0.0], [np.nan, 0.0, 0.0]])
    found = space.distances(rows)
    assert found[:2] == pytest.approx([0.0, (9.0 / 3.0) ** 0.5])
    assert np.isinf(found[2:]).all()


def test_plausibility_is_a_half_at_the_limit_and_falls_with_the_distance() -> None:
    found = plausibility_of(np.array([0.0, 1.2, 1.5, 3.0, 1e200, np.inf]), 1.5)
    assert found[0] == 1.0
    assert found[2] == 0.5
    assert (np.diff(found) <= 0.0).all()
    assert found[-2:].tolist() == [0.0, 0.0]


def test_the_logits_are_bit_for_bit_those_without_it(net, weights) -> None:
    model = fused(load_model(config.Model(path=weights, device="cpu")))
    batch = torch.rand(3, 3, 64, 64).to(memory_format=torch.channels_last)
    judged = Plausibility(of_model(model, batch))
    assert judged.known
    plain = logits(model, batch)
    with judged.watching():
        watched = logits(model, batch)
    assert torch.equal(plain, watched)
    assert not any(part._forward_hooks for part in model.module.modules())
    assert judged.plausibility(3).shape == (3, 2)


def test_a_picture_is_judged_the_same_whatever_lies_beside_it(net, weights) -> None:
    model = load_model(config.Model(path=weights, device="cpu"))
    batch = torch.rand(4, 3, 64, 64)
    judged = Plausibility(of_model(model, batch, limit=1.0))
    with judged.watching():
        logits(model, batch)
    together = judged.plausibility(4)[:, 0]
    alone = []
    for one in batch:
        with judged.watching():
            logits(model, one[None])
        alone.append(float(judged.plausibility(1)[0, 0]))
    assert alone == pytest.approx(together.tolist(), rel=1e-3)
    one_by_one = Plausibility(replace(of_model(model, batch, limit=1.0), batchable=False))
    with one_by_one.watching():
        logits(replace(model, batchable=False), batch)
    assert one_by_one.plausibility(4)[:, 0].tolist() == pytest.approx(alone, rel=1e-3)


def test_a_network_without_statistics_says_so_and_knows_nothing(weights, caplog) -> None:
    with caplog.at_level(logging.INFO):
        judged = Plausibility(load_model(config.Model(path=weights, device="cpu")))
    assert not judged.known
    assert "no statistics" in why(caplog)
    with judged.watching():
        pass
    assert np.isnan(judged.plausibility(2)).all()


def test_statistics_of_other_weights_are_refused_by_name(weights) -> None:
    card_path(weights).write_text(card_text(ModelCard(name="x", plausibility=statistics())))
    model = load_model(config.Model(path=weights, device="cpu"))
    with pytest.raises(ModelError, match=r"peach\.safetensors: .* weights aaaaaaaaaaaa, not"):
        Plausibility(model)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_torchscript_program_reads_as_before_and_says_that_it_cannot_tell(
    net, tmp_path, caplog
) -> None:
    model = load_model(trusted(torchscript(net, tmp_path / "m.ts")))
    made = statistics(weights_sha256=model.sha256, layers=LAYERS)
    model = replace(model, card=model.card.model_copy(update={"plausibility": made}))
    with caplog.at_level(logging.INFO):
        judged = Plausibility(model)
    assert not judged.known
    assert "cannot be watched" in why(caplog)
    with judged.watching():
        assert logits(model, torch.rand(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    assert np.isnan(judged.plausibility(2)).all()


@pytest.mark.long
def test_an_exported_program_whose_layers_are_named_is_judged(net, tmp_path) -> None:
    model = load_model(trusted(exported(net, tmp_path / "m.pt2")))
    batch = torch.rand(3, 3, 32, 32)
    judged = Plausibility(of_model(model, batch))
    assert judged.known
    with judged.watching():
        logits(model, batch)
    assert (judged.plausibility(3) > 0.5).all()


def test_the_group_counts_that_a_picture_is_most_like(weights) -> None:
    model = load_model(config.Model(path=weights, device="cpu"))
    batch = torch.rand(2, 3, 64, 64)
    near = of_model(model, batch).card.plausibility
    assert near is not None
    far = near.groups[0].model_copy(update={"name": "far", "limit": 1e-6})
    for groups in ((far,), (far, *near.groups)):
        both = near.model_copy(update={"groups": groups})
        judged = Plausibility(
            replace(model, card=model.card.model_copy(update={"plausibility": both}))
        )
        found = plausibility_of_batch(model, judged, batch)
        assert (found > 0.5).all() == (len(groups) == 2)


def test_what_only_a_free_running_camera_sees_counts_for_such_a_camera_alone(weights) -> None:
    model = load_model(config.Model(path=weights, device="cpu"))
    batch = torch.rand(2, 3, 64, 64)
    near = of_model(model, batch).card.plausibility
    assert near is not None
    moved = near.groups[0].model_copy(update={"name": "moved", "free_run": True})
    still = near.groups[0].model_copy(update={"limit": 1e-6})
    both = near.model_copy(update={"groups": (still, moved)})
    knowing = replace(model, card=model.card.model_copy(update={"plausibility": both}))
    judged = Plausibility(knowing, free_run=True)
    with judged.watching():
        logits(model, batch)
    triggered, free_run = judged.plausibility(2).T
    assert (triggered < 0.01).all()
    assert (free_run > 0.5).all()


class Twice(nn.Module):
    """Calls its one layer twice a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x))


def test_a_layer_that_is_called_twice_a_pass_is_not_watched() -> None:
    watched = Watched(Twice(), ("conv", "other"))
    assert watched.missing == ("other",)
    watched = Watched(Twice(), ("conv",))
    with watched.watching():
        watched._parts["conv"](torch.zeros(2, 3, 8, 8))
    assert watched.taken(2) is not None
    module = Twice()
    watched = Watched(module, ("conv",))
    with watched.watching():
        module(torch.zeros(2, 3, 8, 8))
    assert watched.taken(2) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"centre": "AAAA"}, "centre: 3 bytes instead of 12"),
        ({"axes": "!"}, "axes: not base64"),
        ({"scale": packed(np.array([1.0, 0.0, 1.0]), "<f4")}, "scale: must be above 0"),
        ({"centre": packed(np.array([1.0, np.nan, 1.0]), "<f4")}, "centre: holds what is no num"),
        ({"variances": []}, "variances"),
        ({"rest": 0.0}, "rest"),
        ({"limit": -1.0}, "limit"),
        ({"width": 4}, "scale: 12 bytes instead of 16"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_card_whose_statistics_are_wrong_is_named_with_the_field(
    tmp_path, change: dict[str, object], named: str
) -> None:
    path = tmp_path / "m.card.json"
    path.write_text(card_text(ModelCard(name="x", plausibility=statistics())))
    assert read_card(path).plausibility == statistics()
    document = json.loads(path.read_text())
    document["plausibility"]["groups"][0] |= change
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"m\.card\.json: not a model card: plausibility") as told:
        read_card(path)
    assert named in str(told.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"layers": []}, "layers"),
        ({"groups": []}, "groups"),
        ({"weights_sha256": "xyz"}, "weights_sha256"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_statistics_that_are_none_are_named_with_the_field(
    change: dict[str, object], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        statistics(**change)
    wider = group(width=1, centre=ONE, scale=ONE, axes=packed(np.ones((1, 1)), "<f2"))
    with pytest.raises(ValidationError, match="different widths"):
        statistics(group(), wider)


def test_pictures_that_are_prepared_otherwise_than_the_fruit_are_not_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    small = config.Preprocessing(width_px=64, height_px=64)
    assert not Plausibility(load_model(config.Model(preprocessing=small), "cpu")).known
    assert "prepared otherwise" in why(caplog)
    assert Plausibility(load_model(config.Model(), "cpu")).known
