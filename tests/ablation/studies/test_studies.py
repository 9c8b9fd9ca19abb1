"""Studies on networks small enough to work out by hand, and against plain re-runs."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agent import config
from agent.ablation.core import scores
from agent.ablation.core.case import load_case
from agent.ablation.core.errors import AblationError, LateError
from agent.ablation.core.focus import box
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.scores import MARGIN, Target
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run import batching
from agent.ablation.run.fills import Fill, filled
from agent.ablation.studies.curves import (
    DELETION,
    INSERTION,
    MAP,
    RANDOM,
    Curve,
    CurveSettings,
    gains,
)
from agent.ablation.studies.patches import PatchSettings, boxes
from agent.ablation.studies.studies import CHECKS, CROSS_CHECKS, Studies
from agent.models.loaded import as_logits, preprocess
from agent.records import Region
from tests.ablation.networks import (
    UNET_LAYER,
    OneByOne,
    bar_and_disc,
    loaded,
    picture,
    seeded,
    unet,
)

TWO = ("background", "suture")
WHERE = box(3, 4, 9, 5)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def linear():
    """Every logit is linear in the maps of its own pixel alone."""
    model = loaded(seeded(OneByOne(5, 2), 1), "relu", classes=TWO)
    tuning = Tuning(batch=4, reference=np.array([0.3, -0.2, 0.5, 0.0, 1.0]))
    return Engine(model, config.Ablation(classes=("suture",)), tuning=tuning)


def maps_and_weight(engine):
    with torch.no_grad():
        x = preprocess(engine.model, picture(16)).unsqueeze(0)
        maps = engine.model.module.relu(engine.model.module.features(x))[0].double().numpy()
    weight = engine.model.module.head.weight[:, :, 0, 0].double().numpy()
    return maps, weight[1] - weight[0]


def region():
    out = np.zeros((16, 16), np.bool_)
    out[4:9, 3:12] = True
    return out


def studied(engine, wanted, **more):
    found = engine.explain(picture(16), region=WHERE, studies=wanted, **more)
    return found, found.classes[0], found.study("suture")


def test_the_hires_map_of_a_linear_head_is_weight_times_activation_over_the_region(linear):
    _, one, study = studied(linear, Studies(hires=True))
    maps, weight = maps_and_weight(linear)
    expected = np.where(region(), np.tensordot(weight, maps, axes=1) / region().sum(), 0)
    np.testing.assert_allclose(study.hires_map, expected, atol=1e-6 * np.abs(expected).max())
    assert study.hires_map.sum() == pytest.approx(one.deltas.sum(), rel=1e-5)
    assert one.checks.hires_correlation == pytest.approx(
        rank_correlation(one.map, expected), abs=0.02
    )


def test_groups_of_a_linear_head_cost_what_their_channels_cost_one_by_one(linear):
    _, one, study = studied(linear, Studies(groups="0,1;2-4"))
    assert [group.channels for group in study.groups] == [(0, 1), (2, 3, 4)]
    for group in study.groups:
        assert group.sum_of_single == pytest.approx(one.deltas[list(group.channels)].sum())
        assert group.delta == pytest.approx(group.sum_of_single, rel=1e-4)


class Doubled(nn.Module):
    """Two maps that say the same: the class is there as long as either is."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.maps.weight.zero_()
            self.maps.bias.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        found = self.maps(x).amax(1, keepdim=True)
        return torch.cat((torch.zeros_like(found), found), 1)


def test_a_group_shows_what_channels_hide_that_back_each_other_up():
    engine = Engine(loaded(Doubled(), "maps", classes=TWO), config.Ablation(classes=("suture",)))
    _, one, study = studied(engine, Studies(groups="0,1"))
    assert one.deltas.tolist() == [0.0, 0.0]
    assert study.groups[0].delta == pytest.approx(1.0)
    assert study.groups[0].sum_of_single == 0.0


