"""Numbers that can be worked out by hand, facts that hold for any network, and refusals."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.core.summary import BLANK
from agent.ablation.engine import Engine, Tuning
from agent.config import Score
from agent.models.checks import probe_batch
from agent.models.loaded import preprocess
from agent.records import Region, Rung
from tests.ablation.networks import (
    UNET_LAYER,
    OneByOne,
    bar_and_disc,
    loaded,
    picture,
    seeded,
    unet,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def settings(**changes):
    return config.Ablation(**{"classes": ("suture", "stem"), **changes})


def linear_engine(tuning=None, **changes):
    model = loaded(seeded(OneByOne(), 1), "relu", classes=("background", "suture"))
    model.module.head = seeded(nn.Conv2d(5, 2, 1), 2).requires_grad_(False)
    changes = {"classes": ("suture",), **changes}
    return Engine(model, settings(**changes), tuning=tuning or Tuning(batch=4))


def linear_case(engine):
    """A (K, h, w) in float64, the weights of the margin of class 1, and the region."""
    model, image, region = engine.model, picture(16), np.zeros((16, 16), np.uint8)
    region[4:9, 3:12] = 1
    with torch.no_grad():
        module = model.module.double()
        x = preprocess(model, image).double().unsqueeze(0)
        maps = module.relu(module.features(x))[0].numpy()
        model.module.float()
    weight = model.module.head.weight[:, :, 0, 0].double().numpy()
    return image, region, maps, weight[1] - weight[0]


def test_deltas_of_a_linear_head_are_weight_times_mean_activation():
    engine = linear_engine()
    image, region, maps, weight = linear_case(engine)
    found = engine.explain(image, region=region).classes[0]
    expected = weight * maps[:, region == 1].mean(1)
    np.testing.assert_allclose(found.deltas, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(
        found.map, np.tensordot(expected, maps, axes=1), atol=1e-4 * np.abs(found.map).max()
    )
    np.testing.assert_allclose(found.mean_map, maps.mean(0), atol=1e-5 * maps.max())


def test_with_a_linear_head_the_deltas_add_up_to_the_ablation_of_the_whole_layer():
    engine = linear_engine()
    image, region, *_ = linear_case(engine)
    found = engine.explain(image, region=region).classes[0]
    assert found.deltas.sum() == pytest.approx(found.y - found.y_all, rel=1e-5)


def test_with_a_local_head_the_background_is_without_effect_and_the_foreground_is_everything():
    engine = linear_engine()
    image, region, *_ = linear_case(engine)
    found = engine.explain(image, region=region).classes[0]
    by_region = {o.region: o for o in found.occlusions if o.fraction == 1.0}
    assert by_region[Region.FOREGROUND].y == pytest.approx(found.y_all, rel=1e-6)
    assert by_region[Region.BACKGROUND].y == found.y
    assert by_region[Region.BACKGROUND].dice >= 0
    if found.y - found.y_all >= 0.1:
        assert found.sensitivity_foreground == pytest.approx(1.0, abs=1e-6)
        assert found.context_reliance == 0.0


def test_the_mean_baseline_of_a_linear_head_is_the_deviation_from_the_mean():
    reference = np.array([0.3, -0.2, 0.5, 0.0, 1.0])
    engine = linear_engine(baseline="mean", tuning=Tuning(reference=reference, batch=4))
    image, region, maps, weight = linear_case(engine)
    found = engine.explain(image, region=region).classes[0]
    expected = weight * (maps[:, region == 1].mean(1) - reference)
    np.testing.assert_allclose(found.deltas, expected, atol=1e-5 * np.abs(expected).max())


def test_the_mean_baseline_is_refused_without_means_or_with_too_few():
    with pytest.raises(AblationError, match="one mean per channel"):
        linear_engine(baseline="mean")
    with pytest.raises(AblationError, match="one mean per channel"):
        linear_engine(baseline="mean", tuning=Tuning(reference=np.zeros(3)))


def brute_force(model, image, region, class_index, layer=UNET_LAYER):
    """Deltas in float64 by one hook re-run per channel: no batch, no cut, no folding."""
    module = model.module.double()
    target = module.get_submodule(layer)
    x = preprocess(model, image).double().unsqueeze(0)
    mask = torch.from_numpy(region == class_index)

    def margin(ablated):
        def replace(_module, _inputs, output):
            if ablated is None:
                return None
            out = output.clone()
            out[:, ablated] = 0
            return out

        handle = target.register_forward_hook(replace)
        with torch.no_grad():
            z = module(x)[0]
        handle.remove()
        others = [j for j in range(z.shape[0]) if j != class_index]
        return (z[class_index] - torch.logsumexp(z[others], 0))[mask].mean().item()

    with torch.no_grad():
        seen = []
        handle = target.register_forward_hook(lambda _m, _i, o: seen.append(o.shape[1]))
        module(x)
        handle.remove()
    y = margin(None)
    deltas = np.array([y - margin(k) for k in range(seen[0])])
    model.module.float()
    return y, deltas


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_deltas_agree_with_float64_hook_re_runs(seed, rows):
    model, image, region = unet(seed=seed), picture(64, seed), bar_and_disc(64)
    tuning = Tuning(batch=8, rows=rows)
    result = Engine(model, settings(), tuning=tuning).explain(image, region=region)
    for found, index in zip(result.classes, (1, 2), strict=True):
        y, deltas = brute_force(model, image, region, index)
        assert found.y == pytest.approx(y, rel=1e-5)
        assert np.abs(found.deltas - deltas).max() <= 2e-5 * np.abs(deltas).max()
        assert found.spot_error <= 1e-4


@pytest.mark.long
def test_neither_the_path_nor_the_batch_size_changes_a_number():
    model, image, region = unet(), picture(64), bar_and_disc(64)
    results = [
        Engine(model, settings(), tuning=Tuning(batch=b, rows=rows)).explain(image, region=region)
        for b, rows in ((3, False), (16, False), (16, True))
    ]
    assert [r.path for r in results] == ["fx", "fx", "fx+rows"]
    for other in results[1:]:
        for a, b in zip(results[0].classes, other.classes, strict=True):
            assert np.abs(a.deltas - b.deltas).max() <= 1e-5 * np.abs(a.deltas).max()


@pytest.mark.long
def test_several_classes_in_one_pass_are_those_of_one_pass_each():
    model, image, region = unet(), picture(64), bar_and_disc(64)
    engine = Engine(model, settings(), tuning=Tuning(batch=8))
    both = engine.explain(image, region=region).classes
    for index, name in enumerate(("suture", "stem")):
        alone = engine.explain(image, region=region, classes=(name,)).classes[0]
        np.testing.assert_allclose(alone.deltas, both[index].deltas, atol=1e-6)


def test_the_same_picture_twice_gives_the_same_numbers():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    a, b = (engine.explain(picture(64), region=bar_and_disc(64)) for _ in range(2))
    np.testing.assert_array_equal(a.classes[0].deltas, b.classes[0].deltas)
    assert a.classes[0].occlusions == b.classes[0].occlusions


def test_a_channel_that_is_zero_everywhere_has_delta_zero():
    model = unet()
    with torch.no_grad():
        norm = model.module.get_submodule("encoder4.enc4norm2")
        norm.weight[5], norm.bias[5] = 0.0, -1.0  # the ReLU after it leaves nothing
    found = Engine(model, settings(), tuning=Tuning(batch=8)).explain(
        picture(64), region=bar_and_disc(64)
    )
    scale = np.abs(found.classes[0].deltas).max()
    assert abs(found.classes[0].deltas[5]) <= 1e-7 * scale


@pytest.mark.long
def test_a_constant_added_to_all_logits_changes_no_margin_delta():
    model, image, region = unet(), picture(64), bar_and_disc(64)
    before = Engine(model, settings(), tuning=Tuning(batch=8)).explain(image, region=region)
    with torch.no_grad():
        model.module.get_submodule("conv").bias.add_(3.0)
    after = Engine(model, settings(), tuning=Tuning(batch=8)).explain(image, region=region)
    for a, b in zip(before.classes, after.classes, strict=True):
        assert np.abs(a.deltas - b.deltas).max() <= 2e-5 * np.abs(a.deltas).max()


@pytest.mark.long
def test_permuting_the_channels_permutes_the_deltas_and_leaves_the_map():
    model, image, region = unet(), picture(64), bar_and_disc(64)
    before = Engine(model, settings(), tuning=Tuning(batch=8)).explain(image, region=region)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    part = model.module.get_submodule
    with torch.no_grad():
        part("encoder4.enc4conv2").weight.copy_(part("encoder4.enc4conv2").weight[order])
        norm = part("encoder4.enc4norm2")
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(tensor[order])
        weight = part("bottleneck.bottleneckconv1").weight
        weight.copy_(weight[:, order])
        weight = part("decoder4.dec4conv1").weight
        weight.copy_(torch.cat((weight[:, :64], weight[:, 64:][:, order]), 1))
    after = Engine(model, settings(), tuning=Tuning(batch=8)).explain(image, region=region)
    a, b = before.classes[0], after.classes[0]
    assert np.abs(a.deltas[order.numpy()] - b.deltas).max() <= 2e-5 * np.abs(a.deltas).max()
    np.testing.assert_allclose(a.map, b.map, atol=2e-5 * np.abs(a.map).max())


def test_an_affine_score_is_not_moved_by_region_cells_outside_its_reach():
    """One far corner of the layer cannot reach a far region through one 1x1 convolution."""
    engine = linear_engine()
    image, region, *_ = linear_case(engine)
    found = engine.explain(image, region=region).classes[0]
    equal = [o for o in found.occlusions if o.region is Region.BACKGROUND_EQUAL]
    assert len(equal) == 1
    assert equal[0].y == found.y
    assert equal[0].cells == int((region == 1).sum())


@pytest.mark.long
@pytest.mark.parametrize("score", list(Score))
def test_draws_read_on_m_alone_are_those_of_the_general_way(score):
    """All draws give the sensitivity; what M does not show is that of the first of them."""
    found = [
        Engine(unet(), settings(score=score, background_draws=5), tuning=Tuning(batch=8, rows=rows))
        .explain(picture(64), region=bar_and_disc(64))
        .classes[0]
        for rows in (True, False)
    ]
    narrow, wide = ([o for o in one.occlusions if o.region == "background_equal"] for one in found)
    assert len(narrow) == len(wide) == 1
    assert narrow[0].y == pytest.approx(wide[0].y, rel=1e-5)
    assert narrow[0].margin_inside == pytest.approx(wide[0].margin_inside, rel=1e-5)
    assert found[0].sensitivity_background == pytest.approx(
        found[1].sensitivity_background, rel=1e-4, nan_ok=True
    )
    first = settings(score=score, background_draws=1)
    alone = Engine(unet(), first, tuning=Tuning(batch=8)).explain(
        picture(64), region=bar_and_disc(64)
    )
    (one,) = (o for o in alone.classes[0].occlusions if o.region == "background_equal")
    if score is not Score.DICE_DROP:
        assert (narrow[0].dice, narrow[0].margin_outside) == (one.dice, one.margin_outside)
    else:
        assert narrow[0].dice == pytest.approx(wide[0].dice, nan_ok=True)


def test_fractions_are_recorded_in_order_and_the_whole_layer_once():
    found = Engine(unet(), settings(), tuning=Tuning(batch=8)).explain(
        picture(64), region=bar_and_disc(64)
    )
    rows = [(o.region, o.fraction) for o in found.classes[0].occlusions]
    expected = [(Region.WHOLE, 1.0)]
    for region in (Region.FOREGROUND, Region.BACKGROUND):
        expected += [(region, f) for f in (0.25, 0.5, 0.75, 1.0)]
    assert rows == [*expected, (Region.BACKGROUND_EQUAL, 1.0)]
    assert found.classes[0].occlusions[0].y == pytest.approx(found.classes[0].y_all)


def test_sensitivities_are_undefined_where_the_whole_layer_hardly_matters():
    model = unet()
    with torch.no_grad():
        for name in ("decoder4.dec4conv1", "bottleneck.bottleneckconv1"):
            model.module.get_submodule(name).weight.mul_(1e-4)
    found = Engine(model, settings(), tuning=Tuning(batch=8)).explain(
        picture(64), region=bar_and_disc(64)
    )
    for c in found.classes:
        if c.y - c.y_all < 0.1:
            assert math.isnan(c.sensitivity_foreground)
            assert math.isnan(c.context_reliance)
    assert any(c.y - c.y_all < 0.1 for c in found.classes)


def test_a_class_without_a_pixel_is_not_explainable_and_says_so():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    region = np.where(bar_and_disc(64) == 2, 0, bar_and_disc(64)).astype(np.uint8)
    suture, stem = engine.explain(picture(64), region=region).classes
    assert suture.explainable
    assert not stem.explainable
    assert "not explainable: no pixel of stem in the true mask" in stem.reason
    assert stem.map.size == 0
    assert math.isnan(stem.y)


def test_a_region_wholly_outside_the_aperture_is_not_explainable():
    aperture = np.zeros((64, 64), bool)
    aperture[:, :4] = True
    region = np.zeros((64, 64), np.uint8)
    region[:, 32:] = 1
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    assert not any(
        c.explainable for c in engine.explain(picture(64), aperture, region=region).classes
    )


def test_a_blank_map_is_flagged():
    model = unet()
    with torch.no_grad():
        for name in ("decoder4.dec4conv1", "bottleneck.bottleneckconv1"):
            model.module.get_submodule(name).weight.zero_()
    found = Engine(model, settings(), tuning=Tuning(batch=8)).explain(
        picture(64), region=bar_and_disc(64)
    )
    assert found.classes[0].explainable
    assert found.classes[0].reason == BLANK


@pytest.mark.long
@pytest.mark.parametrize("kind", [one for one in Score if one is not Score.MARGIN])
def test_other_scores_drop_by_what_the_plain_model_says(kind):
    engine = Engine(unet(), settings(score=kind), tuning=Tuning(batch=8))
    result = engine.explain(picture(64))
    explained = [c for c in result.classes if c.explainable]
    assert explained
    for found in explained:
        assert found.spot_error <= 1e-3
        if kind is Score.DICE_DROP:
            assert found.y == 1.0
            assert (found.deltas >= 0).all()
            assert (found.deltas <= 1).all()


def test_a_score_that_is_not_there_is_refused_by_name():
    engine = Engine(loaded(seeded(OneByOne()), "relu"), settings(), tuning=Tuning(batch=4))
    with pytest.raises(AblationError, match="no score 'mean'; there are: margin, logit_sum"):
        engine.explain(picture(16), region=bar_and_disc(16), scores=["mean"])


@pytest.mark.long
def test_a_dice_drops_by_the_same_whether_channels_share_what_they_have_in_common_or_not():
    both = [
        Engine(unet(), settings(score=Score.DICE_DROP), tuning=Tuning(batch=8, rows=rows)).explain(
            picture(64), region=bar_and_disc(64)
        )
        for rows in (True, False)
    ]
    assert [one.path for one in both] == ["fx+rows", "fx"]
    for name in ("suture", "stem"):
        rows, whole = (one.of(name).deltas for one in both)
        assert np.abs(whole).max() > 0.01
        assert np.abs(rows - whole).max() <= 5e-3  # some pixels lie within rounding of a tie


class Ticks:
    """A clock that moves by one second whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.mark.long
