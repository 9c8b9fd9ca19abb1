import io
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.core.perturbation import NULL, WHOLE, Item, channel, replaced
from agent.ablation.engine import Engine, Tuning
from agent.ablation.split import split, trace
from agent.config import Head
from agent.models import programs, replica
from agent.models.checks import probe_batch
from agent.models.loaded import as_logits
from tests.ablation.networks import (
    UNET_LAYER,
    DataDependent,
    InPlace,
    OneByOne,
    Residual,
    Twice,
    bar_and_disc,
    loaded,
    picture,
    seeded,
    unet,
)


def built(model, layer=None):
    with torch.no_grad():
        return split.build_split(model, layer or model.layer, probe_batch(model)[:1])


def hook_rerun(model, layer, x, item):
    """What the model itself gives with one item replaced."""
    baseline = torch.zeros(1, 1, 1, 1)
    with torch.no_grad():
        return split.HookSplit(model, layer).rerun(x, item, baseline)


def test_items_replace_exactly_their_channels_and_cells():
    activation = torch.arange(1.0, 25.0).reshape(1, 2, 3, 4)
    cells = np.zeros((3, 4), bool)
    cells[1, 2] = True
    items = [NULL, channel(1), Item(cells=cells), Item(channels=(0,), cells=cells), WHOLE]
    baseline = torch.tensor([-1.0, -2.0]).view(1, 2, 1, 1)
    out = replaced(activation, baseline, items)
    assert torch.equal(out[0], activation[0])
    assert torch.equal(out[1, 0], activation[0, 0])
    assert (out[1, 1] == -2).all()
    assert (out[2, 0, 1, 2], out[2, 1, 1, 2]) == (-1, -2)
    assert (out[2] != activation[0]).sum() == 2
    assert (out[3] != activation[0]).sum() == 1
    assert torch.equal(out[4], baseline[0].expand(2, 3, 4))
    assert out.data_ptr() != activation.data_ptr()


@pytest.mark.parametrize(
    "layer",
    [
        UNET_LAYER,
        "encoder4",  # a container: its output is that of its last part
        "encoder1.enc1relu1",
        "encoder4.enc4conv2",  # before the norm and the non-linearity
        "bottleneck.bottleneckrelu2",
        "upconv3",
        "decoder1.dec1relu2",
    ],
)
def test_the_unet_is_cut_at_any_named_layer_and_agrees_with_hook_re_runs(layer):
    model = unet()
    cut = built(model, layer)
    assert cut.name == "fx"
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        prepared = cut.prefix(x)
        items = [NULL, channel(1), WHOLE]
        batch = replaced(prepared.activation, torch.zeros(1, 1, 1, 1), items)
        out = cut.suffix(batch, prepared)
    for index, item in enumerate(items):
        expected = hook_rerun(model, layer, x, item)[0]
        assert (out[index] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_skips_enter_the_second_half_as_constants_of_batch_one():
    model = unet()
    with torch.no_grad():
        prepared = built(model).prefix(torch.randn(1, 3, 64, 64))
    shapes = sorted(tuple(c.shape) for c in prepared.constants)
    assert shapes == [(1, 8, 64, 64), (1, 16, 32, 32), (1, 32, 16, 16)]
    grown = trace.expanded(prepared.constants[0], 7)
    assert grown.data_ptr() == prepared.constants[0].data_ptr()
    assert grown.shape[0] == 7


def test_the_second_half_has_its_norms_folded_and_the_model_keeps_its_own():
    model = unet()
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    halves = trace.cut(model.module, UNET_LAYER, None)
    kinds = [type(m) for m in halves.after.modules()]
    assert nn.BatchNorm2d not in kinds
    assert all(torch.equal(before[k], v) for k, v in model.module.state_dict().items())


def test_the_tensor_before_an_in_place_relu_is_not_rewritten():
    model = loaded(seeded(InPlace()), "features")
    x = probe_batch(model)[:1]
    with torch.no_grad():
        for way in (built(model), split.HookSplit(model, "features")):
            prepared = way.prefix(x)
            kept = prepared.activation.clone()
            assert (kept < 0).any()
            way.suffix(replaced(prepared.activation, torch.zeros(1, 1, 1, 1), [NULL]), prepared)
            assert torch.equal(prepared.activation, kept)


def test_a_half_that_would_write_to_its_constants_is_not_used(caplog):
    model = loaded(seeded(Residual()), "block")
    with caplog.at_level(logging.WARNING):
        way = built(model)
    assert way.name == "replay"
    assert "ablation_slow_path" in caplog.text
    found = Engine(model, config.Ablation(), tuning=Tuning(batch=4)).explain(
        picture(16), region=bar_and_disc(16)
    )
    assert found.path == "replay"
    assert found.classes[0].spot_error < 1e-4


def test_a_model_that_cannot_be_traced_is_run_whole_and_gives_the_same_numbers():
    def numbers(module):
        model = loaded(module, "features")
        engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4))
        return engine.path, engine.explain(picture(16), region=bar_and_disc(16)).classes[0].deltas

    whole, traced = seeded(DataDependent()), seeded(OneByOne(depth=4))
    traced.load_state_dict(whole.state_dict())
    path, found = numbers(whole)
    assert path == "replay"
    path, expected = numbers(traced)
    assert path == "fx+rows"
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_cut_that_disagrees_with_the_model_is_not_used(monkeypatch, caplog):
    halves = trace.halves

    def wrong(*cut):
        found = halves(*cut)
        with torch.no_grad():
            for parameter in found.after.parameters():
                parameter.add_(0.01)
        return found

    monkeypatch.setattr(trace, "halves", wrong)
    with caplog.at_level(logging.WARNING):
        assert built(loaded(seeded(OneByOne()), "relu")).name == "replay"


