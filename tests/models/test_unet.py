"""The built-in U-Net has the public network's names and widths, and reads them off its weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agent.models.errors import ModelError
from agent.models.unet import UNet, unet_from_state_dict


def test_state_dict_has_the_names_and_shapes_of_the_public_network():
    state = UNet(init_features=32).state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["encoder1.enc1conv1.weight"] == (32, 3, 3, 3)
    assert shapes["encoder1.enc1norm1.running_mean"] == (32,)
    assert shapes["encoder4.enc4conv2.weight"] == (256, 256, 3, 3)
    assert shapes["bottleneck.bottleneckconv1.weight"] == (512, 256, 3, 3)
    assert shapes["bottleneck.bottlenecknorm2.weight"] == (512,)
    assert shapes["upconv4.weight"] == (512, 256, 2, 2)
    assert shapes["upconv4.bias"] == (256,)
    assert shapes["decoder4.dec4conv1.weight"] == (256, 512, 3, 3)
    assert shapes["decoder1.dec1conv2.weight"] == (32, 32, 3, 3)
    assert shapes["conv.weight"] == (3, 32, 1, 1)
    assert shapes["conv.bias"] == (3,)
    assert "encoder1.enc1conv1.bias" not in shapes
    # 9 blocks of 2 convolutions and 2 norms of 5 tensors, 4 up-convolutions and the last one
    assert len(shapes) == 9 * 12 + 4 * 2 + 2


def test_the_last_encoder_layer_has_256_maps_of_24x24_for_a_192_px_input():
    model = UNet(init_features=32).eval()
    seen = []
    model.get_submodule("encoder4.enc4relu2").register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.inference_mode():
        out = model(torch.zeros(1, 3, 192, 192))
    assert seen[0].shape == (1, 256, 24, 24)
    assert out.shape == (1, 3, 192, 192)


def test_output_is_the_plain_composition_of_its_parts(net):
    x = torch.rand(2, 3, 64, 48)
    part = net.get_submodule
    e1 = part("encoder1")(x)
    e2 = part("encoder2")(part("pool1")(e1))
    e3 = part("encoder3")(part("pool2")(e2))
    e4 = part("encoder4")(part("pool3")(e3))
    d = part("bottleneck")(part("pool4")(e4))
    for level, skip in ((4, e4), (3, e3), (2, e2), (1, e1)):
        d = part(f"decoder{level}")(torch.cat((part(f"upconv{level}")(d), skip), 1))
    assert torch.equal(net(x), part("conv")(d))


def test_no_relu_works_in_place(net):
    relus = [layer for layer in net.modules() if isinstance(layer, nn.ReLU)]
    assert len(relus) == 18
    assert not any(relu.inplace for relu in relus)


@pytest.mark.parametrize(("inputs", "outputs", "features"), [(3, 1, 4), (1, 2, 8), (3, 3, 16)])
def test_widths_and_channels_are_read_off_the_weights(inputs, outputs, features):
    made = UNet(inputs, outputs, features).eval()
    read = unet_from_state_dict(made.state_dict())
    assert (read.in_channels, read.out_channels, read.init_features) == (inputs, outputs, features)
    x = torch.rand(1, inputs, 32, 32)
    assert torch.equal(read(x), made(x))
    assert not read.training


def test_loading_neither_shares_the_state_nor_moves_the_random_numbers(net):
    state = net.state_dict()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    read = unet_from_state_dict(state)
    assert torch.equal(torch.rand(1), expected)
    read.get_submodule("conv").bias.fill_(99.0)
    assert not torch.equal(state["conv.bias"], torch.full((3,), 99.0))


def test_missing_batch_counters_are_no_error(net):
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    read = unet_from_state_dict(state)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(read(x), net(x))


def test_half_precision_weights_are_read_as_float32(net):
    state = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    assert unet_from_state_dict(state).get_submodule("conv").weight.dtype is torch.float32


def test_a_weight_of_another_shape_is_named_with_both_shapes(net):
    state = net.state_dict() | {"decoder2.dec2conv1.weight": torch.zeros(16, 5, 3, 3)}
    with pytest.raises(ModelError) as caught:
        unet_from_state_dict(state)
    message = str(caught.value)
    assert "decoder2.dec2conv1.weight" in message
    assert "(16, 32, 3, 3)" in message
    assert "(16, 5, 3, 3)" in message


def test_another_architecture_lists_the_first_missing_and_unknown_keys():
    with pytest.raises(ModelError) as caught:
        unet_from_state_dict(nn.Conv2d(3, 3, 3).state_dict())
    message = str(caught.value)
    assert "another architecture" in message
    assert "encoder1.enc1conv1.weight" in message
    assert "and 95 more" in message
    assert "not known weight, bias" in message


def test_one_missing_and_one_unknown_key_are_both_named(net):
    state = net.state_dict()
    state["decoder9.weight"] = state.pop("upconv3.bias")
    with pytest.raises(ModelError, match=r"missing upconv3\.bias; not known decoder9\.weight"):
        unet_from_state_dict(state)