def test_the_partial_rung_refines_until_the_deadline_and_estimates_the_rest_with_its_error():
    model, image, region = unet(features=16), picture(64), bar_and_disc(64)
    full = Engine(model, settings(), tuning=Tuning(batch=8)).explain(image, region=region)
    engine = Engine(model, settings(), tuning=Tuning(batch=8, clock=Ticks()))
    part = engine.explain(image, region=region, rung=Rung.PARTIAL, deadline_s=30.0)
    exact = part.classes[0].exact
    assert 24 <= exact.sum() < 128
    assert f"channels_estimated:{128 - exact.sum()}/128" in part.left_out
    for a, b in zip(full.classes, part.classes, strict=True):
        scale = np.abs(a.deltas).max()
        assert np.abs(a.deltas - b.deltas)[exact].max() <= 1e-5 * scale
        truth = np.abs(a.deltas - b.deltas)[~exact].mean() / scale
        assert 0 < b.estimate_error < 5 * truth + 1e-6
        assert np.corrcoef(a.deltas, b.deltas)[0, 1] > 0.9
        assert a.occlusions == b.occlusions


def test_a_deadline_already_past_still_gives_controls_regions_and_a_sample():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8, clock=Ticks()))
    result = engine.explain(picture(64), region=bar_and_disc(64), rung=Rung.COARSE, deadline_s=0.0)
    found = result.classes[0]
    assert found.exact.sum() == 16
    assert found.exact[found.spot_channel]
    assert {o.fraction for o in found.occlusions} == {1.0}
    assert "region_fractions" in result.left_out


