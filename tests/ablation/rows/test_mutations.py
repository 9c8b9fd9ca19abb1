"""Faults planted in the fast path after it was verified: a control of the explanation must trip.

Each mutant replaces the second half of an engine that works, and that engine has no slower way to
take instead. A null control sees what changes everything; only the spot check sees what changes an
ablated item alone.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError, NullControlError
from agent.ablation.engine import Engine, Tuning
from agent.ablation.rows import conv_steps, geometry, winograd
from agent.ablation.rows.conv import Conv
from agent.ablation.rows.program import Program
from tests.ablation.networks import bar_and_disc, only_way, picture, unet


@pytest.fixture
def engine():
    torch.set_num_threads(1)
    return only_way(Engine(unet(), config.Ablation(), tuning=Tuning(batch=8, rows=False)))


def explain(engine, times=1):
    for _ in range(times):
        engine.explain(picture(64), region=bar_and_disc(64))


class Mutant:
    """The engine's split with its second half, or what goes into it, changed."""

    name = "mutant"

    def __init__(self, split, before=lambda batch: batch, after=None):
        self._split = copy.deepcopy(split)
        self._before = before
        if after is not None:
            after(self._split.after)

    def prefix(self, x):
        return self._split.prefix(x)

    def suffix(self, batch, prepared):
        return self._split.suffix(self._before(batch), prepared)


def plant(engine, **changes):
    engine._setup = replace(engine._setup, split=Mutant(engine._setup.split, **changes))


def test_the_healthy_path_passes(engine):
    plant(engine)
    explain(engine)


def test_a_lost_bias_trips_the_null_control(engine):
    def lose(half):
        with torch.no_grad():
            half.get_submodule("upconv2").bias.zero_()

    plant(engine, after=lose)
    with pytest.raises(NullControlError, match="null control failed on the logits") as caught:
        explain(engine)
    assert caught.value.measured > caught.value.tolerance > 0


def test_a_wrong_border_trips_the_null_control(engine):
    def replicate(half):
        conv = half.get_submodule("decoder2.dec2conv1")
        conv.padding_mode, conv._reversed_padding_repeated_twice = "replicate", [1, 1, 1, 1]

    plant(engine, after=replicate)
    with pytest.raises(NullControlError):
        explain(engine)


def test_a_norm_that_was_not_folded_right_trips_the_null_control(engine):
    def scale(half):
        with torch.no_grad():
            half.get_submodule("decoder1.dec1conv2").weight.mul_(1.001)

    plant(engine, after=scale)
    with pytest.raises(NullControlError):
        explain(engine)


def test_a_wrong_channel_trips_the_spot_check(engine):
    """Channel k + 1 is ablated where k was meant: nothing changes for the null item."""

    def shift(batch):
        untouched = batch[(batch == 0).flatten(2).all(2).sum(1).argmin()][None]
        ablated = (batch == 0).flatten(2).all(2) & ~(untouched == 0).flatten(2).all(2)
        single = ablated.sum(1) == 1
        moved = torch.where(ablated.roll(1, 1)[..., None, None], 0.0, untouched)
        return torch.where(single[:, None, None, None], moved, batch)

    plant(engine, before=shift)
    with pytest.raises(AblationError, match="spot check failed") as caught:
        explain(engine, times=3)
    assert not isinstance(caught.value, NullControlError)


@pytest.mark.long
def test_two_swapped_channels_trip_the_spot_check_within_some_explanations(engine):
    """Two items of each batch of eight are swapped: about a quarter of all spot checks see it."""

    def swap(batch):
        out = batch.clone()
        out[[2, 3]] = batch[[3, 2]]
        return out

    plant(engine, before=swap)
    with pytest.raises(AblationError, match="spot check failed"):
        explain(engine, times=40)


def test_a_skip_that_is_not_ablated_trips_the_spot_check(engine):
    """decoder4 gets the layer's untouched output: right for the null item, wrong for all others."""

    class Untouched(nn.Module):
        def __init__(self, conv):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            kept = x.clone()
            skip = x.shape[1] // 2
            kept[:, skip:] = x[:, skip:].amax(0, keepdim=True)  # ReLU maps: what no item ablated
            return self.conv(kept)

    def wrong_skip(half):
        conv = half.get_submodule("decoder4.dec4conv1")
        half.set_submodule("decoder4.dec4conv1", Untouched(conv))

    plant(engine, after=wrong_skip)
    with pytest.raises(AblationError, match="spot check failed"):
        explain(engine)


def test_an_ablation_that_does_nothing_trips_the_spot_check(engine):
    plant(engine, before=lambda batch: batch[:1].expand(len(batch), -1, -1, -1))
    with pytest.raises(AblationError, match="spot check failed"):
        explain(engine)


def test_a_half_that_writes_to_its_constants_trips_a_control(engine):
    class Writes(nn.Module):
        def __init__(self, conv):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            x.mul_(0.99)
            return self.conv(x)

    class Spoiled(Mutant):
        def suffix(self, batch, prepared):
            out = super().suffix(batch, prepared)
            for constant in prepared.constants:
                constant.mul_(0.999)
            return out

    engine._setup = replace(engine._setup, split=Spoiled(engine._setup.split))
    with pytest.raises(AblationError):
        explain(engine)


def test_no_map_leaves_the_engine_with_not_a_number(engine):
    def poison(batch):
        out = batch.clone()
        out[-1] = np.nan
        return out

    plant(engine, before=poison)
    with pytest.raises(AblationError):
        explain(engine)


# --- the fast path of channels -------------------------------------------------------------------


