"""How a fault is planted in virtual time: what begins it, what ends it, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.soak.year.told import NOTHING, Beside
from tests.soak.year.virtual.plant import Plant

Act = Callable[[Plant, str], None]
"""On a plant, at a camera (and lane) of it."""


def nothing(_plant: Plant, _camera: str) -> None:
    """There is nothing to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planting:
    """``lasts_s``: at least; it is waited for what must be said of it for ``within_s`` more, and
    after its end for ``back_s`` until all is well. ``again``: called at every turn. ``unseen``:
    metrics and events of its row that this way of planting does not reach, each with why."""

    begin: Act
    end: Act = nothing
    again: Act = nothing
    lasts_s: float = 10.0
    within_s: float = 120.0
    back_s: float = 300.0
    beside: Beside = NOTHING
    unseen: Mapping[str, str] = field(default_factory=dict)


Plantings = Mapping[str, Planting]
