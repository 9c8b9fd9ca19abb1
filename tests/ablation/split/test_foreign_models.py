"""Models that others made, with random weights: cut in two, exact, and never a hook left behind."""

import numpy as np
import pytest
import torch

from agent import config
from agent.ablation.core.perturbation import channel
from agent.ablation.engine import Engine, Tuning
from agent.ablation.split.split import HookSplit
from agent.models.loaded import as_logits
from agent.records import Rung
from tests.ablation.networks import bar_and_disc, loaded, picture
from tests.support.peers import peer

SIZE = 64
SEGMENTATION = "torchvision.models.segmentation"
BARE = {"weights": None, "weights_backbone": None, "num_classes": 3}
ENCODER = {"encoder_weights": None, "classes": 3}

MODELS = {
    "Unet(mobilenet_v2)": (
        "segmentation_models_pytorch",
        lambda smp: smp.Unet("mobilenet_v2", **ENCODER),
        "encoder.features.13",
        None,
    ),
    "Unet(resnet18)": (
        "segmentation_models_pytorch",
        lambda smp: smp.Unet("resnet18", **ENCODER),
        "encoder.layer3",
        None,
    ),
    "LR-ASPP": (
        SEGMENTATION,
        lambda tv: tv.lraspp_mobilenet_v3_large(**BARE),
        "backbone.16",
        "out",
    ),
    "DeepLabV3": (
        SEGMENTATION,
        lambda tv: tv.deeplabv3_mobilenet_v3_large(**BARE),
        "backbone.16",
        "out",
    ),
    "FCN": (SEGMENTATION, lambda tv: tv.fcn_resnet50(**BARE), "backbone.layer4", "out"),
}


def spread(module):
    """BatchNorm statistics as if trained on something: random weights alone leave them neutral."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_var, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0, 0.2)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_deltas_of_a_model_that_others_made_agree_with_plain_re_runs(name):
    package, make, layer, key = MODELS[name]
    peer("segmentation_models_pytorch")  # all of them with the extra of this one: they are slow
    library = peer(package)
    torch.manual_seed(0)
    model = loaded(spread(make(library)), layer, SIZE, output_key=key)
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4))
    assert engine.path == "fx+rows"
    image, region = picture(SIZE), bar_and_disc(SIZE)
    found = engine.explain(image, region=region, rung=Rung.COARSE, deadline_s=0.0)
    plain, x = HookSplit(model, layer), torch.from_numpy(found.input)[None]
    baseline = torch.zeros(1, 1, 1, 1)
    with torch.no_grad():
        before = as_logits(model, model.module(x), (SIZE, SIZE))
    for place, record in enumerate(found.classes):
        index, mask = place + 1, torch.from_numpy(region == place + 1)
        exact = np.flatnonzero(record.exact)
        assert exact.size >= 16
        for k in exact[:4]:
            with torch.no_grad():
                again = plain.rerun(x, channel(int(k)), baseline)
            difference = margin(before, index, mask) - margin(again, index, mask)
            expected = float(difference.mean())
            scale = max(float(np.abs(record.deltas[record.exact]).max()), 1e-3)
            assert abs(record.deltas[k] - expected) <= 1e-4 * scale
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.module.modules())


def margin(logits, index, mask):
    z = logits[0].double()[:, mask]
    others = [j for j in range(len(z)) if j != index]
    return z[index] - torch.logsumexp(z[others], 0)
