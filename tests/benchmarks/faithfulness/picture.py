"""Everything that is measured of one picture, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agent.ablation.core.case import Case, load_case, target, why_not
from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.scores import MARGIN, Target
from agent.ablation.engine import Engine
from agent.ablation.result import EngineResult
from agent.ablation.run.fills import Fill, filled, hidden_runs
from agent.ablation.studies.methods import INPUT, METHODS, RANDOM, MethodMap
from agent.ablation.studies.studies import Studies
from agent.simulator.render import Render
from tests.benchmarks.faithfulness import measures
from tests.benchmarks.faithfulness.measures import Mask

FILLS = (Fill.MEAN, Fill.BLUR)
NOISE = 2.0
EVERY_PX = 2
"""Maps are compared on every second row and column: neighbours of a bilinear map say the same."""

Numbers = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How much is measured: ``shares`` of the aperture, random ``areas``, ``draws`` of noise and
    shifts; ``occluded`` are the draws and shifts that have input occlusion too, on one picture in
    ``occluded_every``: everywhere it would take nine tenths of all time."""

    name: str
    shares: tuple[float, ...]
    areas: int
    draws: int
    shifts_px: tuple[int, ...]
    occluded: tuple[int, int]
    occluded_every: int


FULL = Protocol("full", (0.02, 0.05, 0.1, 0.2), 10, 5, (1, 2), (1, 2), 4)
QUICK = Protocol("quick", (0.05, 0.2), 5, 2, (1,), (0, 0), 1)
Image = NDArray[np.uint8]


def measure(
    engine: Engine, render: Render, seed: int, protocol: Protocol = FULL
) -> dict[str, Numbers]:
    """By class: ``random`` drops by fill and share, the Dice beside the stability, and for each
    method its numbers. A class that the model does not find is not there."""
    rng = np.random.default_rng([23, seed])
    found = _explained(engine, render.image, render.aperture)
    maps = {
        one.class_name: {m.name: m for m in _maps(found, one.class_name, rng)}
        for one in found.classes
        if one.explainable
    }
    out: dict[str, Numbers] = {name: {"methods": {}} for name in maps}
    if maps:
        _intervene(engine, render, maps, out, rng, protocol)
        occluded = protocol.occluded if seed % protocol.occluded_every == 0 else (0, 0)
        _disturb(engine, render, found, maps, out, rng, protocol, occluded)
    return out


def _explained(
    engine: Engine, image: Image, aperture: Mask, methods: tuple[str, ...] = METHODS
) -> EngineResult:
    return engine.explain(image, aperture, studies=Studies(methods=methods))


def _maps(found: EngineResult, name: str, rng: np.random.Generator) -> Sequence[MethodMap]:
    """The random map is a new one every time, or it would be the most stable of all."""
    return [
        replace(one, map=rng.random(one.map.shape, np.float32))
        if one.name == RANDOM and one.map is not None
        else one
        for one in found.study(name).methods
    ]


def _intervene(
    engine: Engine,
    render: Render,
    maps: dict[str, dict[str, MethodMap]],
    out: dict[str, Numbers],
    rng: np.random.Generator,
    protocol: Protocol,
) -> None:
    """Faithfulness and leakage: the same areas are filled for all methods and classes."""
    with torch.no_grad():
        case = load_case(engine.model, render.image, render.aperture, None)
        targets = [target(engine.model, case, name) for name in engine.model.classes]
        targets = [one for one in targets if not why_not(one, case)]
        size, whole = case.aperture.shape, int(case.aperture.sum())
        counts = [max(1, round(share * whole)) for share in protocol.shares]
        areas = [measures.grown(case.aperture, counts[-1], rng) for _ in range(protocol.areas)]
        masks = [measures.of_pixels(one[:n], size) for n in counts for one in areas]
        keys: list[tuple[str, str, str]] = []
        for name, methods in maps.items():
            for method, one in methods.items():
                if one.map is None:
                    continue
                order = measures.ranked(one.map, case.aperture, rng)
                for end, pixels in (("top", order), ("bottom", order[::-1])):
                    keys.append((name, method, end))
                    masks += [measures.of_pixels(pixels[:n], size) for n in counts]
        names = [one.name for one in targets]
        for fill in FILLS:
            drops = _drops(engine, case, targets, masks, fill)
            first = len(counts) * protocol.areas
            chance = drops[:, :first].reshape(len(names), len(counts), protocol.areas).mean(2)
            for name in maps:
                out[name].setdefault("random", {})[str(fill)] = chance[names.index(name)].tolist()
            for number, (name, method, end) in enumerate(keys):
                own = names.index(name)
                at = drops[:, first + number * len(counts) :][:, : len(counts)]
                numbers = out[name]["methods"].setdefault(method, {})
                numbers.setdefault(end, {})[str(fill)] = at[own].tolist()
                if end == "top":
                    numbers.setdefault("leakage", {})[str(fill)] = [
                        measures.leakage(at[own, q], np.delete(at[:, q], own).tolist())
                        for q in range(len(counts))
                    ]
    for name, methods in maps.items():
        for method, one in methods.items():
            if one.map is not None:
                numbers = out[name]["methods"][method]
                numbers |= {"seconds": one.seconds, "passes": one.passes}


