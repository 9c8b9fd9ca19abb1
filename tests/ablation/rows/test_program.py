"""The fast path of channels against plain re-runs, wherever M lies and whatever the layer."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from agent.ablation.core.perturbation import NULL, channel, replaced
from agent.ablation.rows import geometry, products, program, winograd
from agent.ablation.rows.ops import operations
from agent.ablation.rows.shared import Shared
from agent.ablation.run.fast_path import build_fast_path
from agent.ablation.split import split
from agent.ablation.split.trace import CutError
from agent.models.checks import probe_batch
from tests.ablation.networks import UNET_LAYER, bar_and_disc, loaded, seeded, unet

PIXELS = {
    "bar and disc": bar_and_disc(64) > 0,
    "one corner": np.pad(np.ones((3, 5), bool), ((61, 0), (59, 0))),
    "one pixel": np.pad(np.ones((1, 1), bool), ((30, 33), (0, 63))),
    "everything": np.ones((64, 64), bool),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def compared(model, layer, need, batch, baseline=0.0):
    """Largest difference to plain re-runs over the largest logit, for a few channels and none."""
    with torch.no_grad():
        x = torch.randn(1, 3, *need.shape, generator=torch.Generator().manual_seed(1))
        cut = split.build_split(model, layer, probe_batch(model)[:1])
        prepared = cut.prefix(x)
        found = operations(cut.after, model.output_key, prepared)
        depth = prepared.activation.shape[1]
        to = torch.full((1, depth, 1, 1), baseline)
        shared = Shared(found, prepared, to)
        channels = [-1, 0, depth - 1, depth // 2]
        items = [NULL if k < 0 else channel(k) for k in channels]
        maps = replaced(prepared.activation, to, items)
        alone = program.Program(shared, need, batch, single=True)
        whole = program.Program(shared, need, batch, single=False)
        parts = [slice(i, i + batch) for i in range(0, len(channels), batch)]
        rows = torch.cat([alone.run_channels(channels[part]) for part in parts])
        again = torch.cat([whole.run_maps(maps[part]) for part in parts])
        both = torch.cat(
            [alone.run_channels([k], m[None]) for k, m in zip(channels, maps, strict=True)]
            if batch > 1
            else [alone.run_channels([], m[None]) for m in maps]
        )
        mixed = [k for k in channels for _ in range(2)] if batch > 1 else channels
        plain = split.HookSplit(model, layer)
        worst = 0.0
        for row, k in zip([*rows, *again, *both], [*channels, *channels, *mixed], strict=True):
            expected = plain.rerun(x, NULL if k < 0 else channel(k), to)[0][
                :, torch.from_numpy(need)
            ]
            worst = max(worst, float((row - expected).abs().max() / expected.abs().max()))
        return worst


@pytest.mark.parametrize("where", PIXELS)
def test_rows_are_the_plain_models_logits_wherever_the_pixels_lie(where):
    assert compared(unet(), UNET_LAYER, PIXELS[where], batch=4) <= 5e-6


@pytest.mark.parametrize(
    "layer",
    [
        "encoder1.enc1relu2",
        "encoder2.enc2relu2",
        "encoder4.enc4conv2",
        "bottleneck.bottleneckrelu2",
        "decoder3.dec3relu1",
        "decoder1.dec1relu2",
    ],
)
def test_rows_are_right_from_any_layer_of_the_unet(layer):
    assert compared(unet(), layer, PIXELS["bar and disc"], batch=4) <= 5e-6


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_a_batch_that_is_not_full_changes_nothing(batch):
    assert compared(unet(), UNET_LAYER, PIXELS["bar and disc"], batch) <= 5e-6


def test_a_baseline_other_than_zero_stays_zero_outside_the_picture():
    """Padding is zero whatever the baseline: a constant map changes the border less."""
    for layer in (UNET_LAYER, "encoder1.enc1relu2"):
        assert compared(unet(), layer, PIXELS["everything"], 4, baseline=0.7) <= 5e-6


class Mixed(nn.Module):
    """Odd sizes, a stride, unusual functions and kernels: nothing that a U-Net has."""

    def __init__(self, act):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.act = act
        self.down = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.wide = nn.Conv2d(8, 5, 5, padding=2, bias=False)
        self.up = nn.ConvTranspose2d(5, 4, 4, stride=4)
        self.head = nn.Conv2d(10, 3, (1, 3), padding=(0, 1))

    def forward(self, x):
        a = self.act(self.features(x))
        deep = self.act(self.wide(self.pool(self.act(self.down(a)))))
        up = self.act(self.up(deep))
        return self.head(torch.cat((a, up), 1))


@pytest.mark.long
@pytest.mark.parametrize("act", [nn.ReLU(), nn.Sigmoid(), nn.LeakyReLU(0.2), nn.SiLU(inplace=True)])
def test_other_networks_of_the_same_operations_are_right_as_well(act):
    model = loaded(seeded(Mixed(act)), "features", size=64)
    for need in PIXELS.values():
        assert compared(model, "features", need, batch=4) <= 5e-6


class Unknown(nn.Module):
    """A running sum has no fast form."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return self.head(torch.cumsum(self.features(x).relu(), 2))


def test_a_model_with_other_operations_keeps_the_general_path_and_says_why(caplog):
    model = loaded(seeded(Unknown()), "features")
    with torch.no_grad(), caplog.at_level(logging.INFO):
        x = probe_batch(model)[:1]
        cut = split.build_split(model, "features", x)
        assert cut.name == "fx"
        assert build_fast_path(model, "features", cut, x, torch.zeros(1, 4, 1, 1)) is None
    said = [r for r in caplog.records if r.message == "ablation_rows_unused"]
    assert "cumsum has no fast form" in said[0].fields["reason"]


