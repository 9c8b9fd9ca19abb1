"""How a fault is planted in a running agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.soak.year.real.plant import Plant
from tests.soak.year.told import NOTHING, Beside

Act = Callable[[Plant], object]


def nothing(_plant: Plant) -> None:
    """There is nothing to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planting:
    """``on``: what it strikes; two faults that strike one thing are not planted together.

    ``unseen``: metrics and events of its row that are not reached so, each with why. ``anew``: why
    the agent is started anew afterwards; empty: it lives on. ``holds_up``: nobody answers
    meanwhile, so that what must be told is looked for afterwards.
    """

    begin: Act
    end: Act = nothing
    on: str = ""
    lasts_s: float = 3.0
    within_s: float = 45.0
    beside: Beside = NOTHING
    unseen: Mapping[str, str] = field(default_factory=dict)
    anew: str = ""
    holds_up: bool = False


Plantings = Mapping[str, Planting]
