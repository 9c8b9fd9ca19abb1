"""Every architecture of segmentation_models_pytorch, and three trained networks: are the deltas as
exact as plain float32 re-runs, and is a plain re-run ever faster?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from agent import config
from agent.ablation.core import plan
from agent.ablation.core.case import Case, load_case, target
from agent.ablation.core.errors import AblationError
from agent.ablation.core.perturbation import NULL, channel, replaced
from agent.ablation.engine import Engine
from agent.ablation.run import estimate
from agent.ablation.run.job import Job
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel, as_logits
from agent.records import Rung
from agent.simulator.render import Renderer
from tests.ablation.networks import bar_and_disc, loaded, picture
from tests.ablation.split.test_foreign_models import BARE, SEGMENTATION, spread
from tests.benchmarks.measuring import Took, median, ratio, took
from tests.benchmarks.tables import Cells, Row, Table
from tests.support.peers import peer

SIZE, STRIDE = 64, 16
"""Pixels of the input, and of it in a cell of the layer that is ablated."""
RANDOM, STRONGEST, TIMED, ROUNDS = 10, 3, 8, 3
PICTURES, MOST_PICTURES, RESAMPLES = 8, 32, 1000
"""A picture's own rounding is common to all its channels, so of few pictures chance decides: where
Pitwatch's error is the larger one, more of them are asked, and then what their spread allows."""
SLOWER = 1.05
"""A plain re-run may be faster by so much: two runs of one thing differ by as much."""
STEPS, TRAINED = 30, 4
"""Of the training of the trained ones, and pictures a step."""
UNETS = ("resnet18", "mobilenet_v2", "efficientnet-b0", "densenet121", "vgg11_bn", "mit_b0")
OTHERS = {
    "UnetPlusPlus": "resnet18",
    "FPN": "resnet18",
    "Linknet": "resnet18",
    "MAnet": "resnet18",
    "PAN": "resnet18",
    "DeepLabV3": "resnet18",
    "DeepLabV3Plus": "resnet18",
    "UPerNet": "resnet18",
    "Segformer": "mit_b0",
    "DPT": "tu-vit_tiny_patch16_224",
}

LARGER = {"PAN": 128, "DPT": 224}
"""Sizes that these need."""


@dataclass(frozen=True, slots=True)
class Network:
    """``key``: of its output; ``trained``: for some steps on simulated pictures."""

    make: Callable[[], nn.Module]
    key: str | None = None
    trained: bool = False
    size: int = SIZE


def _smp(architecture: str, encoder: str) -> nn.Module:
    library = peer("segmentation_models_pytorch")
    options: dict[str, Any] = {"encoder_weights": None, "classes": 3}
    made: nn.Module = getattr(library, architecture)(encoder, **options)
    return made


def _torchvision(name: str) -> nn.Module:
    made: nn.Module = getattr(peer(SEGMENTATION), name)(**BARE)
    return made


NETWORKS: dict[str, Network] = {
    "LR-ASPP, trained": Network(
        partial(_torchvision, "lraspp_mobilenet_v3_large"), "out", trained=True
    ),
    "DeepLabV3(mobilenet_v3), trained": Network(
        partial(_torchvision, "deeplabv3_mobilenet_v3_large"), "out", trained=True
    ),
    "Unet(mobilenet_v2), trained": Network(partial(_smp, "Unet", "mobilenet_v2"), trained=True),
    **{f"Unet({name})": Network(partial(_smp, "Unet", name)) for name in UNETS},
    **{
        f"{kind}({name})": Network(partial(_smp, kind, name), size=LARGER.get(kind, SIZE))
        for kind, name in OTHERS.items()
    },
}


def table(quick: bool) -> Table:
    names = list(NETWORKS)[3:5] if quick else list(NETWORKS)
    return Table(
        f"Networks that others made, {SIZE} px, channels of a layer of {STRIDE} px a cell: "
        f"{TIMED} timed, {RANDOM} random and the {STRONGEST} likely strongest against float64",
        (
            "network",
            "layer",
            "channels",
            "way",
            "plain re-run ms",
            "Pitwatch ms",
            "ratio",
            "error: plain float32",
            "Pitwatch",
            "bars",
            "faster ways that were not taken",
        ),
        [Row(name, partial(_row, NETWORKS[name])) for name in names],
    )


