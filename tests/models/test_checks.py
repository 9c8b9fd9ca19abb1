"""The self-test refuses what cannot be relied on; the faster model is an equal or is not used."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from agent import config
from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.checks import fits_batches, self_test, to_eval
from agent.models.errors import ModelError
from agent.models.fusing import fold_batchnorm, fused
from agent.models.layers import check_layer, layer_names
from agent.models.loaded import LoadedModel, as_logits, logits
from agent.models.loading import load_model

CLASSES = ("background", "suture", "stem")


def loaded(module: nn.Module, classes=CLASSES, head=Head.LOGITS, key=None) -> LoadedModel:
    return LoadedModel(
        module=module,
        name="m",
        sha256="",
        classes=classes,
        head=head,
        preprocessing=Preprocessing(width_px=32, height_px=32),
        layer=None,
        output_key=key,
        device=torch.device("cpu"),
        card=ModelCard(name="m"),
    )


class Give(nn.Module):
    """Returns what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_sound_model_passes(net):
    self_test(loaded(net))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad):
    with pytest.raises(ModelError, match="NaN or infinite logits"):
        self_test(loaded(Give(lambda x: x * bad)))


def test_dropout_that_stays_active_is_noticed():
    with pytest.raises(ModelError, match="two runs of one input differ"):
        self_test(loaded(Give(lambda x: F.dropout(x, 0.5, training=True)).eval()))


def test_batchnorm_over_the_batch_is_noticed_inside_a_forward():
    norm = Give(lambda x: F.batch_norm(x, None, None, training=True)).eval()
    with pytest.raises(ModelError, match="BatchNorm works in training mode"):
        self_test(loaded(norm))


def test_a_forward_that_fails_is_named_with_the_shape():
    with pytest.raises(ModelError, match=r"m: fails on an input of shape \(3, 32, 32\)"):
        self_test(loaded(nn.Conv2d(5, 3, 1)))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x[0], r"expected an output of shape \(N, C, h, w\), found \(3, 32, 32\)"),
        (lambda x: "mask", "found str"),
        (lambda x: (x, x), "returns 2 outputs"),
        (lambda x: x[:, :2], "2 output channels, but 3 classes"),
    ],
)
def test_an_output_of_another_form_is_named(function, says):
    with pytest.raises(ModelError, match=says):
        self_test(loaded(Give(function)))


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


class ClassNumbers(nn.Module):
    def forward(self, x):
        return x.argmax(1, keepdim=True).expand(-1, 3, -1, -1)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Two(), r"fails on an input of shape \(3, 32, 32\): .*missing 1 required .* 'y'"),
        (ClassNumbers(), "its output is int64: expected scores"),
        (nn.Conv2d(3, 3, 1).half(), "its weights are float16, its input is float32"),
    ],
)
def test_a_network_of_another_kind_is_named(module, says):
    model = loaded(module.eval())
    if not isinstance(module, ClassNumbers):
        assert not fits_batches(model)
    with pytest.raises(ModelError, match=says):
        self_test(model)


def test_one_of_several_outputs_is_chosen_by_number():
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(logits(loaded(Give(lambda x: (x, -x)), key="1"), x), -x)


def test_training_mode_is_switched_off_and_checked(net):
    module = copy.deepcopy(net).train().requires_grad_(True)
    to_eval(module, "m")
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_module_that_stays_in_training_mode_is_refused():
    class Stubborn(nn.BatchNorm2d):
        def train(self, mode=True):
            return super().train(True)

    with pytest.raises(ModelError, match="m: 1 stays in training mode"):
        to_eval(nn.Sequential(nn.Conv2d(3, 3, 1), Stubborn(3)), "m")


def test_batchnorm_without_running_statistics_is_refused():
    module = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(ModelError, match="m: 0: BatchNorm without running statistics"):
        to_eval(module, "m")


def test_a_network_that_takes_one_picture_only_is_noticed():
    def one(x):
        if len(x) != 1:
            raise ValueError("one at a time")
        return x

    assert not fits_batches(loaded(Give(one)))
    assert fits_batches(loaded(Give(lambda x: x)))


# --- heads ---------------------------------------------------------------------------------------


def test_sigmoid_becomes_a_pair_of_logits_with_a_zero():
    z = torch.linspace(-12, 12, 64).view(1, 1, 8, 8)
    model = loaded(nn.Identity(), classes=("background", "suture"), head=Head.SIGMOID)
    pair = as_logits(model, torch.sigmoid(z))
    assert torch.equal(pair[:, :1], torch.zeros_like(z))
    assert torch.allclose(pair[:, 1:], z, atol=0.05)


def test_a_saturated_sigmoid_stays_finite():
    model = loaded(nn.Identity(), classes=("background", "suture"), head=Head.SIGMOID)
    p = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert torch.isfinite(as_logits(model, p)).all()


def test_sigmoid_channels_for_all_classes_but_the_first_get_a_background():
    p = torch.rand(1, 2, 4, 4)
    z = as_logits(loaded(nn.Identity(), head=Head.SIGMOID), p)
    assert z.shape == (1, 3, 4, 4)
    assert torch.allclose(z[:, 1:], torch.logit(p), atol=1e-5)


def test_softmax_keeps_every_margin():
    z = torch.randn(1, 3, 4, 4)
    back = as_logits(loaded(nn.Identity(), head=Head.SOFTMAX), z.softmax(1))
    margin = z[:, 0] - torch.logsumexp(z[:, 1:], 1)
    assert torch.allclose(back[:, 0] - torch.logsumexp(back[:, 1:], 1), margin, atol=1e-4)


