"""Interpolation, pooling, addition, grouped and dilated convolutions in rows, against re-runs."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError, NullControlError
from agent.ablation.core.perturbation import NULL, channel, replaced
from agent.ablation.engine import Engine, Tuning
from agent.ablation.rows import geometry, program
from agent.ablation.rows.operation import Channelwise, Layout
from agent.ablation.rows.ops import complete, operations
from agent.ablation.rows.shared import Shared
from agent.ablation.rows.windows import Local
from agent.ablation.run.whole_model import whole_model_operations
from agent.ablation.split import split
from agent.ablation.split.trace import CutError
from agent.models.checks import probe_batch
from tests.ablation.networks import bar_and_disc, loaded, only_way, picture, seeded
from tests.ablation.rows.test_patches import compared as occluded

SIZE = 32
NEEDS = {
    "bar and disc": bar_and_disc(SIZE) > 0,
    "corner": np.pad(np.ones((2, 3), bool), ((30, 0), (29, 0))),
    "everything": np.ones((SIZE, SIZE), bool),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


class Around(nn.Module):
    """A layer of 6 maps, what is tested, and a head on the grid of the picture; what is tested
    meets the layer itself (``first``: one channel changes) or what a convolution made of it."""

    def __init__(self, middle, first, width=6):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.mixed = nn.Identity() if first else nn.Conv2d(6, 6, 3, padding=1)
        self.act = nn.Identity() if first else nn.Sigmoid()
        self.middle = middle
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        found = self.middle(self.act(self.mixed(self.relu(self.features(x)))))
        return self.head(F.interpolate(found, size=(SIZE, SIZE), mode="nearest"))


class Do(nn.Module):
    """A function as a module that is traced into."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def resize(**options):
    return lambda: Do(lambda x: F.interpolate(x, **options))


def twice(inner):
    """Something, and whatever it makes resized to the grid that was there."""
    return lambda: Do(lambda x: x + F.interpolate(inner(x), size=x.shape[-2:], mode="bilinear"))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=2, dilation=2)

    def forward(self, x):
        out = self.conv(x)
        out += x
        return F.relu(out, inplace=True)


class Squeeze(nn.Module):
    """Channels scaled by what the whole map says."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(6, 6, 1)
        self.act = nn.Hardsigmoid()

    def forward(self, x):
        return self.act(self.conv(self.pool(x))) * x


class OverChannels(nn.Module):
    """A layer norm over the channels, as networks write it."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        return F.silu(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class OverChannelsByFunction(nn.LayerNorm):
    """The same as a subclass with a forward of its own, which is traced into."""

    def forward(self, x):
        last = torch.permute(x, (0, 2, 3, 1))
        norm = F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps)
        return torch.permute(norm, (0, 3, 1, 2))


CASES = {
    "nearest x2": resize(scale_factor=2.0),
    "nearest x3": resize(scale_factor=3),
    "nearest to a size": resize(size=(21, 50)),
    "nearest down": resize(scale_factor=0.5),
    "nearest exact": resize(size=(45, 29), mode="nearest-exact"),
    "bilinear x2": resize(scale_factor=2.0, mode="bilinear"),
    "bilinear corners": resize(size=(50, 41), mode="bilinear", align_corners=True),
    "bilinear down": resize(size=(11, 13), mode="bilinear", align_corners=False),
    "bilinear x1.7": resize(scale_factor=1.7, mode="bilinear"),
    "bicubic": resize(size=(40, 24), mode="bicubic"),
    "average": lambda: nn.AvgPool2d(3, 2, 1),
    "average inside": lambda: nn.AvgPool2d((3, 2), (2, 1), (1, 0), count_include_pad=False),
    "average ceil": lambda: nn.AvgPool2d(3, 2, ceil_mode=True),
    "average function": lambda: Do(lambda x: F.avg_pool2d(x, 2)),
    "adaptive": lambda: nn.AdaptiveAvgPool2d((5, 7)),
    "global": twice(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "maximum": lambda: nn.MaxPool2d(3, 2, 1),
    "maximum dilated": lambda: nn.MaxPool2d(3, 1, 1, dilation=2),
    "maximum ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "maximum function": lambda: Do(lambda x: F.max_pool2d(0 - x, 3, stride=2, padding=1)),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "depthwise stride": lambda: nn.Conv2d(6, 6, (5, 3), 2, (2, 0), groups=6, bias=False),
    "depthwise dilated": lambda: nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6),
    "depthwise, pooled": lambda: nn.Sequential(
        nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Hardswish(), nn.MaxPool2d(2)
    ),
    "grouped": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=2),
    "dilated": lambda: nn.Conv2d(6, 6, 3, padding=(4, 3), dilation=(4, 3)),
    "dilated stride": lambda: nn.Conv2d(6, 6, 3, 2, padding=2, dilation=2),
    "residual": Residual,
    "of itself": lambda: Do(lambda x: x + x * 0.5 - torch.relu(x) * x),
    "numbers": lambda: Do(lambda x: (2 - x) * 0.5 / 4 + 1),
    "squeeze": Squeeze,
    "group norm": lambda: nn.GroupNorm(3, 6),
    "group norm, pooled": lambda: nn.Sequential(nn.GroupNorm(1, 6, affine=False), nn.AvgPool2d(2)),
    "group norm after a convolution": lambda: nn.Sequential(
        nn.Conv2d(6, 6, 3, 2, 1), nn.GroupNorm(2, 6), nn.ReLU()
    ),
    "group norm function": lambda: Do(lambda x: F.group_norm(x, 2, eps=1e-3)),
    "group norm of an upsampled map": lambda: nn.Sequential(
        nn.ConvTranspose2d(6, 6, 2, 2), nn.GroupNorm(3, 6)
    ),
    "layer norm": OverChannels,
    "layer norm function": lambda: OverChannelsByFunction(6),
    "layer norm of an upsampled map": lambda: nn.Sequential(
        nn.ConvTranspose2d(6, 6, 2, 2), OverChannels(), nn.Conv2d(6, 6, 1)
    ),
}
NOT_PATCHED = {
    **dict.fromkeys(("global", "squeeze"), "over everything"),
    **{name: "over everything" for name in CASES if name.startswith("group norm")},
    **{
        name: "no convolution takes in"
        for name in CASES
        if name.endswith("norm of an upsampled map")
    },
}