def _drops(
    engine: Engine, case: Case, targets: Sequence[Target], masks: Sequence[Mask], fill: Fill
) -> NDArray[np.float64]:
    """(targets, masks): margins lost."""
    inside = torch.from_numpy(case.aperture).to(case.x.device)
    reader = engine._whole_model.reader(case, inside, targets, len(masks))
    runs = hidden_runs(reader, case, masks, filled(case, fill), lambda: None)
    found = [
        [float(MARGIN.drop(reader.base[0], rows, one)[0]) for one in reader.seen.targets]
        for rows in runs
    ]
    return np.array(found).T


def _disturb(
    engine: Engine,
    render: Render,
    found: EngineResult,
    maps: dict[str, dict[str, MethodMap]],
    out: dict[str, Numbers],
    rng: np.random.Generator,
    protocol: Protocol,
    occluded: tuple[int, int],
) -> None:
    """Stability: maps of the same picture with noise, and moved and moved back."""
    image, aperture = render.image, render.aperture
    cheap = tuple(name for name in METHODS if name != INPUT)
    draws, shifts = occluded
    changed = [
        ("noise", 0, _noisy(image, rng), METHODS if draw < draws else cheap)
        for draw in range(protocol.draws)
    ]
    changed += [
        ("shift", px, _rolled(image, px), METHODS if number < shifts else cheap)
        for number, px in enumerate(protocol.shifts_px)
    ]
    collected: dict[tuple[str, str, str], list[float]] = {}
    for kind, px, other, wanted in changed:
        again = _explained(engine, other, _rolled(aperture, px), wanted)
        for name, methods in maps.items():
            index = engine.model.classes.index(name)
            dice = _dice(found.mask == index, again.mask == index, px, aperture.shape)
            collected.setdefault((name, "", kind), []).append(dice)
            moved = {one.name: one.map for one in _maps(again, name, rng)}
            for method, one in methods.items():
                theirs = moved.get(method)
                same = math.nan
                if one.map is not None and theirs is not None:
                    same = _same(one.map, theirs, px, aperture)
                collected.setdefault((name, method, kind), []).append(same)
    for (name, method, kind), values in collected.items():
        place = out[name]["methods"].setdefault(method, {}) if method else out[name]
        place[kind if method else f"dice_{kind}"] = measures.mean(values)


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    noisy = image + rng.normal(0, NOISE, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _rolled(values: NDArray[Any], px: int) -> NDArray[Any]:
    return np.roll(values, (px, px), (0, 1))


def _same(one: NDArray[np.float32], other: NDArray[np.float32], px: int, aperture: Mask) -> float:
    first = measures.resized(one, aperture.shape)
    second = _rolled(measures.resized(other, aperture.shape), -px)
    some = np.zeros_like(aperture)
    some[::EVERY_PX, ::EVERY_PX] = aperture[::EVERY_PX, ::EVERY_PX]
    return rank_correlation(first[some], second[some])


def _dice(one: Mask, other: Mask, px: int, size: tuple[int, ...]) -> float:
    first = measures.resized(one.astype(np.float32), size) > 0.5
    second = _rolled(measures.resized(other.astype(np.float32), size) > 0.5, -px)
    both = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / both if both else math.nan
