"""What a study found, picture by picture, and the tables that are made of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.ranks import rank_correlation
from agent.ablation.core.regions import area_means, area_shares, to_grid
from agent.ablation.studies.studies import Studied
from agent.records import ClassExplanation, CrossChecks

Row = dict[str, Any]
Table = list[Row]
Seen = tuple[tuple[Any, ...], Sequence[float]]
"""A key, and values of one picture."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One class in one picture; ``margin`` is that of its region with nothing hidden, and
    ``dice_to_mask`` NaN where no mask was drawn. ``aperture`` (h, w) is on the network's grid, and
    ``share`` (gh, gw) how much of each of the layer's cells the prediction covers."""

    picture: str
    record: ClassExplanation
    studied: Studied
    margin: float
    dice_to_mask: float = math.nan
    aperture: NDArray[np.bool_] = field(default_factory=lambda: np.ones((1, 1), np.bool_))
    share: NDArray[np.float64] = field(default_factory=lambda: np.zeros((1, 1)))


@dataclass(frozen=True, slots=True)
class Survey:
    """All observations that could be explained, by class; ``facts`` name what was studied and
    ``problems`` what was not, in words."""

    facts: dict[str, str]
    observations: dict[str, list[Observation]]
    problems: list[str]

    def of(self, name: str) -> Survey:
        """The same of one class alone."""
        return Survey(self.facts, {name: self.observations[name]}, [])


