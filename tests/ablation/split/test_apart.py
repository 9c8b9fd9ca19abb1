"""Whether items of one batch stay apart: what mixes them is never called proven."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agent import config
from agent.ablation.engine import Engine, Tuning
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split import apart, trace
from agent.ablation.split.apart import why_mixed
from agent.ablation.split.followed import ITEMS
from agent.ablation.split.layerwise import is_layerwise
from agent.ablation.split.split import HookSplit
from agent.ablation.split.trace import CutError
from agent.models.checks import probe_batch
from agent.models.fusing import fused
from agent.models.loading import load_model
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded

CONV = nn.Conv2d(6, 6, 3, padding=1).requires_grad_(False)
HEADS = nn.MultiheadAttention(6, 2, batch_first=True).eval().requires_grad_(False)
LINEAR = nn.Linear(6, 6).requires_grad_(False)


def heads(y):
    """(N, 6, 8, 8) -> (N, 2, 64, 3): two heads of an attention over the pixels."""
    return y.flatten(2).reshape(y.shape[0], 2, 3, 64).transpose(2, 3)


def windows(y):
    parts = y.view(-1, 6, 2, 4, 2, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 6).softmax(1)
    return parts.view(-1, 2, 2, 4, 4, 6).permute(0, 5, 1, 3, 2, 4).reshape(-1, 6, 8, 8)


APART = {
    "convolution and what follows": lambda y: F.max_pool2d(CONV(y).relu_().add_(y), 2),
    "largest of each item": lambda y: y / y.amax((1, 2, 3), keepdim=True),
    "concatenation": lambda y: torch.cat((y, y.sigmoid()), 1).sort(1)[0],
    "a token for all": lambda y: torch.cat((torch.ones(1, 1, 8, 8).expand(len(y), -1, 8, 8), y), 1),
    "norms of each": lambda y: F.layer_norm(F.group_norm(y, 3), (8, 8)),
    "gate": lambda y: F.adaptive_avg_pool2d(y, 1).sigmoid() * y,
    "interpolation": lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"),
    "linear": lambda y: LINEAR(y.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(y.shape),
    "attention": lambda y: F.scaled_dot_product_attention(heads(y), heads(y), heads(y)),
    "attention by hand": lambda y: (heads(y) @ heads(y).transpose(-1, -2)).softmax(-1) @ heads(y),
    "attention as a module": lambda y: HEADS(*[y.flatten(2).transpose(1, 2)] * 3)[0],
    "windows": windows,
    "einsum": lambda y: torch.einsum("bchw,cd->bdhw", y, torch.eye(6)),
    "padding": lambda y: F.pad(y, (1, 1, 1, 1))[:, 1:, 1:-1],
}

MIXED = {
    "mean over items": lambda y: y - y.mean(0, keepdim=True),
    "largest of all": lambda y: y / y.max(),
    "branch": lambda y: y if y[:, 3].max() > 0 else -y,
    "branch that is caught": lambda y: caught(y),
    "branch without a branch": lambda y: torch.where(y[:, 3].max() > 0, y, -y),
    "number read off": lambda y: y * y[0, 0, 0, 0].item(),
    "numpy": lambda y: y * float(y.numpy().sum()),
    "list": lambda y: y * y.flatten().tolist()[0],
    "sorted over items": lambda y: y.sort(0)[0],
    "sum so far": lambda y: y.cumsum(0),
    "turned round": lambda y: y + y.flip(0),
    "moved on": lambda y: y.roll(1),
    "picked": lambda y: y[torch.arange(len(y) - 1, -1, -1)],
    "first item": lambda y: y - y[:1],
    "dropout": lambda y: F.dropout(y, 0.5),
    "noise": lambda y: y + torch.randn(y.shape),
    "by place": lambda y: y * torch.arange(len(y)).view(-1, 1, 1, 1),
    "written to one for all": lambda y: torch.zeros(y.shape).copy_(y),
    "statistics of the batch": lambda y: F.batch_norm(y, None, None, training=True),
    "items by items": lambda y: (y.flatten(1) @ y.flatten(1).t()).mean(1)[:, None] * y.flatten(1),
    "every pair": lambda y: (y[:, None] * y[None]).sum(1),
    "a fixed shape": lambda y: y.reshape(6, -1).softmax(1).reshape(y.shape),
    "nothing of the items": lambda y: torch.ones(y.shape),
    "an operator without a rule": lambda y: torch.fft.fft(y).real,
}


def caught(y):
    try:
        return y * float(y.sum())
    except Exception:  # noqa: BLE001
        return y


@pytest.mark.parametrize("name", APART)
def test_what_works_on_each_item_alone_is_proven_to(name):
    x = torch.rand(1, 6, 8, 8)
    with torch.no_grad():
        assert why_mixed(APART[name], [x], ()) == ""
        several = torch.rand(4, 6, 8, 8)
        together, alone = APART[name](several), [APART[name](several[i : i + 1]) for i in range(4)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_items_or_might_is_not(name):
    with torch.no_grad():
        assert why_mixed(MIXED[name], [torch.rand(1, 6, 8, 8)], ()) != ""


def test_what_is_the_same_for_all_items_is_no_mixing_and_what_is_not_is():
    x, skip = torch.rand(1, 6, 8, 8), torch.rand(1, 6, 8, 8)
    with torch.no_grad():
        assert why_mixed(lambda y, s: torch.cat((y, s), 1), [x], [skip]) == ""
        assert why_mixed(lambda y, s: y + s, [x], [torch.rand(6, 8, 8)]) == ""
        assert "by their place" in why_mixed(lambda y, s: y + s, [x], [torch.rand(ITEMS, 6, 8, 8)])


def traced(make):
    """A graph of layers made in ``make(batch of (N, 6, 8, 8))``."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(6, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.relu = nn.ReLU(inplace=True)
            self.kept = nn.Dropout2d(0.5)
            self.pool = nn.MaxPool2d(2)
            self.up = nn.ConvTranspose2d(6, 6, 2, stride=2)
            self.statistics = nn.BatchNorm2d(6, track_running_stats=False)
            self.own = Own(6, 6, 3, padding=1)

        def forward(self, y):
            return make(self, y)

    return torch.fx.symbolic_trace(Network().eval().requires_grad_(False))