def test_time_enough_makes_the_partial_rung_exact():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    result = engine.explain(
        picture(64), region=bar_and_disc(64), rung=Rung.PARTIAL, deadline_s=600.0
    )
    assert result.classes[0].exact.all()
    assert result.classes[0].estimate_error == 0.0
    assert not any("channels" in what for what in result.left_out)


@pytest.mark.long
def test_with_dice_the_estimates_are_brought_to_scale():
    engine = Engine(
        unet(features=16), settings(score=Score.DICE_DROP), tuning=Tuning(batch=8, clock=Ticks())
    )
    result = engine.explain(picture(64), rung=Rung.PARTIAL, deadline_s=1.0)
    for found in result.classes:
        if found.explainable:
            assert np.abs(found.deltas[~found.exact]).max() <= 1.0


def test_progress_rises_to_its_total():
    seen = []
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    engine.explain(
        picture(64),
        region=bar_and_disc(64),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    assert len({total for _, total in seen}) == 1


@pytest.mark.long
def test_no_hook_and_no_mode_is_left_behind():
    model = unet()
    engine = Engine(model, settings(), tuning=Tuning(batch=8))
    for _ in range(2):
        engine.explain(picture(64), region=bar_and_disc(64))
    assert not any(part._forward_hooks for part in model.module.modules())
    assert not any(part.training for part in model.module.modules())
    assert all(p.grad is None for p in model.module.parameters())


@pytest.mark.long
def test_the_spot_check_wanders_over_the_channels():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=16))
    spots = {
        engine.explain(picture(64), region=bar_and_disc(64)).classes[0].spot_channel
        for _ in range(4)
    }
    assert len(spots) > 1