def mean_sd(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation of what is no NaN; NaN where nothing is left."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if known.size == 0:
        return math.nan, math.nan
    return float(known.mean()), float(known.std(ddof=1)) if known.size > 1 else 0.0


def pictures(survey: Survey) -> Table:
    """One row for each class and picture."""
    return [
        {"class": name, "picture": one.picture} | {k: of(one) for k, of in NUMBERS.items()}
        for name, found in survey.observations.items()
        for one in found
    ]


def _checks(one: Observation) -> CrossChecks:
    return one.record.checks or CrossChecks()


def _gain(one: Observation, measure: str, fill: str, over: str) -> float:
    gains = {(gain.measure, gain.fill): gain for gain in _checks(one).gains}
    gain = gains.get((measure, fill))
    return math.nan if gain is None else float(getattr(gain, over))


NUMBERS: dict[str, Callable[[Observation], float]] = {
    "y": lambda o: o.record.y,
    "y_whole_layer_off": lambda o: o.record.y_all,
    "sum_of_deltas": lambda o: float(o.record.deltas.sum()),
    "null_control": lambda o: abs(o.record.y_null - o.record.y),
    "null_tolerance": lambda o: o.record.null_tolerance,
    "spot_error": lambda o: o.record.spot_error,
    "all_ones_share": lambda o: o.record.all_ones_share,
    "sign_balance": lambda o: o.record.sign_balance,
    "layer_foreground": lambda o: o.record.sensitivity_foreground,
    "layer_background_equal": lambda o: o.record.sensitivity_background,
    "layer_context_reliance": lambda o: o.record.context_reliance,
    "input_foreground": lambda o: o.record.input_sensitivity_foreground,
    "input_background_equal": lambda o: o.record.input_sensitivity_background,
    "input_context_reliance": lambda o: o.record.input_context_reliance,
    "agreement": lambda o: o.record.agreement,
    "hires_correlation": lambda o: _checks(o).hires_correlation,
    "baseline_correlation": lambda o: _checks(o).baseline_correlation,
    **{
        f"{measure}_{fill}_{over}": partial(_gain, measure=measure, fill=fill, over=over)
        for measure in ("insertion", "deletion")
        for fill in ("mean", "blur")
        for over in ("auc", "over_random", "over_mean_map")
    },
    "dice_to_mask": lambda o: o.dice_to_mask,
}


def channels(survey: Survey) -> Table:
    """One row for each class and channel: its delta over the pictures."""
    out: Table = []
    for name, found in survey.observations.items():
        deltas = np.stack([one.record.deltas for one in found])
        ranks = np.argsort(np.argsort(-np.abs(deltas), axis=1), axis=1)
        out += [
            {
                "class": name,
                "channel": k,
                "mean_delta": float(deltas[:, k].mean()),
                "sd": mean_sd(deltas[:, k])[1],
                "positive_share": float((deltas[:, k] > 0).mean()),
                "top10_share": float((ranks[:, k] < 10).mean()),
            }
            for k in range(deltas.shape[1])
        ]
    return out


def consistency(found: Sequence[Observation]) -> float:
    """Mean rank correlation of the deltas of two pictures, over all pairs: whether the model uses
    the same channels from picture to picture. NaN for a single picture."""
    pairs = [
        rank_correlation(a.record.deltas, b.record.deltas)
        for place, a in enumerate(found)
        for b in found[place + 1 :]
    ]
    return mean_sd(pairs)[0]


def occlusions(survey: Survey) -> Table:
    """One row for each class, region and fraction, all maps at once."""

    def seen(one: Observation) -> Iterator[Seen]:
        for o in one.record.occlusions:
            values = (float(o.cells), o.y, o.dice, o.margin_inside, o.margin_outside)
            yield (str(o.region), o.fraction), values

    out: Table = []
    for name, (region, fraction), n, means in _over_pictures(survey, seen):
        row: Row = {"class": name, "region": region, "fraction": fraction, "n": n}
        names = ("cells", "y", "dice", "margin_inside", "margin_outside")
        for key, (mean, sd) in zip(names, means, strict=True):
            row |= {key: mean, f"{key}_sd": sd}
        out.append(row)
    return out


def single_maps(survey: Survey) -> Table:
    """One row for each class, region, fraction and channel: that map alone."""

    def seen(one: Observation) -> Iterator[Seen]:
        for maps in one.studied.maps:
            for fraction, drops, dices in zip(maps.fractions, maps.drop, maps.dice, strict=True):
                for k, values in enumerate(zip(drops, dices, strict=True)):
                    yield (str(maps.region), fraction, k), values

    return [
        {
            "class": name,
            "region": region,
            "fraction": fraction,
            "channel": k,
            "mean_drop": drop,
            "sd": sd,
            "dice": dice,
        }
        for name, (region, fraction, k), _, ((drop, sd), (dice, _)) in _over_pictures(survey, seen)
    ]


def map_sets(survey: Survey) -> Table:
    """One row for each class, region, choice and count: so many maps, the region at 100 %."""

    def seen(one: Observation) -> Iterator[Seen]:
        for sets in one.studied.map_sets:
            for count, *values in zip(sets.counts, sets.drop, sets.dice, strict=True):
                yield (str(sets.region), sets.chosen, count), values

    return [
        {
            "class": name,
            "region": region,
            "chosen": chosen,
            "maps": count,
            "mean_drop": drop,
            "sd": sd,
            "dice": dice,
        }
        for name, (region, chosen, count), _, ((drop, sd), (dice, _)) in _over_pictures(
            survey, seen
        )
    ]


def curves(survey: Survey) -> Table:
    """One row for each class, measure, fill, ranking and fraction."""

    def seen(one: Observation) -> Iterator[Seen]:
        for curve in one.studied.curves:
            for fraction, value in zip(curve.fractions, curve.values, strict=True):
                key = (curve.measure, curve.fill, curve.ranking, round(float(fraction), 6))
                yield key, (value,)

    return [
        {
            "class": name,
            "measure": measure,
            "fill": fill,
            "ranking": ranking,
            "fraction": fraction,
            "y_share": mean,
            "sd": sd,
        }
        for name, (measure, fill, ranking, fraction), _, ((mean, sd),) in _over_pictures(
            survey, seen
        )
    ]


def groups(survey: Survey) -> Table:
    """One row for each class and group of channels."""

    def seen(one: Observation) -> Iterator[Seen]:
        for group in one.studied.groups:
            yield group.channels, (group.delta, group.sum_of_single)

    return [
        {
            "class": name,
            "channels": " ".join(map(str, members)),
            "size": len(members),
            "mean_delta": delta,
            "sd": sd,
            "sum_of_single": single,
        }
        for name, members, _, ((delta, sd), (single, _)) in _over_pictures(survey, seen)
    ]


def methods(survey: Survey) -> Table:
    """One row for each class and method: its map beside Ablation-CAM's, its time and passes. ``n``
    are the pictures that it has a map of."""

    def seen(one: Observation) -> Iterator[Seen]:
        own = one.record.map
        grid = (own.shape[0], own.shape[1])
        for found in one.studied.methods:
            if found.map is None:
                yield (found.name,), (0.0, math.nan, math.nan, math.nan, math.nan)
                continue
            inside, coarse = to_grid(one.aperture, grid, 0.5), on_cells(found.map, grid)
            positive = np.where(inside, np.maximum(coarse, 0), 0)
            mass = float(positive.sum())
            on_class = float((positive * one.share).sum()) / mass if mass > 0 else math.nan
            same = rank_correlation(own[inside], coarse[inside])
            yield (found.name,), (1.0, same, on_class, found.seconds, float(found.passes))

    return [
        {
            "class": name,
            "method": method,
            "n": round(there * n),
            "rank_correlation": same,
            "sd": sd,
            "mass_on_class": mass,
            "mass_sd": mass_sd,
            "seconds": seconds,
            "passes": passes,
        }
        for name, (method,), n, (
            (there, _),
            (same, sd),
            (mass, mass_sd),
            (seconds, _),
            (passes, _),
        ) in _over_pictures(survey, seen)
    ]


def on_cells(values: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float64]:
    """A map of any grid on the layer's (gh, gw): the mean of what lies in a cell, NaN left out."""
    if values.shape == grid:
        return values.astype(np.float64)
    known = np.isfinite(values)
    area = area_shares(known, grid)
    sums = area_means(np.where(known, values, 0).astype(np.float64), grid)
    return np.where(area > 0, sums / np.where(area > 0, area, 1), 0.0)


def _over_pictures(
    survey: Survey, seen: Callable[[Observation], Iterator[Seen]]
) -> Iterator[tuple[str, tuple[Any, ...], int, list[tuple[float, float]]]]:
    """Class, key, number of pictures, and mean and deviation of each value ``seen`` under a key."""
    for name, found in survey.observations.items():
        together: dict[tuple[Any, ...], list[Sequence[float]]] = {}
        for one in found:
            for key, values in seen(one):
                together.setdefault(key, []).append(values)
        for key, rows in together.items():
            yield name, key, len(rows), [mean_sd(column) for column in zip(*rows, strict=True)]


TABLES: dict[str, Callable[[Survey], Table]] = {
    "pictures": pictures,
    "channels": channels,
    "occlusion": occlusions,
    "single_maps": single_maps,
    "map_sets": map_sets,
    "insertion_deletion": curves,
    "groups": groups,
    "methods": methods,
}