def compared(model, needs, dtype, batch=4):
    """Largest difference to plain re-runs over the largest logit, read on each of ``needs``; both
    kinds of items."""
    layer = "relu"
    with torch.no_grad():
        model.module.to(dtype)
        x = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).to(dtype)
        halves = split.trace.cut(model.module, layer, None)
        cut, plain = split.FxSplit(halves), split.HookSplit(model, layer)
        prepared = cut.prefix(x)
        to = torch.full((1, 6, 1, 1), 0.3, dtype=dtype)
        channels = [-1, 0, 5, 3]
        items = [NULL if k < 0 else channel(k) for k in channels]
        shared = Shared(operations(cut.after, None, prepared), prepared, to)
        maps = replaced(prepared.activation, to, items)
        reruns = [plain.rerun(x, item, to)[0] for item in items]
        worst = 0.0
        for need in needs:
            single = program.Program(shared, need, batch, single=True)
            alone = single.run_channels(channels)
            mixed = single.run_channels(channels[:2], maps[2:])
            whole = program.Program(shared, need, batch, single=False).run_maps(maps)
            for row, again in zip([*alone, *whole, *mixed], reruns * 3, strict=True):
                expected = again[:, torch.from_numpy(need)]
                worst = max(worst, float((row - expected).abs().max() / expected.abs().max()))
    return worst


@pytest.mark.parametrize("first", [True, False], ids=["of the layer", "of a convolution"])
@pytest.mark.parametrize("name", CASES)
def test_rows_are_the_plain_models_logits(name, first):
    for dtype, allowed in ((torch.float64, 1e-13), (torch.float32, 5e-6)):
        model = loaded(seeded(Around(CASES[name](), first)), "relu", SIZE)
        assert compared(model, NEEDS.values(), dtype) <= allowed


def test_an_operation_that_lacks_a_part_cannot_be_made():
    @dataclass(frozen=True, slots=True, eq=False)
    class Half(Channelwise):
        """It says nothing of what it reads, how far a change reaches, or its rows."""

        def size(self, before):
            return before[0]

        def maps(self, *maps):
            return maps[0]

        @classmethod
        def lower(cls, reading, node, part):
            reading.add(node, cls((reading.single(node.args[0]),), 6))

    with pytest.raises(TypeError, match=r"abstract methods.*patched.*reach.*read.*step"):
        Half((0,), 6)
    with pytest.raises(TypeError, match="Half lacks"):  # where the table is made: at import
        complete({nn.ReLU: Half.lower})


BOXES = [(0, 0, 8, 8), (24, 20, 32, 32), (7, 9, 8, 10), (0, 0, 32, 32)]


@pytest.mark.parametrize("name", CASES)
def test_patches_run_the_pairs_that_matter_or_are_refused(name):
    model = loaded(seeded(Around(CASES[name](), first=False)), "relu", SIZE)
    if name not in NOT_PATCHED:
        assert occluded(model, NEEDS.values(), BOXES) <= 5e-6
        return
    for need in NEEDS.values():
        with pytest.raises(CutError, match=NOT_PATCHED[name]):
            occluded(model, [need], BOXES)


def pooled_channels_last(x):
    return F.avg_pool2d(x.permute(0, 2, 3, 1), (2, 1)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (lambda: Do(lambda x: x / (x + 1)), "divided"),
        (lambda: Do(lambda x: F.avg_pool2d(x, 2, divisor_override=3)), "no fast form"),
        (lambda: nn.Conv2d(6, 6, 3, padding="same"), "unusually padded"),
        (lambda: Do(lambda x: torch.cumsum(x, 2)), "cumsum"),
        (lambda: Do(lambda x: x * x.mean(1, keepdim=True)), "no fast form"),
        (lambda: Do(lambda x: F.layer_norm(x, (SIZE, SIZE))), "other axes than the channels"),
        (lambda: Do(lambda x: F.layer_norm(x, (6, SIZE, SIZE))), "other axes than the channels"),
        (lambda: Do(lambda x: x.permute(0, 1, 3, 2)), "axes in an order that has no fast form"),
        (lambda: Do(pooled_channels_last), "has its channels last"),
    ],
)
def test_what_has_no_rows_is_refused_by_name(middle, reason):
    model = loaded(seeded(Around(middle(), first=False)), "relu", SIZE)
    with pytest.raises(CutError, match=reason):
        compared(model, [NEEDS["corner"]], torch.float32)