class Own(nn.Conv2d):
    """A layer of somebody's own, which may do anything."""

    def forward(self, y):
        return super().forward(y - y.mean(0, keepdim=True))


LAYERWISE = {
    "block": lambda net, y: net.relu(net.norm(net.conv(y))),
    "skip": lambda net, y: torch.cat((net.up(net.pool(y)), y), 1),
    "residual": lambda net, y: F.relu(net.conv(y) + y * 0.5),
    "interpolation": lambda net, y: F.interpolate(net.pool(y), scale_factor=2, mode="bilinear"),
    "several outputs": lambda net, y: {"out": net.conv(y), "aux": net.pool(y)},
}
NOT_LAYERWISE = {
    "items joined": lambda net, y: torch.cat((net.conv(y), y), 0)[: y.shape[0]],
    "items joined at last": lambda net, y: torch.cat((net.conv(y), y)),
    "a layer of its own": lambda net, y: net.own(y),
    "statistics of the batch": lambda net, y: net.statistics(y),
    "written to an input": lambda net, y: net.relu(y),
    "written to an input that was passed on": lambda net, y: net.relu(net.kept(y)),
    "a tensor that is none of the inputs": lambda net, y: net.conv(y) * net.conv.bias,
    "written to an input by a function": lambda net, y: F.relu(y, inplace=True),
    "a method": lambda net, y: net.conv(y).flip(0),
}


@pytest.mark.parametrize("name", LAYERWISE)
def test_plain_layers_are_known_without_following_a_batch_and_following_one_says_the_same(
    name, monkeypatch
):
    graph, x = traced(LAYERWISE[name]), torch.rand(1, 6, 8, 8)
    assert is_layerwise(graph, [x], ())
    assert why_mixed(graph, [x], ()) == ""
    monkeypatch.setattr(apart, "is_layerwise", lambda *_: False)
    assert why_mixed(graph, [x], ()) == ""


