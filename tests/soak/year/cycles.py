"""Which two faults meet in which cycle of the year: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

YEAR_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Cycle:
    """``wake``: the second begins when the first is over, else while it lasts."""

    number: int
    first: str
    second: str
    wake: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.first} {'then' if self.wake else '+'} {self.second}"


def cycles(faults: Sequence[str], count: int, seed: int) -> Iterator[Cycle]:
    """Yield ``count`` pairs of different faults.

    Every fault comes equally often, but for one: pairs are taken from shuffled rounds of all. Every
    second one is of a fault in the wake of another.
    """
    if len(faults) < 2:
        raise ValueError("two faults are the least")
    draw = random.Random(seed)
    waiting: list[str] = []
    for number in range(count):
        pair: list[str] = []
        while len(pair) < 2:
            if not waiting:
                waiting = draw.sample(sorted(faults), len(faults))
            one = next((one for one in waiting if one not in pair), "")
            if one:
                waiting.remove(one)
                pair.append(one)
            else:  # the round ends with the one that is there already
                waiting += draw.sample(sorted(faults), len(faults))
        yield Cycle(number, pair[0], pair[1], wake=draw.random() < 0.5)