def test_an_alpha_channel_is_the_aperture():
    image = np.dstack((picture(64), np.full((64, 64), 255, np.uint8)))
    image[:, :32, 3] = 0
    result = Engine(unet(), settings(), tuning=Tuning(batch=8)).explain(
        image, region=bar_and_disc(64)
    )
    assert not result.aperture[:, :32].any()
    assert result.aperture[:, 32:].all()


# --- refusals ------------------------------------------------------------------------------------


def test_a_model_in_train_mode_is_refused_and_left_as_it_was():
    model = unet()
    norm = model.module.get_submodule("decoder1.dec1norm1")
    norm.train()
    with pytest.raises(AblationError, match=r"decoder1\.dec1norm1 is in train mode"):
        Engine(model, settings())
    assert norm.training


def test_a_mode_changed_after_loading_is_noticed():
    model = unet()
    engine = Engine(model, settings(), tuning=Tuning(batch=8))
    model.module.train()
    with pytest.raises(AblationError, match="train mode"):
        engine.explain(picture(64))


def test_an_unknown_layer_names_the_nearest_there_are():
    with pytest.raises(AblationError, match=r"there are: encoder4\.enc4relu2") as caught:
        Engine(unet(), settings(), layer="encoder4.enc4relu9")
    assert "enc4relu9" in str(caught.value)