def test_an_output_on_another_grid_is_not_taken_for_the_inputs():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.head = nn.Conv2d(4, 3, 1)

        def forward(self, x):
            return self.head(self.features(x))

    model = loaded(seeded(Half()), "features")
    with torch.no_grad():
        x = probe_batch(model)[:1]
        cut = split.build_split(model, "features", x)
        prepared, need = cut.prefix(x), np.ones((16, 16), bool)
        shared = Shared(
            operations(cut.after, None, prepared),
            prepared,
            torch.zeros(1, 4, 1, 1),
        )
        with pytest.raises(CutError, match="another grid"):
            program.Program(shared, need, 2, single=True)
        assert build_fast_path(model, "features", cut, x, torch.zeros(1, 4, 1, 1)) is None


@pytest.mark.parametrize("taps", ["phase_taps", "conv_taps"])
def test_a_fast_path_that_disagrees_is_not_used(monkeypatch, caplog, taps):
    right = getattr(geometry, taps)
    monkeypatch.setattr(geometry, taps, lambda *args: np.roll(right(*args), 1, axis=0))
    model = unet()
    with torch.no_grad(), caplog.at_level(logging.INFO):
        x = probe_batch(model)[:1]
        cut = split.build_split(model, UNET_LAYER, x)
        assert build_fast_path(model, UNET_LAYER, cut, x, torch.zeros(1, 64, 1, 1)) is None
    assert "ablation_rows_unused" in caplog.text


@pytest.mark.parametrize("pixels", PIXELS)
def test_tiles_agree_with_plain_reruns_wherever_m_lies(monkeypatch, pixels):
    used = []
    right = winograd.Tiled.__call__
    monkeypatch.setattr(
        winograd.Tiled, "__call__", lambda self, rows: used.append(self._form) or right(self, rows)
    )
    monkeypatch.setattr(winograd, "usable_for", lambda _weight: True)
    monkeypatch.setattr(winograd, "WORTH", 1e6)
    assert compared(unet(), UNET_LAYER, PIXELS[pixels], 3) <= 5e-6
    whole = pixels == "everything"  # an upsampling of whole maps is a plain operation
    assert {form.r for form in used} == ({3} if whole else {2, 3})


def test_what_a_convolution_reads_is_found_by_running_it_on_ones():
    rng = np.random.default_rng(0)
    for kernel, stride, padding in (((3, 3), (1, 1), (1, 1)), ((5, 3), (2, 1), (2, 0))):
        size = (9, 11)
        height, width = geometry.conv_size(size, kernel, stride, padding)
        need = rng.random((height, width)) < 0.2
        conv = nn.Conv2d(1, 1, kernel, stride, padding, bias=False)
        nn.init.ones_(conv.weight)
        x = torch.zeros(1, 1, *size, requires_grad=True)
        conv(x)[0, 0][torch.from_numpy(need)].sum().backward()
        found = geometry.before_conv(need, size, kernel, stride, padding)
        assert np.array_equal(found, x.grad[0, 0].numpy() > 0)


def test_pictures_of_any_shape_meet_few_sizes_of_product(monkeypatch):
    """A kernel is compiled and kept per size: a hundred pictures once took a gigabyte."""
    sizes = {}
    right = products.product

    def noted(x, weight, out=None, *, add=False):
        sizes.setdefault(tuple(weight.shape), set()).add(x.shape[0])
        return right(x, weight, out, add=add)

    monkeypatch.setattr(products, "product", noted)
    monkeypatch.setattr(products, "GATHER_FLOATS", 1 << 14)
    model = unet()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        x = probe_batch(model)[:1]
        cut = split.build_split(model, UNET_LAYER, x)
        prepared = cut.prefix(x)
        shared = Shared(operations(cut.after, None, prepared), prepared, torch.zeros(1, 64, 1, 1))
        for _ in range(30):
            need = np.zeros((64, 64), bool)
            top, left = rng.integers(0, 50, 2)
            need[top : top + rng.integers(1, 14), left : left + rng.integers(1, 14)] = True
            program.Program(shared, need, 3, single=True).run_channels([-1, 1, 2])
    gathered = [counts for counts in sizes.values() if len(counts) > 1]
    assert gathered
    assert max(len(counts) for counts in gathered) <= products.SIZES


def test_a_pass_has_as_many_items_as_keep_its_rows_near(monkeypatch):
    model, need = unet(), PIXELS["bar and disc"]
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        cut = split.build_split(model, UNET_LAYER, probe_batch(model)[:1])
        prepared = cut.prefix(x)
        found = operations(cut.after, model.output_key, prepared)
        shared = Shared(found, prepared, torch.zeros(1, 64, 1, 1))

        def rows(most_bytes, items):
            monkeypatch.setattr(program, "ROWS_BYTES", most_bytes)
            made = program.Program(shared, need, 64, single=True, items=items)
            return made.batch, made.run_channels([-1, 5][: made.batch])

        many, expected = rows(1 << 30, 65)
        largest = max(
            int(n.sum()) * o.width
            for n, o in zip(
                program.Program(shared, need, 1, single=True)._needs, found, strict=True
            )
            if n is not None
        )
        few, some = rows(4 * 3 * largest, 65)
        least, alone = rows(1, 65)
    assert (many, few, least) == (33, 3, 1)
    torch.testing.assert_close(some, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone, expected[:1], rtol=1e-5, atol=1e-5)