def test_blocks_of_a_local_head_share_out_the_ablation_of_the_whole_layer(linear):
    _, one, study = studied(linear, Studies(block_cells=1))
    maps, weight = maps_and_weight(linear)
    expected = np.where(region(), np.tensordot(weight, maps, axes=1) / region().sum(), 0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(study.block_drop, expected, atol=1e-5 * scale)
    assert study.block_drop.sum() == pytest.approx(one.y - one.y_all, rel=1e-4)
    assert one.agreement == pytest.approx(
        rank_correlation(np.maximum(one.map, 0), study.block_drop)
    )


def test_blocks_are_cells_wide_and_the_last_may_be_smaller():
    model = unet(64)
    engine = Engine(model, config.Ablation(classes=("suture",)))
    found = engine.explain(picture(64), region=bar_and_disc(64), studies=Studies(block_cells=3))
    drop = found.study("suture").block_drop
    assert drop.shape == (8, 8)
    assert len(np.unique(drop)) <= 9
    assert np.ptp(drop[:3, :3]) == np.ptp(drop[6:, 6:]) == 0


def test_a_block_of_a_network_with_skips_costs_what_a_plain_hook_re_run_says():
    model = unet(64)
    engine = Engine(model, config.Ablation(classes=("suture",)))
    truth = bar_and_disc(64)
    found = engine.explain(picture(64), region=truth, studies=Studies(block_cells=4))
    x = preprocess(model, picture(64)).unsqueeze(0)

    def emptied(_module, _inputs, output):
        out = output.clone()
        out[:, :, :4, 4:8] = 0
        return out

    with torch.no_grad():
        before = model.module(x)
        handle = model.module.get_submodule(UNET_LAYER).register_forward_hook(emptied)
        after = model.module(x)
        handle.remove()
    target = Target("suture", 1, torch.from_numpy(truth == 1), torch.zeros(64, 64) > 0, MARGIN)
    expected = float(MARGIN.drop(before[0], after, target)[0])
    assert found.study("suture").block_drop[0, 4] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_regions_in_each_map_of_a_local_head_are_its_delta_or_nothing(linear):
    _, one, study = studied(linear, Studies(maps=True))
    inside, outside = study.maps
    assert (inside.region, outside.region) == (Region.FOREGROUND, Region.BACKGROUND)
    assert inside.drop.shape == inside.dice.shape == (4, 5)
    scale = np.abs(one.deltas).max()
    np.testing.assert_allclose(inside.drop[-1], one.deltas, atol=1e-5 * scale)
    np.testing.assert_allclose(outside.drop, 0, atol=1e-6 * scale)


def test_sets_of_maps_of_a_local_head_cost_the_sum_of_their_deltas(linear):
    _, one, study = studied(linear, Studies(maps=True))
    strongest, random, *_ = study.map_sets
    assert (strongest.chosen, random.chosen) == ("strongest", "random")
    assert strongest.region == Region.FOREGROUND
    assert strongest.counts == (1, 2, 4, 5)
    order = np.argsort(-np.abs(one.deltas))
    expected = [one.deltas[order[:n]].sum() for n in strongest.counts]
    scale = np.abs(one.deltas).max()
    np.testing.assert_allclose(strongest.drop, expected, atol=1e-5 * scale)
    assert random.drop[-1] == pytest.approx(one.y - one.y_all, rel=1e-4)


def test_the_other_baseline_is_compared_channel_by_channel(linear):
    _, one, study = studied(linear, Studies(other_baseline=True))
    assert study.other_baseline == "mean"
    alone = linear.explain(picture(16), region=WHERE, baseline="mean").classes[0]
    np.testing.assert_allclose(study.other_deltas, alone.deltas)
    assert one.checks.baseline_correlation == rank_correlation(one.deltas, alone.deltas)


def test_patches_cover_every_pixel_and_end_at_the_edge():
    found = boxes((20, 21), PatchSettings(8, 8))
    covered = np.zeros((20, 21), np.int64)
    for top, left, bottom, right in found:
        assert (bottom - top, right - left) == (8, 8)
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    assert len(found) == 9


@pytest.mark.parametrize(("size", "stride"), [(8, 9), (8, 0), (0, 0)])
def test_a_stride_that_leaves_gaps_is_refused(size, stride):
    with pytest.raises(AblationError, match="at least 1 and at most the size"):
        PatchSettings(size, stride)


def test_a_patch_larger_than_the_picture_is_refused(linear):
    with pytest.raises(AblationError, match=r"patches of 17 px do not fit .* 16 x 16"):
        studied(linear, Studies(patches=PatchSettings(17, 8)))


@pytest.mark.parametrize("fill", list(Fill))
def test_patch_occlusion_is_the_mean_over_the_patches_of_plain_runs(linear, fill):
    settings = PatchSettings(6, 4, fill)
    aperture = np.ones((16, 16), np.bool_)
    aperture[:, 13:] = False
    found = linear.explain(picture(16), aperture, region=WHERE, studies=Studies(patches=settings))
    maps = found.study("suture").patches
    model = linear.model
    with torch.no_grad():
        case = load_case(model, picture(16), aperture, None)
        instead = torch.from_numpy(filled(case, fill))
        inside = torch.from_numpy(region() & aperture)
        base = as_logits(model, model.module(case.x))
        wanted = Target("suture", 1, inside, inside, MARGIN)
        won = scores.predicted(base, 1)[0] & torch.from_numpy(aperture)
        total, dices, count = (np.zeros((16, 16)) for _ in range(3))
        for top in (0, 4, 8, 10):
            for left in (0, 4, 8, 10):
                x = case.x.clone()
                hole = np.zeros((16, 16), np.bool_)
                hole[top : top + 6, left : left + 6] = True
                x[0] = torch.where(torch.from_numpy(hole & aperture), instead, x[0])
                z = as_logits(model, model.module(x))
                total[hole] += MARGIN.drop(base[0], z, wanted).item()
                now = scores.predicted(z, 1)[0] & torch.from_numpy(aperture)
                dices[hole] += scores.dice(now[None], won).item()
                count[hole] += 1
    expected = total / count
    assert np.isnan(maps.drop[:, 13:]).all()
    np.testing.assert_allclose(
        maps.drop[:, :13], expected[:, :13], atol=2e-5 * np.abs(expected).max()
    )
    np.testing.assert_allclose(maps.dice[:, :13], (dices / count)[:, :13], atol=1e-6)


def test_fills_are_what_they_are_called(linear):
    aperture = np.zeros((16, 16), np.bool_)
    aperture[:8] = True
    case = load_case(linear.model, picture(16), aperture, None)
    x = case.x[0].numpy()
    zero, mean = filled(case, Fill.ZERO), filled(case, Fill.MEAN)
    assert (zero[:, :8] == 0).all()
    np.testing.assert_allclose(mean[:, 0, 0], x[:, :8].mean((1, 2)), rtol=1e-5)
    for one in (zero, mean, filled(case, Fill.BLUR)):
        assert np.array_equal(one[:, 8:], x[:, 8:])


class Spot(nn.Module):
    """The class stands where the picture is bright in one corner: a map that knows where."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[..., None, None])
            self.maps.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.maps(x)
        logit = 40 * seen[:, :1, :4, :4].mean((2, 3), keepdim=True).expand(-1, -1, 16, 16)
        return torch.cat((torch.zeros_like(logit), logit), 1)


def spot_engine():
    return Engine(loaded(Spot(), "maps", classes=TWO), config.Ablation(classes=("suture",)))


def spot_picture():
    image = np.random.default_rng(0).integers(0, 40, (16, 16, 3)).astype(np.uint8)
    image[:4, :4, 2] = 255  # red in the corner
    image[8:12, 8:12, 1] = 255  # green elsewhere: for the mean map alone
    return image


def test_a_map_that_points_at_what_counts_wins_over_chance_and_over_the_mean_map():
    found = spot_engine().explain(spot_picture(), studies=Studies(curves=CurveSettings(16, 4)))
    (one,) = found.classes
    assert {(g.measure, g.fill) for g in one.checks.gains} == {
        (m, f) for m in (DELETION, INSERTION) for f in ("mean", "blur")
    }
    for gain in one.checks.gains:
        assert gain.over_random > 0.2
        assert gain.over_mean_map >= 0.0
    drawn = {(c.measure, c.fill, c.ranking): c for c in found.study("suture").curves}
    for fill in ("mean", "blur"):
        assert drawn[INSERTION, fill, MAP].values[[0, -1]] == pytest.approx([0, 1])
        assert drawn[DELETION, fill, MAP].values[[0, -1]] == pytest.approx([1, 0])
        # All that counts lies in a sixteenth of the picture, which is the first step.
        assert drawn[INSERTION, fill, MAP].values[1] == pytest.approx(1, abs=0.02)
        assert drawn[DELETION, fill, MAP].values[1] == pytest.approx(0, abs=0.02)
        assert drawn[INSERTION, fill, RANDOM].auc == pytest.approx(0.5, abs=0.15)


def test_curves_of_a_class_that_hiding_everything_hardly_touches_say_nothing(linear):
    model = loaded(Doubled(), "maps", classes=TWO)
    engine = Engine(model, config.Ablation(classes=("suture",)))
    _, _, study = studied(engine, Studies(curves=CurveSettings(4, 1)))
    assert all(math.isnan(gain.auc) for gain in gains(study.curves))


def test_more_steps_than_cells_are_refused():
    engine = Engine(unet(64), config.Ablation(classes=("suture",)))
    with pytest.raises(AblationError, match="there are 64"):
        engine.explain(
            picture(64), region=bar_and_disc(64), studies=Studies(curves=CurveSettings(65))
        )


def test_what_an_explanation_lacks_is_named(linear):
    found, one, _ = studied(linear, None)
    assert found.left_out == CHECKS
    assert one.checks is None
    found, one, _ = studied(linear, CROSS_CHECKS)
    assert found.left_out == ("patch_occlusion",)
    assert one.checks.gains


def test_a_study_that_runs_out_of_time_is_named_and_costs_nothing_else(linear):
    def tick(name):
        if name == "insertion_deletion":
            raise LateError("late")

    found, one, study = studied(linear, CROSS_CHECKS, tick=tick)
    assert "insertion_deletion" in found.left_out
    assert study.curves == ()
    assert study.block_drop is not None
    assert math.isfinite(one.agreement)
    assert one.deltas.size == 5


def test_studies_leave_the_explanation_as_it_is(linear):
    _, plain, _ = studied(linear, None)
    _, with_studies, _ = studied(linear, CROSS_CHECKS)
    np.testing.assert_array_equal(plain.deltas, with_studies.deltas)
    assert [o.y for o in plain.occlusions] == [o.y for o in with_studies.occlusions]


def test_no_hook_is_left_behind(linear):
    studied(linear, Studies(hires=True, groups="0;1", block_cells=4, maps=True))
    assert not any(m._forward_hooks for m in linear.model.module.modules())
    assert not any(p.requires_grad for p in linear.model.module.parameters())


@pytest.mark.long
def test_a_fault_in_the_path_of_the_blocks_is_caught_by_their_own_null_control(monkeypatch, caplog):
    engine = Engine(unet(64), config.Ablation(classes=("suture",)))
    assert engine.path == "fx+rows"
    right = batching.pixel_logits

    def wrong(model, rows):
        shifted = right(model, rows).clone()
        shifted[:, 1] += 0.5
        return shifted

    found = engine.explain(
        picture(64),
        region=bar_and_disc(64),
        studies=Studies(block_cells=4),
        tick=lambda _name: monkeypatch.setattr(batching, "pixel_logits", wrong),
    )
    assert "spatial_agreement" in found.left_out
    assert found.classes[0].deltas.any()
    (line,) = (r.fields["reason"] for r in caplog.records if r.msg == "ablation_study_failed")
    assert "differs from the plain model's forward by 0.5" in line


def test_the_area_under_a_straight_line_is_a_half():
    line = np.linspace(0, 1, 5)
    assert Curve("deletion", "mean", "map", line, line).auc == pytest.approx(0.5)