def test_a_layer_called_twice_is_refused():
    model = loaded(seeded(Twice()), "features")
    with pytest.raises(AblationError, match="called 2 times"):
        Engine(model, config.Ablation())


def program(kind, module, size):
    """The module as TorchScript or as a torch.export program, loaded as the agent loads it."""
    data = io.BytesIO()
    if kind == "torchscript":
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, size, size)), data)
        return programs.load_torchscript(data.getvalue(), "m.ts")
    batch = {0: torch.export.Dim("n", min=1, max=64)}
    pair = torch.zeros(2, 3, size, size)
    torch.export.save(torch.export.export(module, (pair,), dynamic_shapes=(batch,)), data)
    return programs.load_export(data.getvalue(), "m.pt2").eval()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("kind", "path"), [("torchscript", "fx"), ("export", "export")])
def test_a_program_is_explained_by_the_layers_of_the_module_it_was_made_from(kind, path):
    eager = unet()
    model = loaded(program(kind, eager.module, 64), UNET_LAYER, 64)
    ours = Engine(model, config.Ablation(), tuning=Tuning(batch=8))
    theirs = Engine(eager, config.Ablation(), tuning=Tuning(batch=8))
    assert ours.path == path
    found, expected = (
        e.explain(picture(64), region=bar_and_disc(64)).classes[0] for e in (ours, theirs)
    )
    scale = np.abs(expected.deltas).max()
    np.testing.assert_allclose(found.deltas, expected.deltas, atol=1e-5 * scale)
    with pytest.raises(AblationError, match=r"no layer 'encoder4\.enc4'.*encoder4\.enc4relu2"):
        Engine(model, config.Ablation(), layer="encoder4.enc4")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_program_whose_source_is_no_python_is_refused_by_name():
    class Branches(OneByOne):
        def forward(self, x):
            y = self.relu(self.features(x))
            if y.dim() != 4:
                y = y[None]
            return self.head(y)

    model = loaded(torch.jit.script(seeded(Branches())), "relu")
    with pytest.raises(AblationError, match="test: its layers cannot be named: TypeError: ne"):
        Engine(model, config.Ablation())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_program_that_its_source_does_not_reproduce_is_refused(monkeypatch):
    monkeypatch.setitem(replica.NAMES, "torch", SimpleNamespace(relu=lambda x: x, **OPERATORS))
    scripted = torch.jit.trace(seeded(OneByOne()), torch.zeros(1, 3, 16, 16))
    with pytest.raises(AblationError, match="run by its source it differs from itself"):
        Engine(loaded(scripted, "relu"), config.Ablation())