def _row(network: Network) -> Cells:
    torch.manual_seed(0)
    module = network.make()
    module = _trained(module, network) if network.trained else spread(module)
    size = network.size
    model = loaded(module, None, size, output_key=network.key)
    layer = _layer(model)
    try:
        engine = Engine(model, config.Ablation(classes=("suture",)), layer)
    except AblationError as error:
        return [layer, f"refused: {error}"]
    plain, ours = _errors(engine, size)
    his, mine = _times(engine, size)
    slower = mine.wall_s / his.wall_s
    return (
        layer,
        str(engine.channels),
        engine.path,
        f"{1000 * his.wall_s:.1f}",
        f"{1000 * mine.wall_s:.1f}",
        ratio(his, mine),
        f"{_size_of(plain):.1e}",
        f"{_size_of(ours):.1e}",
        f"error: {_verdict(plain, ours)}; time: {'met' if slower <= SLOWER else 'missed'}",
        "; ".join(line.replace("|", "/")[:120] for line in engine.ways_left),
    )


def _layer(model: LoadedModel) -> str:
    """The last layer of the encoder that has ``STRIDE`` pixels a cell, or half of them."""
    x = probe_batch(model)[:1]
    calls: dict[str, int] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    handles = []

    def seen(name: str, output: object) -> None:
        calls[name] = calls.get(name, 0) + 1
        if isinstance(output, Tensor) and output.ndim == 4:
            sizes[name] = tuple(output.shape[2:])

    for name, part in model.module.named_modules():
        if name and not isinstance(part, nn.Dropout):  # of attention: tokens by tokens, no map
            handles.append(part.register_forward_hook(lambda _m, _i, o, n=name: seen(n, o)))
    with torch.no_grad():
        model.module(x)
    for handle in handles:
        handle.remove()
    for stride in (STRIDE, STRIDE // 2):
        cells = (int(x.shape[2]) // stride, int(x.shape[3]) // stride)
        once = [name for name, size in sizes.items() if size == cells and calls[name] == 1]
        encoder = [name for name in once if name.startswith(("encoder", "backbone"))]
        if encoder:
            return encoder[-1]
    raise LookupError("no layer of the encoder has maps of that size")


def _case(engine: Engine, size: int, seed: int) -> Case:
    with torch.no_grad():
        return load_case(engine.model, picture(size, seed), None, bar_and_disc(size))


Errors = list[NDArray[np.float64]]


def _errors(engine: Engine, size: int) -> tuple[Errors, Errors]:
    """Of plain float32 re-runs and of Pitwatch, against float64: by picture those of its channels,
    of the largest delta."""
    rng = np.random.default_rng(0)
    plain: Errors = []
    ours: Errors = []
    wide = copy.deepcopy(engine.model.module).double()
    while not plain or (len(plain) < MOST_PICTURES and _size_of(ours) > _size_of(plain)):
        for seed in range(len(plain), len(plain) + PICTURES):
            case = _case(engine, size, seed)
            chosen, found = _ours(engine, case, rng)
            x = case.x
            exact = _drops(engine, wide, x.double(), chosen, size)
            single = _drops(engine, engine.model.module, x, chosen, size)
            scale = float(np.abs(exact).max())
            plain.append((single - exact) / scale)
            ours.append((found - exact) / scale)
    return plain, ours


def _size_of(errors: Errors) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate(errors)))))


def _verdict(plain: Errors, ours: Errors) -> str:
    """Met where ours is not the larger one; else with the 95 % interval of the ratio by bootstrap
    over pictures: no difference is shown where that holds 1."""
    ratio = _size_of(ours) / _size_of(plain)
    if ratio <= 1:
        return f"met, {len(plain)} pictures"
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(plain), (RESAMPLES, len(plain)))
    ratios = [_size_of([ours[i] for i in d]) / _size_of([plain[i] for i in d]) for d in drawn]
    low, high = np.percentile(ratios, (2.5, 97.5))
    interval = f"{ratio:.2f} [{low:.2f}, {high:.2f}] of plain, {len(plain)} pictures"
    return f"missed, {interval}" if low > 1 else f"no difference shown, {interval}"