def test_a_missing_channel_is_never_guessed_for_several_logits_or_softmax():
    with pytest.raises(ModelError, match="2 output channels, but 3 classes"):
        as_logits(loaded(nn.Identity()), torch.rand(1, 2, 4, 4))
    one = loaded(nn.Identity(), classes=("background", "suture"), head=Head.SOFTMAX)
    with pytest.raises(ModelError, match="1 output channels, but 2 classes"):
        as_logits(one, torch.rand(1, 1, 4, 4))


def test_a_coarser_output_is_brought_to_the_inputs_grid():
    coarse = loaded(Give(lambda x: F.avg_pool2d(x, 4)))
    x = torch.rand(2, 3, 32, 32)
    expected = F.interpolate(F.avg_pool2d(x, 4), size=(32, 32), mode="bilinear")
    assert torch.equal(logits(coarse, x), expected)


# --- the faster model ----------------------------------------------------------------------------


def events(caplog) -> list[tuple[str, dict]]:
    return [(record.message, record.fields) for record in caplog.records]


def test_the_folded_network_equals_the_plain_one(weights, net, caplog):
    caplog.set_level(logging.INFO)
    model = load_model(config.Model(path=weights, device="cpu"))
    faster = fused(model)
    assert faster.module is not model.module
    kinds = [type(part) for part in faster.module.modules()]
    assert nn.BatchNorm2d not in kinds
    assert nn.ReLU in kinds
    x = torch.rand(2, 3, 192, 192)
    expected = net(x)
    difference = (logits(faster, x) - expected).abs().max()
    assert difference <= 1e-4 * max(1.0, float(expected.abs().max()))
    assert torch.equal(logits(model, x), expected)  # the given model is untouched
    assert events(caplog)[-1][0] == "model_fused"
    assert events(caplog)[-1][1]["folded"] == 18


def test_weights_of_the_folded_network_are_channels_last(net):
    weight = fused(loaded(net)).module.get_submodule("encoder2.enc2conv1").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_transposed_convolution_is_folded_too():
    torch.manual_seed(0)
    up = nn.Sequential(nn.ConvTranspose2d(3, 5, 2, stride=2), nn.BatchNorm2d(5)).eval()
    up[1].running_mean.normal_()
    up[1].running_var.uniform_(0.5, 2)
    folded, count = fold_batchnorm(up)
    x = torch.rand(1, 3, 8, 8)
    assert count == 1
    assert torch.allclose(folded(x), up(x), atol=1e-6)


def test_a_convolution_that_feeds_something_else_is_left_alone():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y

    module = Fork().eval()
    folded, count = fold_batchnorm(module)
    x = torch.rand(1, 3, 8, 8)
    assert count == 0
    assert torch.equal(folded(x), module(x))


def test_a_convolution_called_twice_is_left_alone():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.a, self.b = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.a(self.conv(x)) + self.b(self.conv(x))

    assert fold_batchnorm(Twice().eval())[1] == 0


@pytest.mark.parametrize("function", [True, False], ids=["function", "module"])
def test_a_group_norm_keeps_the_layout_in_which_it_is_exact(function):
    """Channels last, a nearly flat map came out 0.4 of a deviation off."""

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(2, 8)

        def forward(self, x):
            return F.group_norm(x, 2) if function else self.norm(x)

    flat = 3 + 0.01 * torch.randn(2, 8, 64, 64, generator=torch.Generator().manual_seed(0))
    folded, _ = fold_batchnorm(Normed().eval())
    found = folded(flat.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(found, F.group_norm(flat.double(), 2).float(), atol=1e-3)


def test_a_forward_that_cannot_be_traced_keeps_the_plain_model(caplog):
    model = loaded(Give(lambda x: x if x.sum() > 0 else -x))
    assert fused(model) is model
    message, fields = events(caplog)[-1]
    assert message == "model_not_fused"
    assert "Trace" in fields["reason"]


def test_a_folded_model_that_differs_is_not_used(net, caplog, monkeypatch):
    def wrong(module):
        folded, count = fold_batchnorm(module)
        folded.get_submodule("conv").bias.add_(0.01)
        return folded, count

    monkeypatch.setattr("agent.models.fusing.fold_batchnorm", wrong)
    model = loaded(net)
    assert fused(model) is model
    assert "logits differ by" in events(caplog)[-1][1]["reason"]


# --- layers --------------------------------------------------------------------------------------


def test_layers_are_named_in_call_order_and_hooks_are_removed(net):
    names = layer_names(net, torch.zeros(1, 3, 32, 32))
    assert names[0] == "encoder1.enc1conv1"
    assert names[-1] == "conv"
    assert names.index("encoder4.enc4relu2") < names.index("bottleneck.bottleneckrelu2")
    assert not any(part._forward_hooks for part in net.modules())


def test_hooks_are_removed_when_the_forward_fails(net):
    with pytest.raises(RuntimeError):
        layer_names(net, torch.zeros(1, 4, 32, 32))
    assert not any(part._forward_hooks for part in net.modules())


def test_layers_without_maps_are_no_candidates():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten())
    assert layer_names(module, torch.zeros(1, 3, 4, 4)) == ["0"]
    with pytest.raises(ModelError, match="no layer '1' that gives activation maps; there are: 0"):
        check_layer("1", ["0"], "m")