OPERATORS = {"_convolution": torch._convolution}


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_fx_cannot_follow_is_cut_in_the_exported_graph():
    class Several(OneByOne):
        """A call with as many arguments as the caller likes: a proxy has no such number."""

        def forward(self, *pictures):
            return super().forward(sum(pictures))

    model = loaded(seeded(Several()), "relu")
    way = built(model)
    assert way.name == "export"
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        prepared = way.prefix(x)
        batch = replaced(prepared.activation, torch.zeros(1, 1, 1, 1), [NULL, channel(2)])
        out = way.suffix(batch, prepared)
        for index, item in enumerate((NULL, channel(2))):
            expected = hook_rerun(model, "relu", x, item)[0]
            torch.testing.assert_close(out[index], expected, rtol=1e-5, atol=1e-5)


def test_without_a_layer_anywhere_the_candidates_are_named():
    with pytest.raises(AblationError, match="features, relu, head"):
        Engine(loaded(seeded(OneByOne()), None), config.Ablation())


class Dictionary(OneByOne):
    """Several outputs by key, as torchvision's segmentation models give."""

    def forward(self, x):
        a = self.relu(self.features(x))
        return {"out": self.head(a), "aux": self.head(a.flip(1))}


def test_a_dictionary_of_outputs_is_read_by_its_key():
    model = loaded(seeded(Dictionary()), "relu", output_key="out")
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4))
    assert engine.path == "fx+rows"
    plain = loaded(seeded(OneByOne()), "relu")
    expected = Engine(plain, config.Ablation(), tuning=Tuning(batch=4))
    a, b = (e.explain(picture(16), region=bar_and_disc(16)) for e in (engine, expected))
    np.testing.assert_array_equal(a.classes[0].deltas, b.classes[0].deltas)


class Probabilities(OneByOne):
    def __init__(self, head):
        super().__init__(classes=1 if head is Head.SIGMOID else 3)
        self.kind = head

    def forward(self, x):
        z = super().forward(x)
        return torch.sigmoid(z) if self.kind is Head.SIGMOID else torch.softmax(z, 1)


@pytest.mark.parametrize("head", [Head.SIGMOID, Head.SOFTMAX])
def test_heads_of_probabilities_are_explained_in_logits(head):
    """A saturated probability knows its logit only coarsely, which the tolerance allows for."""
    module = seeded(Probabilities(head))
    with torch.no_grad():
        module.head.weight.mul_(6)
    classes = ("background", "suture") if head is Head.SIGMOID else ("background", "suture", "stem")
    model = loaded(module, "relu", classes=classes, head=head)
    engine = Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))
    region = np.minimum(bar_and_disc(16), len(classes) - 1)
    found = engine.explain(picture(16), region=region).classes[0]
    assert found.explainable
    assert np.abs(found.deltas).max() > 0.1


def test_a_program_of_fixed_batch_one_goes_item_by_item():
    seen = []

    class Counting(OneByOne):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    model = replace(loaded(seeded(Counting()), "relu"), batchable=False)
    engine = Engine(model, config.Ablation())
    engine.explain(picture(16), region=bar_and_disc(16))
    assert set(seen) == {1}


@pytest.mark.parametrize("key", ["out", "1"])
def test_several_outputs_of_a_program_of_fixed_batch_one_are_joined(key):
    class Outputs(Dictionary):
        def forward(self, x):
            assert len(x) == 1
            found = super().forward(x)
            return found if key == "out" else (found["aux"], found["out"])

    model = replace(loaded(seeded(Outputs()), "relu", output_key=key), batchable=False)
    plain = loaded(seeded(OneByOne()), "relu")
    way, x = split.HookSplit(model, "relu"), probe_batch(model)[:1]
    with torch.no_grad():
        maps = way.prefix(x).activation
        batch = replaced(maps, torch.zeros(1, 1, 1, 1), [NULL, channel(1), WHOLE])
        found = as_logits(model, way.suffix(batch, way.prefix(x)))
        torch.testing.assert_close(found, plain.module.head(batch))


def test_the_hook_goes_away_when_the_model_raises():
    class Raises(OneByOne):
        fail = False

        def forward(self, x):
            out = super().forward(x)
            if self.fail:
                raise RuntimeError("no memory")
            return out

    model = loaded(seeded(Raises()), "relu")
    way = split.HookSplit(model, "relu")
    model.module.fail = True
    with pytest.raises(RuntimeError, match="no memory"):
        way.prefix(probe_batch(model)[:1])
    assert not model.module.relu._forward_hooks
