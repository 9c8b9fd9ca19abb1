"""From measured pictures to tables. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from agent.ablation.studies.methods import ABLATION, METHODS
from tests.benchmarks.faithfulness import measures
from tests.benchmarks.faithfulness.picture import FILLS, Numbers, Protocol
from tests.benchmarks.tables import Cells, Row, Table

NOTES = """Methods side by side, on simulated fruit: same layer, same score (the margin), means
over pictures with 95 % intervals by bootstrap over them. A map is brought to the network's input
and its pixels inside the aperture are ranked; the first or last {shares} % are filled with the mean
colour or a blur.

- gain, top: drop of y with the top filled, less the mean drop with {areas} random connected areas
  of the same size; larger is better
- drop, bottom: drop of y with the bottom filled; near 0 is right (its own gain is that less the
  drop of random areas, which the table's title names)
- leakage: |drop of others| of both together, the others' being a mean over the other classes that
  are found, background included; smaller is better
- stability: Spearman's correlation of the map with that of the picture with noise (sigma 2 of 255,
  draws: {draws}), and moved by {shifts} px and back; larger is better. Input occlusion, which is
  slow, has {occluded}. M is each picture's own prediction
- cost: median processor seconds, for both classes together on one thread, and passes of the
  network or of its part behind the layer, beyond the picture's own
- beside Ablation-CAM: from the intervals of the differences picture by picture

A random or an unweighted map that does well shows what a measure cannot tell."""


def notes(protocol: Protocol) -> str:
    """What every column is."""
    draws, moves = protocol.occluded
    occluded = "none"
    if draws or moves:
        occluded = f"{draws} and {moves} of them, on one picture in {protocol.occluded_every}"
    return NOTES.format(
        shares=", ".join(f"{100 * share:g}" for share in protocol.shares),
        areas=protocol.areas,
        draws=protocol.draws,
        occluded=occluded,
        shifts=" and ".join(map(str, protocol.shifts_px)),
    )


NAMES = {
    "gain": "gain",
    "leakage": "leakage",
    "noise": "stability under noise",
    "shift": "stability under a shift",
}
LARGER_IS_BETTER = {"gain": True, "leakage": False, "noise": True, "shift": True}


@dataclass(frozen=True, slots=True)
class Measured:
    """One network: what it is in words, and by picture what was measured of each class."""

    what: str
    protocol: Protocol
    pictures: Sequence[dict[str, Numbers]]

    def of(self, name: str) -> list[Numbers]:
        return [one[name] for one in self.pictures if name in one]


def tables(measured: Measured, names: Sequence[str]) -> list[Table]:
    """Two for each class: the measures, and the gain by fill and share."""
    out, shares = [], measured.protocol.shares
    for name in names:
        found = measured.of(name)
        if not found:
            continue
        chance = measures.mean(
            [measures.mean(one["random"][str(fill)]) for one in found for fill in FILLS]
        )
        dices = ", ".join(
            f"{kind} {measures.mean([one[f'dice_{kind}'] for one in found]):.3f}"
            for kind in ("noise", "shift")
        )
        out.append(
            Table(
                f"{measured.what}, {name}, {len(found)} pictures (random areas cost "
                f"{chance:.2f} in the mean; Dice of the prediction itself: {dices})",
                (
                    "method",
                    "gain, top",
                    "drop, bottom",
                    "leakage",
                    "stability: noise",
                    "shift",
                    "processor s",
                    "passes",
                    "beside Ablation-CAM",
                ),
                [Row(method, partial(_measures, found, method)) for method in METHODS],
            )
        )
        out.append(
            Table(
                f"{measured.what}, {name}: gain by share of the aperture and fill",
                ("method", *(f"{share:.0%}, {fill}" for fill in FILLS for share in shares)),
                [Row(method, partial(_by_share, found, method, len(shares))) for method in METHODS],
            )
        )
    return out


def values(found: Sequence[Numbers], method: str, key: str) -> list[float]:
    """One number for each picture, a mean over fills and shares; NaN where there is none."""
    return [_value(one, method, key) for one in found]


def _value(one: Numbers, method: str, key: str) -> float:
    numbers = one["methods"].get(method, {})
    if key in ("noise", "shift"):
        return float(numbers.get(key, np.nan))
    if "top" not in numbers:
        return float("nan")
    if key == "gain":
        return measures.mean([measures.mean(_gains(one, method, str(fill))) for fill in FILLS])
    return measures.mean([measures.mean(numbers[key][str(fill)]) for fill in FILLS])


def _gains(one: Numbers, method: str, fill: str) -> list[float]:
    top, chance = one["methods"][method]["top"][fill], one["random"][fill]
    return [a - b for a, b in zip(top, chance, strict=True)]


def _measures(found: Sequence[Numbers], method: str) -> Cells:
    columns = ("gain", "bottom", "leakage", "noise", "shift")
    cells = [_spread(values(found, method, key)) for key in columns]
    own = [one["methods"].get(method, {}) for one in found]
    seconds = [one["seconds"] for one in own if "seconds" in one]
    passes = [one["passes"] for one in own if "passes" in one]
    cost = ("-", "-")
    if seconds:
        cost = (f"{statistics.median(seconds):.3f}", f"{statistics.median(passes):g}")
    return (*cells, *cost, beside(found, method))


def beside(found: Sequence[Numbers], method: str) -> str:
    """In words, from intervals of the differences picture by picture: where a method is better and
    worse than Ablation-CAM; of Ablation-CAM itself, where it is not the best."""
    if method != ABLATION:
        ahead = {name: _ahead(found, method, key) for key, name in NAMES.items()}
        better = ", ".join(name for name, (_, low, _) in ahead.items() if low > 0)
        worse = ", ".join(name for name, (_, _, high) in ahead.items() if high < 0)
        both = (("better", better), ("worse", worse))
        words = [f"{how} in {which}" for how, which in both if which]
        return "; ".join(words) or "no difference that so many pictures show"
    lost = []
    for key, name in NAMES.items():
        means = {one: measures.mean(values(found, one, key)) for one in METHODS}
        sign = 1 if LARGER_IS_BETTER[key] else -1
        best = max(
            (one for one in means if np.isfinite(means[one])), key=lambda one: sign * means[one]
        )
        if best == ABLATION:
            continue
        ahead, low, high = _ahead(found, best, key)
        sure = "" if low > 0 else ", which so many pictures do not show for sure"
        lost.append(f"{name}: {best} by {ahead:.2f} [{low:.2f}, {high:.2f}]{sure}")
    return "NOT the best in " + "; ".join(lost) if lost else "the best in all four"


def _ahead(found: Sequence[Numbers], method: str, key: str) -> tuple[float, float, float]:
    """By how much a method is ahead of Ablation-CAM, with the interval."""
    sign = 1 if LARGER_IS_BETTER[key] else -1
    own, theirs = (np.array(values(found, one, key)) for one in (ABLATION, method))
    return measures.interval(sign * (theirs - own))


def _by_share(found: Sequence[Numbers], method: str, shares: int) -> Cells:
    have = [one for one in found if "top" in one["methods"].get(method, {})]
    return [
        _spread([_gains(one, method, str(fill))[place] for one in have])
        for fill in FILLS
        for place in range(shares)
    ]


def _spread(numbers: Sequence[float]) -> str:
    middle, low, high = measures.interval(numbers)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(middle) else "-"
