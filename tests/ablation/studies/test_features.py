"""Features that the user draws, against what their definition says and against plain re-runs."""

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.case import load_case
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import box
from agent.ablation.core.scores import MARGIN, Target
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run.fills import Fill, filled
from agent.ablation.run.job import Job
from agent.ablation.studies import features
from agent.ablation.studies.features import InputFeatures, LayerFeatures
from agent.ablation.studies.patches import PatchSettings, boxes
from agent.ablation.studies.studies import Studies
from agent.config import Score
from agent.models.loaded import as_logits
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded, unet
from tests.support.peers import peer

TWO = ("background", "suture")
SIDE = 16
WHERE = box(3, 4, 9, 5)
EVERYWHERE = box(0, 0, SIDE, SIDE)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def region():
    out = np.zeros((SIDE, SIDE), np.bool_)
    out[4:9, 3:12] = True
    return out


@pytest.fixture(scope="module")
def linear():
    """Every logit is linear in the maps of its own pixel alone."""
    model = loaded(seeded(OneByOne(5, 2), 1), "relu", classes=TWO)
    return Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))


class Sums(nn.Module):
    """Two maps, a sum over 3 x 3 of the first colour and twice its negative plus 1; after a ReLU
    the class's logit is the sum of both, and the background's is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(2, 2, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:, 0] = torch.tensor([1.0, -2.0])[:, None, None]
            self.conv.bias.copy_(torch.tensor([0.0, 1.0]))
            self.head.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]])[..., None, None])

    def forward(self, x):
        return self.head(self.relu(self.conv(x)))


@pytest.fixture(scope="module")
def sums():
    settings = config.Ablation(classes=("suture",), score=Score.LOGIT_SUM)
    return Engine(loaded(Sums(), "relu", classes=TWO), settings, tuning=Tuning(batch=4))


def by_hand(x):
    """(2, SIDE, SIDE) maps and the logit of ``Sums`` for the first colour ``x``, in numpy alone."""
    padded = np.pad(x, 1)
    total = sum(padded[i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3))
    maps = np.stack((np.maximum(total, 0), np.maximum(1 - 2 * total, 0)))
    return maps, maps.sum(0)


def studied(engine, wanted, where=WHERE, aperture=None):
    found = engine.explain(picture(SIDE), aperture, region=where, studies=wanted)
    return found, found.study("suture")


def quarters():
    """(SIDE, SIDE): four parts, with numbers that are no 0, 1, 2, 3."""
    out = np.full((SIDE, SIDE), 4, np.int32)
    out[:8, 8:], out[8:, :8], out[8:, 8:] = 7, 100, 2
    return out


def test_features_of_a_linear_head_cost_what_their_values_weigh(linear):
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 9, (5, SIDE, SIDE))
    found, study = studied(linear, Studies(layer_features=LayerFeatures(mask)))
    module, x = linear.model.module, torch.from_numpy(found.input)[None]
    with torch.no_grad():
        maps = module.relu(module.features(x))[0].double().numpy()
    weight = module.head.weight[:, :, 0, 0].double().detach().numpy()
    value = (weight[1] - weight[0])[:, None, None] * maps * region() / region().sum()
    drops = study.layer_features
    assert drops.ids.tolist() == list(range(9))
    assert drops.sizes.tolist() == [int((mask == n).sum()) for n in range(9)]
    expected = np.array([value[mask == n].sum() for n in range(9)])
    np.testing.assert_allclose(drops.drop, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(drops.map, drops.drop[mask], rtol=1e-6)


def test_whole_channels_as_features_are_groups_of_channels(linear):
    mask = np.array([3, 3, 0, 0, 0], np.uint8).reshape(5, 1, 1)
    _, study = studied(
        linear, Studies(layer_features=LayerFeatures(mask), groups="2-4;0,1", block_cells=4)
    )
    assert study.layer_features.ids.tolist() == [0, 3]
    assert study.layer_features.drop == pytest.approx([g.delta for g in study.groups], rel=1e-6)
    blocks = np.kron(np.arange(16).reshape(4, 4), np.ones((4, 4), np.int64))
    _, study = studied(linear, Studies(layer_features=LayerFeatures(blocks), block_cells=4))
    np.testing.assert_allclose(study.layer_features.map, study.block_drop, atol=1e-6)


def test_cells_of_single_channels_of_a_network_in_rows_cost_what_a_hook_re_run_says():
    model = unet(64)
    engine = Engine(model, config.Ablation(classes=("suture",)))
    assert engine.path == "fx+rows"
    _, depth, height, width = 1, engine.channels, 8, 8
    mask = np.zeros((depth, height, width), np.int64)
    mask[5, 2:6] = 1
    mask[9, :, 3:5] = 1
    found = engine.explain(
        picture(64), region=bar_and_disc(64), studies=Studies(layer_features=LayerFeatures(mask))
    )

    def ablated(_module, _inputs, output):
        return torch.where(torch.from_numpy(mask == 1), 0.0, output)

    x, inside = torch.from_numpy(found.input)[None], torch.from_numpy(bar_and_disc(64) == 1)
    with torch.no_grad():
        before = model.module(x)
        handle = model.module.get_submodule(engine.layer).register_forward_hook(ablated)
        after = model.module(x)
        handle.remove()
    expected = MARGIN.drop(before[0], after, Target("suture", 1, inside, inside, MARGIN)).item()
    assert found.study("suture").layer_features.drop[1] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("fill", list(Fill))
def test_features_of_the_input_cost_what_plain_runs_say_inside_the_aperture(linear, fill):
    aperture = np.ones((SIDE, SIDE), np.bool_)
    aperture[8:, 8:] = False
    aperture[0] = False
    wanted = Studies(input_features=InputFeatures(quarters(), fill))
    found, study = studied(linear, wanted, aperture=aperture)
    drops, model = study.input_features, linear.model
    assert drops.ids.tolist() == [2, 4, 7, 100]
    assert drops.sizes.tolist() == [0, 56, 56, 64]
    assert np.isnan(drops.drop[0]), "outside the aperture: nothing is hidden"
    with torch.no_grad():
        case = load_case(model, picture(SIDE), aperture, None)
        instead = torch.from_numpy(filled(case, fill))
        inside = torch.from_numpy(region() & aperture)
        base = as_logits(model, model.module(case.x))
        for number, drop in zip((4, 7, 100), drops.drop[1:], strict=True):
            hidden = torch.from_numpy((quarters() == number) & aperture)
            z = as_logits(model, model.module(torch.where(hidden, instead, case.x)))
            wanted_target = Target("suture", 1, inside, inside, MARGIN)
            assert drop == pytest.approx(MARGIN.drop(base[0], z, wanted_target).item(), abs=1e-4)
    assert np.array_equal(np.isnan(drops.map), ~aperture)
    assert found.seconds_by_method["input_features"] > 0


def test_superpixels_of_a_larger_picture_are_brought_to_the_networks_grid(linear):
    image = np.kron(picture(SIDE), np.ones((3, 2, 1), np.uint8))
    mask = np.kron(quarters(), np.ones((3, 2), np.int32))
    mask[0, 0] = 55  # smaller than a pixel of the network
    found = linear.explain(
        image, region=box(6, 12, 18, 15), studies=Studies(input_features=InputFeatures(mask))
    )
    drops = found.study("suture").input_features
    assert drops.ids.tolist() == [2, 4, 7, 55, 100]
    assert drops.sizes.tolist() == [64, 64, 64, 0, 64]
    assert np.isnan(drops.drop[3])
    assert np.isfinite(drops.map).all()


def test_windows_that_are_no_squares_by_the_definition(sums):
    """What is hidden becomes 0; a pixel has the mean of the drops of the windows that cover it."""
    settings = PatchSettings((2, 4), (2, 2), "zero", dice=False)
    found, study = studied(sums, Studies(patches=settings), EVERYWHERE)
    x = found.input[0].astype(np.float64)
    whole = by_hand(x)[1].sum()
    total, covers = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for top in range(0, 15, 2):
        for left in range(0, 13, 2):
            without = x.copy()
            without[top : top + 2, left : left + 4] = 0
            total[top : top + 2, left : left + 4] += whole - by_hand(without)[1].sum()
            covers[top : top + 2, left : left + 4] += 1
    expected = total / covers
    np.testing.assert_allclose(
        study.patches.drop, expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-4
    )
    assert np.ptp(expected) > 1


def test_features_of_the_input_and_of_the_layer_by_the_definition(sums):
    per_channel = np.stack((quarters(), quarters().T))
    per_channel[1, 3, 3] = 6
    wanted = Studies(
        input_features=InputFeatures(quarters(), Fill.ZERO),
        layer_features=LayerFeatures(per_channel),
    )
    found, study = studied(sums, wanted, EVERYWHERE)
    x = found.input[0].astype(np.float64)
    maps, logit = by_hand(x)
    hidden = [
        logit.sum() - by_hand(np.where(quarters() == number, 0, x))[1].sum()
        for number in (2, 4, 7, 100)
    ]
    assert study.input_features.drop == pytest.approx(hidden, rel=1e-4, abs=1e-3)
    ablated = [maps[per_channel == number].sum() for number in (2, 4, 6, 7, 100)]
    assert study.layer_features.drop == pytest.approx(ablated, rel=1e-4, abs=1e-3)


def test_captum_gives_the_same_numbers(sums):
    captum = peer("captum.attr")
    settings = PatchSettings((2, 4), (2, 2), Fill.ZERO, dice=False)
    per_channel = np.stack((quarters(), quarters().T))
    wanted = Studies(
        patches=settings,
        input_features=InputFeatures(quarters(), Fill.ZERO),
        layer_features=LayerFeatures(per_channel),
    )
    found, study = studied(sums, wanted, EVERYWHERE)
    module, x = sums.model.module, torch.from_numpy(found.input)[None]

    class Score(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, batch):
            return self.inner(batch)[:, 1].sum((1, 2))

    score = Score()
    windows = captum.Occlusion(score).attribute(
        x, sliding_window_shapes=(3, 2, 4), strides=(3, 2, 2)
    )
    pixels = captum.FeatureAblation(score).attribute(
        x, feature_mask=torch.from_numpy(quarters()).long()[None, None].expand(1, 3, -1, -1)
    )
    cells = captum.LayerFeatureAblation(score, module.relu).attribute(
        x, layer_mask=torch.from_numpy(per_channel).long()[None]
    )
    for ours, theirs in (
        (study.patches.drop, windows[0, 0]),
        (study.input_features.map, pixels[0, 0]),
        (study.layer_features.map, cells[0]),
    ):
        scale = float(theirs.abs().max())
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((SIDE, SIDE), np.float32), "must be of integers.*float32"),
        (np.full((SIDE, SIDE), np.nan), "must be of integers.*float64"),
        (np.zeros((SIDE, SIDE), np.bool_), "must be of integers.*bool"),
        (np.full((SIDE, SIDE), -1), "holds -1: features are numbered from 0"),
        (np.zeros((0, SIDE), np.int64), "has no cell"),
        (np.zeros(SIDE, np.int64), r"dimensions, found shape \(16,\)"),
    ],
)
@pytest.mark.parametrize("kind", [InputFeatures, LayerFeatures])
def test_a_mask_that_is_none_is_refused_before_anything_is_run(kind, mask, message):
    with pytest.raises(AblationError, match=message):
        kind(mask)


def test_a_mask_of_another_size_is_refused_with_both_sizes(linear):
    small = np.zeros((4, 5), np.int64)
    with pytest.raises(AblationError, match="features is 5 x 4 pixels, the picture 16 x 16"):
        studied(linear, Studies(input_features=InputFeatures(small)))
    with pytest.raises(AblationError, match=r"is 5 x 4, the layer 16 x 16 cells and 5 channels"):
        studied(linear, Studies(layer_features=LayerFeatures(small)))
    with pytest.raises(AblationError, match=r"is 4 channels of 16 x 16, the layer"):
        studied(linear, Studies(layer_features=LayerFeatures(np.zeros((4, SIDE, SIDE), int))))


def test_a_fill_that_is_none_is_refused_with_the_list():
    for make in (
        lambda: InputFeatures(quarters(), "foo"),
        lambda: PatchSettings(fill="foo"),
    ):
        with pytest.raises(AblationError, match="no fill 'foo'; there are: zero, mean, blur"):
            make()
    assert PatchSettings(fill="zero").fill is Fill.ZERO


@pytest.mark.parametrize(
    ("size", "stride", "message"),
    [
        ((8, 4), 5, "patches of 4 x 8 px at a stride of 5 px: the stride"),
        ((8, 4), (8, 0), "stride of 0 x 8 px"),
        ((8, 4, 2), 1, "one whole number of pixels"),
        (8.0, 1, "one whole number of pixels"),
        (True, 1, "one whole number of pixels"),
    ],
)
def test_windows_that_leave_gaps_or_are_no_windows_are_refused(size, stride, message):
    with pytest.raises(AblationError, match=message):
        PatchSettings(size, stride)


def test_windows_larger_than_the_input_are_refused_on_either_side():
    assert len(boxes((8, 20), PatchSettings((8, 12), (8, 4)))) == 3
    for size in ((9, 4), (4, 21)):
        with pytest.raises(AblationError, match=f"{size[1]} x {size[0]} px do not fit"):
            boxes((8, 20), PatchSettings(size, 2))


def test_a_fault_on_the_way_of_the_features_trips_their_spot_check(linear, monkeypatch):
    with monkeypatch.context() as patched:
        right = Job.drops
        patched.setattr(Job, "drops", lambda *a: right(*a) + 0.1)
        with pytest.raises(AblationError, match=r"spot check failed .*: feature .* of the layer"):
            studied(linear, Studies(layer_features=LayerFeatures(quarters())))
    right_runs = features.hidden_runs
    monkeypatch.setattr(features, "hidden_runs", lambda *a: (1.1 * rows for rows in right_runs(*a)))
    with pytest.raises(AblationError, match=r"spot check failed .*: feature .* of the input"):
        studied(linear, Studies(input_features=InputFeatures(quarters())))
