"""Models load as settings and card describe them, and what is wrong is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agent import config
from agent.config import Head, Preprocessing
from agent.models import loading
from agent.models.card import ModelCard, card_path, card_text, read_card
from agent.models.errors import ModelError
from agent.models.files import sha256_of
from agent.models.loaded import logits, preprocess
from agent.models.loading import load_model
from agent.models.unet import UNet

SMALL = Preprocessing(width_px=64, height_px=64)


def small(path, **more) -> config.Model:
    return config.Model(path=path, preprocessing=SMALL, device="cpu", **more)


def test_safetensors_load_with_what_the_built_in_network_implies(weights, net):
    model = load_model(config.Model(path=weights, device="cpu"))
    assert model.name == "peach"
    assert model.sha256 == sha256_of(weights.read_bytes())
    assert model.classes == ("background", "suture", "stem")
    assert model.head is Head.LOGITS
    assert model.layer == "encoder4.enc4relu2"
    assert (model.preprocessing.width_px, model.preprocessing.height_px) == (192, 192)
    assert model.device == torch.device("cpu")
    assert not any(part.training for part in model.module.modules())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    x = torch.rand(2, 3, 192, 192)
    assert torch.allclose(logits(model, x), net(x), atol=1e-6)


def test_the_card_beside_the_weights_declares_and_the_settings_override(weights):
    card = ModelCard(name="peach-1", classes=("background", "suture", "pit"), preprocessing=SMALL)
    card_path(weights).write_text(card_text(card))
    model = load_model(config.Model(path=weights))
    assert (model.name, model.classes, model.preprocessing) == ("peach-1", card.classes, SMALL)
    assert model.card == card
    other = load_model(config.Model(path=weights, classes=("a", "b", "c"), layer="bottleneck"))
    assert (other.classes, other.layer) == (("a", "b", "c"), "bottleneck")


def test_a_card_round_trips_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "m.card.json"
    assert read_card(path) is None
    card = ModelCard(name="m", metrics={"dice": 0.9}, overlay_range={"suture": 2.0}, notes="n")
    path.write_text(card_text(card))
    assert read_card(path) == card
    path.write_text(json.dumps({"name": "m", "clases": ["a"]}))
    with pytest.raises(ModelError, match=r"m\.card\.json: not a model card: clases"):
        read_card(path)
    path.write_text("{")
    with pytest.raises(ModelError, match="not a model card"):
        read_card(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="cannot be read as a model card"):
        read_card(path)


def test_sha256_of_settings_or_card_must_match(weights):
    with pytest.raises(ModelError, match=r"peach\.safetensors: sha256 is .* model\.sha256 says 0"):
        load_model(small(weights, sha256="0" * 64))
    right = sha256_of(weights.read_bytes())
    assert load_model(small(weights, sha256=right)).sha256 == right
    card_path(weights).write_text(card_text(ModelCard(name="m", sha256="1" * 64)))
    with pytest.raises(ModelError, match="its model card says 1"):
        load_model(small(weights))


def test_the_shipped_weights_are_the_default_and_their_absence_is_named(weights, monkeypatch):
    package = weights.parent
    (package / "weights").mkdir()
    monkeypatch.setattr(loading.importlib.resources, "files", lambda name: package)
    with pytest.raises(ModelError, match=r"no default weights; name a file in model\.path"):
        load_model(config.Model())
    shutil.copy(weights, package / "weights" / "default.safetensors")
    assert load_model(config.Model(preprocessing=SMALL)).name == "default"


def test_one_channel_of_the_public_network_is_the_suture_against_a_logit_of_0(tmp_path):
    torch.manual_seed(0)
    one = UNet(out_channels=1, init_features=4).eval()
    path = tmp_path / "brain.pt"
    torch.save(one.state_dict(), path)
    for head in (None, Head.SIGMOID):
        model = load_model(small(path, head=head))
        assert model.classes == ("background", "suture")
        x = torch.rand(2, 3, 64, 64)
        z = logits(model, x)
        assert torch.equal(z[:, 0], torch.zeros(2, 64, 64))
        assert torch.allclose(z[:, 1:], one(x), atol=1e-6)
        assert torch.allclose(z.softmax(1)[:, 1:], torch.sigmoid(one(x)), atol=1e-6)


def test_two_class_checkpoints_load(tmp_path):
    path = tmp_path / "two.pt"
    torch.save({"state_dict": UNet(out_channels=2, init_features=4).state_dict()}, path)
    assert load_model(small(path)).classes == ("background", "suture")


def test_errors_in_the_weights_name_the_file(tmp_path, net):
    path = tmp_path / "other.pt"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(ModelError, match=r"other\.pt: weights of another architecture"):
        load_model(small(path))
    state = net.state_dict()
    state["conv.bias"][0] = torch.nan
    torch.save(state, path)
    with pytest.raises(ModelError, match=r"other\.pt: conv\.bias: 1 of 3 values are NaN"):
        load_model(small(path))
    with pytest.raises(ModelError, match=r"gone\.pt: cannot be read"):
        load_model(small(tmp_path / "gone.pt"))


def test_a_suffix_that_names_no_format_lists_those_that_do(tmp_path):
    with pytest.raises(ModelError, match=r"model\.h5: its suffix names no format.*\.safetensors"):
        load_model(small(tmp_path / "model.h5"))


def test_a_layer_that_does_not_exist_lists_the_nearest_first(weights):
    with pytest.raises(ModelError) as caught:
        load_model(small(weights, layer="encoder4.enc4rleu2"))
    message = str(caught.value)
    assert "peach.safetensors: no layer 'encoder4.enc4rleu2'" in message
    assert "there are: encoder4.enc4relu2," in message


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"classes": ("background", "suture")}, "3 output channels, but 2 classes are declared"),
        ({"preprocessing": Preprocessing(width_px=100)}, "width_px: 100 is no multiple of 16"),
        (
            {"preprocessing": Preprocessing(colour="gray")},
            r"encoder1\.enc1conv1\.weight: the network takes 3 channels, but .* makes 1",
        ),
    ],
)
def test_declarations_that_do_not_fit_the_network_are_refused(weights, more, says):
    with pytest.raises(ModelError, match=says):
        load_model(config.Model(path=weights, **more))


def test_a_grey_network_of_one_channel_loads(tmp_path):
    path = tmp_path / "grey.pt"
    torch.save(UNet(in_channels=1, init_features=4).state_dict(), path)
    grey = Preprocessing(width_px=32, height_px=32, colour="gray")
    model = load_model(config.Model(path=path, preprocessing=grey))
    assert preprocess(model, np.zeros((50, 40, 3), np.uint8)).shape == (1, 32, 32)


def test_a_gpu_that_is_not_there_is_named(weights):
    with pytest.raises(ModelError, match="device cuda:63: this machine offers"):
        load_model(small(weights), device="cuda:63")


def test_auto_takes_the_gpu_where_there_is_one(weights):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert load_model(small(weights), device="auto").device.type == expected


def test_preprocess_gives_the_network_its_size_with_black_outside(weights):
    model = load_model(config.Model(path=weights, device="cpu"))
    inside = np.zeros((256, 256), bool)
    inside[:, :128] = True
    x = preprocess(model, np.full((256, 256, 3), 255, np.uint8), inside)
    assert x.shape == (3, 192, 192)
    assert x.dtype is torch.float32
    assert torch.all(x[:, :, :95] == 1.0)
    assert torch.all(x[:, :, 97:] == 0.0)


def test_weights_of_the_first_features_16_in_a_subfolder_load(tmp_path):
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    save_file(UNet(init_features=16).state_dict(), folder / "w.safetensors")
    assert load_model(small(folder / "w.safetensors")).module.init_features == 16


def test_a_card_with_classes_that_are_not_classes_is_refused(weights):
    card_path(weights).write_text(
        card_text(ModelCard(name="m", classes=("suture", "suture", "stem")))
    )
    with pytest.raises(ModelError, match="two or more different classes, found: suture, suture"):
        load_model(small(weights))