@pytest.mark.parametrize("name", NOT_LAYERWISE)
def test_whatever_is_more_than_plain_layers_is_followed(name):
    assert not is_layerwise(traced(NOT_LAYERWISE[name]), [torch.rand(1, 6, 8, 8)], ())


def test_layers_that_are_hooked_or_trained_and_inputs_of_other_shapes_are_followed():
    graph, x = traced(LAYERWISE["block"]), torch.rand(1, 6, 8, 8)
    for inputs in ([torch.rand(6, 8, 8)], [torch.rand(2, 6, 8, 8)], [None]):
        assert not is_layerwise(graph, inputs, ())
    assert not is_layerwise(lambda y: y, [x], ())
    hook = graph.conv.register_forward_hook(lambda module, given, output: output.flip(0))
    assert not is_layerwise(graph, [x], ())
    hook.remove()
    assert is_layerwise(graph, [x], ())
    graph.norm.train()
    assert not is_layerwise(graph, [x], ())


def test_the_shipped_network_is_plain_layers():
    """A worker that starts with it loads no algebra system."""
    model = load_model(config.Model(), "cpu")
    with torch.no_grad():
        halves = trace.cut(model.module, model.layer, model.output_key)
        activation, *constants = halves.before(probe_batch(model)[:1])
        folded = fused(model).module
    assert is_layerwise(halves.after, [activation], constants)
    assert is_layerwise(folded, [probe_batch(model)[:1]], ())


class Branch(OneByOne):
    """What it does with a picture depends on all of the batch."""

    def forward(self, x):
        y = self.relu(self.features(x))
        if y[:, 3].max() > 0:
            return self.head(y)
        return 2 * self.head(y)


class Where(OneByOne):
    """The same without a branch, so that a tracer can follow it."""

    def forward(self, x):
        y = self.relu(self.features(x))
        z = self.head(y)
        return torch.where(y[:, 3].max() > 0, z, 2 * z)


class Centred(OneByOne):
    """Takes from each item the mean of the batch."""

    def forward(self, x):
        y = self.relu(self.features(x))
        return self.head(y) - 0.5 * self.head(y).mean(0, keepdim=True)


@pytest.mark.parametrize("network", [Branch, Where, Centred])
def test_deltas_are_those_of_single_runs_whatever_a_network_does_with_a_batch(network, monkeypatch):
    """Channel 3 decides: run beside items that have it, its own removal changed nothing."""

    def not_today(*_):
        raise CutError("not exported here")

    monkeypatch.setattr(trace, "cut_exported", not_today)
    model = loaded(seeded(network()), "relu")
    engine = Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))
    found = engine.explain(picture(16), region=bar_and_disc(16))
    assert engine.path == {Branch: "replay", Where: "fx", Centred: "fx"}[network]
    plain, x = HookSplit(model, "relu"), torch.from_numpy(found.input)[None]
    mask = torch.from_numpy(bar_and_disc(16) == 1)
    with torch.no_grad():
        maps = plain.prefix(x).activation
        logits = [model.module(x)]
        for k in range(5):
            batch = maps.clone()
            batch[:, k] = 0
            logits.append(plain.suffix(batch, plain.prefix(x)))
    margins = [z[0, 1].double() - torch.logsumexp(z[0, [0, 2]].double(), 0) for z in logits]
    expected = [float((margins[0] - one)[mask].mean()) for one in margins[1:]]
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


def test_pictures_that_would_share_a_branch_go_through_the_whole_model_one_by_one(monkeypatch):
    seen = []
    model = loaded(seeded(Centred()), "relu")
    with torch.no_grad():
        made = WholeModel(model, probe_batch(model)[:1])
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4))
    monkeypatch.setattr(made._folded.module, "forward", _counted(made._folded.module, seen))
    engine._whole.append(made)
    engine.explain(picture(16), region=bar_and_disc(16))
    assert set(seen) == {1}


def _counted(module, seen):
    right = module.forward

    def forward(x):
        seen.append(len(x))
        return right(x)

    return forward
