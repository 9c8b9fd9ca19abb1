"""Networks that others made, exported to ONNX and read back: the same logits, layers and deltas."""

from __future__ import annotations

import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent import config
from agent.ablation.core.perturbation import channel
from agent.ablation.engine import Engine, Tuning
from agent.ablation.split.split import HookSplit
from agent.config import Head, Preprocessing
from agent.models.checks import probe_batch
from agent.models.layers import layer_names
from agent.models.loaded import LoadedModel, as_logits, logits
from agent.models.loading import load_model
from agent.records import Rung
from tests.ablation.networks import bar_and_disc, loaded, picture
from tests.benchmarks.tables import Cells, DisagreementError, Row, Table
from tests.support.peers import peer

SIZE, TOLERANCE = 64, 1e-5
CHANNELS = 4
MODELS = {
    "Unet(resnet18)": (lambda smp, **own: smp.Unet("resnet18", **own), "decoder.blocks.0.conv1.2"),
    "DeepLabV3(resnet18)": (
        lambda smp, **own: smp.DeepLabV3("resnet18", **own),
        "decoder.aspp.project.2",
    ),
    "Segformer(mit_b0)": (
        lambda smp, **own: smp.Segformer("mit_b0", **own),
        "decoder.fuse_stage.2",
    ),
}
EXPORTERS = {"torch.export": True, "TorchScript": False}


def table(quick: bool) -> Table:
    exporters = list(EXPORTERS)[1:] if quick else list(EXPORTERS)
    return Table(
        f"Networks read from ONNX, {SIZE} px; {CHANNELS} deltas against re-runs of the original",
        ("model", "exporter", "layer", "way", "layers of the original", "logits", "deltas", "bar"),
        [Row(f"{name}, {by}", partial(_row, name, by)) for name in MODELS for by in exporters],
    )


def _row(name: str, exporter: str) -> Cells:
    smp = peer("segmentation_models_pytorch")
    make, layer = MODELS[name]
    torch.manual_seed(0)
    net: nn.Module = make(smp, encoder_weights=None, classes=3).eval()
    original = loaded(net, layer, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        model = _read_back(net, Path(folder) / "net.onnx", EXPORTERS[exporter], layer)
    x = probe_batch(original)
    before, after = logits(original, x), logits(model, x)
    difference = float((before - after).abs().max() / (before.max() - before.min()))
    if not difference <= TOLERANCE:
        raise DisagreementError(f"logits are off by {difference:.2g} of their range")
    of_original, found = set(layer_names(net, x[:1])), set(layer_names(model.module, x[:1]))
    way, off = _explained(original, model, layer)
    return (
        exporter,
        layer,
        way,
        f"{len(of_original & found)} of {len(of_original)}",
        f"{difference:.1e}",
        f"{off:.1e}",
        f"{TOLERANCE:.0e} of the range: met",
    )


def _read_back(net: nn.Module, path: Path, by_export: bool, layer: str) -> LoadedModel:
    x = torch.rand(2, 3, SIZE, SIZE)
    more: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    if by_export:
        more = {"dynamic_shapes": ({0: torch.export.Dim("n", min=1, max=64)},), "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), str(path), dynamo=by_export, **more)
    return load_model(
        config.Model(
            path=path,
            classes=("background", "suture", "stem"),
            head=Head.LOGITS,
            preprocessing=Preprocessing(width_px=SIZE, height_px=SIZE),
            layer=layer,
            device="cpu",
        )
    )


def _explained(original: LoadedModel, model: LoadedModel, layer: str) -> tuple[str, float]:
    """The way it is run, and how far the deltas of the strongest channels are from plain re-runs
    of the original with a hook, relative to the largest."""
    engine = Engine(model, config.Ablation(classes=("suture",)), tuning=Tuning(batch=4))
    image, region = picture(SIZE), bar_and_disc(SIZE)
    found = engine.explain(image, region=region, rung=Rung.EXACT)
    deltas = found.classes[0].deltas
    plain, x = HookSplit(original, layer), torch.from_numpy(found.input)[None]
    mask = torch.from_numpy(region == 1)

    def score(output: object) -> float:
        z = as_logits(original, output, (SIZE, SIZE))[0].double()[:, mask]
        return float((z[1] - torch.logsumexp(z[[0, 2]], 0)).mean())

    with torch.no_grad():
        y = score(original.module(x))
        baseline: Tensor = torch.zeros(1, 1, 1, 1)
        off = [
            abs(y - score(plain.rerun(x, channel(int(k)), baseline)) - deltas[k])
            for k in np.argsort(-np.abs(deltas))[:CHANNELS]
        ]
    return engine.path, max(off) / float(np.abs(deltas).max())