def test_an_unknown_class_names_those_there_are():
    with pytest.raises(AblationError, match="no class 'stone'; there are: background, suture"):
        Engine(unet(), settings(classes=("stone",)))
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    with pytest.raises(AblationError, match="no class 'stone'"):
        engine.explain(picture(64), classes=("stone",))


def test_weights_that_are_not_finite_are_refused_by_name():
    model = unet()
    with torch.no_grad():
        model.module.get_submodule("upconv2").bias[0] = math.nan
    with pytest.raises(AblationError, match=r"not finite in upconv2\.bias"):
        Engine(model, settings())


def test_logits_that_are_not_finite_are_refused():
    model = unet()
    engine = Engine(model, settings(), tuning=Tuning(batch=8))
    with torch.no_grad():
        model.module.get_submodule("conv").bias[0] = math.inf
    with pytest.raises(AblationError, match="not finite"):
        engine.explain(picture(64))


def test_a_model_whose_two_runs_differ_is_refused():
    class Noisy(OneByOne):
        def forward(self, x):
            return super().forward(x) + torch.rand_like(x)

    model = loaded(seeded(Noisy()), "relu")
    with pytest.raises(AblationError, match="two runs on one picture differ"):
        Engine(model, settings())


def test_a_picture_that_is_none_is_refused():
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8))
    with pytest.raises(AblationError, match="uint8"):
        engine.explain(np.zeros((64, 64, 3), np.float32))
    with pytest.raises(AblationError, match="class indices"):
        engine.explain(picture(64), region=np.zeros((64, 64), np.int64))