# --- faults planted after the rows were verified: a control must trip -----------------------------


def engine_of(middle):
    model = loaded(seeded(Around(middle, first=True)), "relu", SIZE)
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4))
    assert engine.path == "fx+rows"
    return only_way(engine)


def explain(engine, times=1):
    for _ in range(times):
        engine.explain(picture(SIZE), region=bar_and_disc(SIZE))


def mixture():
    """What one channel changes meets a residual, then a depthwise convolution."""
    return nn.Sequential(Residual(), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.MaxPool2d(3, 2, 1))


def test_the_healthy_rows_pass():
    explain(engine_of(mixture()), times=3)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda taps: np.roll(taps, 1, axis=0),
        lambda taps: np.roll(taps, 1, axis=1),
        lambda taps: np.maximum(taps, 0),
    ],
    ids=["pixel", "tap", "border"],
)
def test_wrong_taps_trip_the_null_control(monkeypatch, wrong):
    engine = engine_of(mixture())
    right = Local._taps
    monkeypatch.setattr(geometry, "DENSE_FROM", 2)
    monkeypatch.setattr(Local, "_taps", lambda self, pixels: wrong(right(self, pixels)))
    region = np.zeros((SIZE, SIZE), np.uint8)
    region[:3, 4:20], region[10:13, 10:13] = 1, 2
    with pytest.raises(NullControlError):
        engine.explain(picture(SIZE), region=region)


@pytest.mark.parametrize("lost", ["bias", "scale"])
def test_a_lost_bias_or_weights_of_a_neighbour_trip_the_null_control(monkeypatch, lost):
    engine = engine_of(mixture())
    monkeypatch.setattr(geometry, "DENSE_FROM", 2)
    found = engine._setup.operations
    place = next(i for i, o in enumerate(found) if isinstance(o, Local) and o.bias is not None)
    other = None if lost == "bias" else found[place].scale.roll(1, 1)
    found[place] = replace(found[place], **{lost: other})
    with pytest.raises(NullControlError):
        explain(engine)


def test_a_wrong_channel_in_an_addition_trips_the_spot_check(monkeypatch):
    engine = engine_of(mixture())
    right = Layout._changed

    def neighbour(self, place, stored, constant):
        value = self.values[place]
        if value.change is not None:
            self.values[place] = replace(value, change=value.change.roll(1, 0))
        return right(self, place, stored, constant)

    monkeypatch.setattr(Layout, "_changed", neighbour)
    with pytest.raises(AblationError, match="spot check failed") as caught:
        explain(engine, times=6)
    assert not isinstance(caught.value, NullControlError)


def test_what_a_patch_reaches_is_found_by_running_it():
    """An output changes only inside the rectangle that is run again."""
    for made in (CASES[name]() for name in ("bilinear x1.7", "maximum", "depthwise stride")):
        model = loaded(seeded(Around(made, first=False)), "relu", SIZE)
        x = probe_batch(model)[:1]
        with torch.no_grad():
            found = whole_model_operations(model, x)
        one = next(o for o in found if isinstance(o, Local))
        maps = torch.zeros(1, 6, one.rows.length, one.columns.length)
        box = np.array([[5, 6, 9, 8]])
        maps[:, :, 5:9, 6:8] = torch.rand(4, 2) + 1
        with torch.no_grad():
            different = (one.dense(maps) != one.dense(torch.zeros_like(maps)))[0].any(0)
        top, left, bottom, right = one.reach([box])[0]
        different[top:bottom, left:right] = False
        assert not different.any()
        assert (bottom - top) * (right - left) < different.numel() / 2


@pytest.mark.parametrize("rows", [True, False], ids=["fx+rows", "fx"])
@pytest.mark.parametrize("function", [True, False], ids=["function", "module"])
def test_a_group_norm_of_nearly_flat_maps_is_explained(rows, function):
    """In channels-last memory torch's group norm keeps no digit of them, and the null control
    refused every map of such a picture."""
    norm = Do(lambda x: F.group_norm(x, 3)) if function else nn.GroupNorm(3, 6)
    middle = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), norm, nn.ReLU())
    model = loaded(seeded(Around(middle, first=True)), "relu", SIZE)
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4, clock=lambda: 0.0, rows=rows))
    assert engine.path == ("fx+rows" if rows else "fx")
    black = np.zeros((SIZE, SIZE, 3), np.uint8)
    black[10:13, 4:20] = 3
    engine.explain(black, region=bar_and_disc(SIZE))