def _ours(
    engine: Engine, case: Case, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Random channels and those whose gradient names them the strongest, with their deltas as an
    explanation has them, null control included."""
    setup = engine._setup
    with torch.no_grad():
        targets = [target(engine.model, case, "suture")]
        job = Job(setup, case, targets, Rung.EXACT, np.random.default_rng(0))
        estimates = estimate.gradient_times_activation(
            engine.model, setup.split, job._prepared, setup.baseline, targets
        )
        some = rng.choice(engine.channels, min(RANDOM, engine.channels), replace=False)
        chosen = np.unique([*estimate.order(estimates)[:STRONGEST], *some])
        items = plan.channels(chosen.tolist())
        first = plan.controls(tuple(job.activation.shape[2:]))
        if setup.operations is None:
            job._run_items(job._runners.wide(len(first) + len(items)), [*first, *items])
        else:
            wide = job._runners.wide(len(first))
            job._run_items(wide, first)
            job._run_items(job._channel_runner(wide, len(items)), items)
    return chosen, np.asarray(job.ledger.deltas[0, chosen])


def _drops(
    engine: Engine, module: nn.Module, x: Tensor, channels: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """The drop of the mean margin over M, one plain re-run a channel."""
    mask = torch.from_numpy(bar_and_disc(size) == 1)
    margins = []
    for k in (-1, *channels):
        z = _plain(engine, module, x, int(k))[0].double()[:, mask]
        margins.append(z[1] - torch.logsumexp(z[[0, 2]], 0))
    return np.array([float((margins[0] - one).mean()) for one in margins[1:]])


def _plain(engine: Engine, module: nn.Module, x: Tensor, k: int) -> Tensor:
    """(1, classes, h, w) logits by a hook, as anybody would write it; no channel for -1."""

    def ablate(_module: object, _inputs: object, output: Tensor) -> Tensor:
        item = NULL if k < 0 else channel(k)
        return replaced(output, torch.zeros_like(output[:, :, :1, :1]), [item])

    handle = module.get_submodule(engine.layer).register_forward_hook(ablate)
    try:
        with torch.no_grad():
            return as_logits(engine.model, module(x), (int(x.shape[2]), int(x.shape[3])))
    finally:
        handle.remove()


def _times(engine: Engine, size: int) -> tuple[Took, Took]:
    """A channel's share of all that some channels need, from the picture to their logits."""
    case = _case(engine, size, 0)
    count = min(TIMED, engine.channels)

    def theirs() -> None:
        for k in range(-1, count):
            _plain(engine, engine.model.module, case.x, k)

    def ours() -> None:
        with torch.no_grad():
            found = [target(engine.model, case, "suture")]
            job = Job(engine._setup, case, found, Rung.EXACT, np.random.default_rng(0))
            if engine._setup.operations is not None:
                runner = job._runners.channels(count)
            else:
                runner = job._runners.wide(count)
            for _ in runner.run(plan.channels(range(count))):
                pass

    his, mine = [], []
    theirs(), ours()
    for _ in range(ROUNDS):
        his.append(took(theirs)[0].times(1 / count))
        mine.append(took(ours)[0].times(1 / count))
    return median(his), median(mine)


def _trained(module: nn.Module, network: Network) -> nn.Module:
    """Some steps of Adam on simulated fruit, so that its numbers are those of a trained network."""
    module.train()
    optimiser = torch.optim.Adam(module.parameters(), 1e-3)
    renderer = Renderer(network.size)
    for step in range(STEPS):
        shots = [renderer.fruit(TRAINED * step + number) for number in range(TRAINED)]
        pictures = np.stack([shot.image for shot in shots])[..., ::-1] / 255.0
        x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float()
        output = module(x)
        z = output if network.key is None else output[network.key]
        loss = F.cross_entropy(z, torch.from_numpy(np.stack([s.mask for s in shots])).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()