def test_what_a_model_is_tried_on_looks_like_a_picture_to_the_network():
    model = unet()
    x = probe_batch(model)[:1]
    assert x.shape == (1, 3, 64, 64)
    assert 0 <= float(x.min()) < 0.1 < 0.9 < float(x.max()) <= 1


class Cramped:
    """A second half whose device has room for so many items at once; it counts its failures."""

    name = "fx"

    def __init__(self, split, room):
        self._split, self._room, self.failures = split, room, 0

    def prefix(self, x):
        return self._split.prefix(x)

    def suffix(self, batch, prepared):
        if len(batch) > self._room:
            self.failures += 1
            raise torch.OutOfMemoryError("planted")
        return self._split.suffix(batch, prepared)


def cramped(room):
    engine = Engine(unet(), settings(), tuning=Tuning(batch=8, rows=False))
    split = Cramped(engine._setup.split, room)
    engine._setup = dataclasses.replace(engine._setup, split=split)
    return engine, split


@pytest.mark.long
def test_a_device_out_of_memory_is_asked_for_half_a_batch_from_then_on():
    engine, split = cramped(room=5)
    found = engine.explain(picture(64), region=bar_and_disc(64)).classes[0]
    assert split.failures == 1
    engine.explain(picture(64, 1), region=bar_and_disc(64))
    assert split.failures == 1, "the next picture starts with the smaller batch"
    plain = Engine(unet(), settings(), tuning=Tuning(batch=8, rows=False))
    expected = plain.explain(picture(64), region=bar_and_disc(64)).classes[0]
    scale = np.abs(expected.deltas).max()
    np.testing.assert_allclose(found.deltas, expected.deltas, atol=1e-5 * scale)


def test_a_device_out_of_memory_twice_is_an_error():
    engine, split = cramped(room=3)
    with pytest.raises(torch.OutOfMemoryError):
        engine.explain(picture(64), region=bar_and_disc(64))
    assert split.failures == 2