@pytest.fixture
def fast():
    torch.set_num_threads(1)
    engine = Engine(unet(), config.Ablation(), tuning=Tuning(batch=8))
    assert engine.path == "fx+rows"
    return only_way(engine)


def conv(engine, name):
    """Number of the operation whose weight is that of the named convolution of the second half."""
    weight = engine._setup.split.after.get_submodule(name).weight
    return next(
        i for i, o in enumerate(engine._setup.operations) if getattr(o, "weight", None) is weight
    )


def change_slice(engine, name, number, wrong):
    """Change the weights of single channels of one source of a named convolution."""
    place = conv(engine, name)
    pieces = list(engine._setup.operations[place].slices)
    pieces[number] = replace(pieces[number], single=wrong(pieces[number].single))
    engine._setup.operations[place] = replace(engine._setup.operations[place], slices=tuple(pieces))


def test_the_healthy_fast_path_passes(fast):
    explain(fast, times=2)


def test_a_bias_lost_in_the_fast_path_trips_the_null_control(fast):
    for name in ("upconv2", "decoder3.dec3conv1"):
        place = conv(fast, name)
        operations = fast._setup.operations
        whole = operations[place]
        operations[place] = replace(whole, bias=None)
        with pytest.raises(NullControlError, match="the logits"):
            explain(fast)
        operations[place] = whole
    explain(fast)


def test_a_wrong_border_in_the_fast_path_trips_the_null_control(fast, monkeypatch):
    right = geometry.conv_taps

    def clamped(*args):
        taps = right(*args)
        return np.where(taps < 0, 0, taps)

    monkeypatch.setattr(geometry, "conv_taps", clamped)
    region = np.zeros((64, 64), np.uint8)
    region[:3, 10:50] = 1
    region[20:24, 20:24] = 2
    with pytest.raises(NullControlError):
        fast.explain(picture(64), region=region)


@pytest.mark.parametrize("fault", ["border", "sign"])
def test_a_wrong_tile_in_the_fast_path_trips_the_null_control(fast, monkeypatch, fault):
    monkeypatch.setattr(winograd, "usable_for", lambda _weight: True)
    monkeypatch.setattr(winograd, "WORTH", 1e6)
    explain(fast)
    if fault == "sign":
        right_kernel = winograd.transformed
        monkeypatch.setattr(conv_steps, "transformed", lambda form, rows: -right_kernel(form, rows))
    else:
        right = winograd._inputs
        monkeypatch.setattr(
            winograd,
            "_inputs",
            lambda task, cover, batch: np.minimum(
                right(task, cover, batch), batch * task.source.count - 1
            ),
        )
    for operation in fast._setup.operations:
        if isinstance(operation, Conv):
            operation.tiles.clear()
    region = np.zeros((64, 64), np.uint8)
    region[:3, 10:50] = 1
    region[20:24, 20:24] = 2
    with pytest.raises(NullControlError):
        fast.explain(picture(64), region=region)


def test_a_wrong_channel_in_the_fast_path_trips_the_spot_check(fast, monkeypatch):
    run = Program.run_channels
    monkeypatch.setattr(
        Program,
        "run_channels",
        lambda self, ks, maps=None: run(self, [k if k < 0 else (k + 1) % 64 for k in ks], maps),
    )
    with pytest.raises(AblationError, match="spot check failed") as caught:
        explain(fast, times=3)
    assert not isinstance(caught.value, NullControlError)


def test_a_wrong_occlusion_among_the_channels_trips_the_spot_check(fast, monkeypatch):
    """One occlusion is checked an explanation; fifteen of the 25 of each class go with the channels
    here."""
    run = Program.run_channels
    monkeypatch.setattr(
        Program,
        "run_channels",
        lambda self, ks, maps=None: run(self, ks, None if maps is None else maps.roll(1, 3)),
    )
    fast.settings = fast.settings.model_copy(update={"background_draws": 16})
    fast._setup = replace(fast._setup, settings=fast.settings)
    with pytest.raises(AblationError, match="occlusion of background_equal at 100%") as caught:
        explain(fast, times=10)
    assert not isinstance(caught.value, NullControlError)


def test_a_skip_left_unablated_in_the_fast_path_trips_the_spot_check(fast):
    """What the skip adds to decoder4 is kept as it is: right for the null item alone."""
    change_slice(fast, "decoder4.dec4conv1", 1, torch.zeros_like)
    with pytest.raises(AblationError, match="spot check failed"):
        explain(fast, times=3)


def test_weights_of_a_neighbouring_channel_in_the_fast_path_trip_the_spot_check(fast):
    change_slice(fast, "bottleneck.bottleneckconv1", 0, lambda single: single.roll(1, 0))
    with pytest.raises(AblationError, match="spot check failed"):
        explain(fast, times=3)


@pytest.mark.long
def test_wrong_cells_trip_the_spot_check_of_occlusions(fast, monkeypatch):
    """Channels are right, since they are run alone; cells are shifted by two."""
    run = Program.run_maps

    def shifted(self, maps):
        whole = maps.amax(0, keepdim=True)  # the null item of the first batch, for ReLU maps
        gone = (maps == 0).all(1, keepdim=True) & ~(maps == 0).flatten(1).all(1).view(-1, 1, 1, 1)
        return run(self, torch.where(gone.roll(2, 2), 0.0, torch.where(gone, whole, maps)))

    monkeypatch.setattr(Program, "run_maps", shifted)
    with pytest.raises(AblationError, match=r"spot check failed on .*: the occlusion of"):
        explain(fast, times=12)
