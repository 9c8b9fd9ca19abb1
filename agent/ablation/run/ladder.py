"""The ways of explaining one picture, fastest first: what a faster one cannot do, the next does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from agent.ablation.run.runners import Setup
from agent.ablation.split.left import is_final

Result = TypeVar("Result")


def slower_ways(setup: Setup) -> tuple[Setup, ...]:
    """What is left where the way of ``setup`` fails: the same without rows, then the plain model
    re-run with a hook, one item a pass."""
    ways = [] if setup.operations is None else [replace(setup, operations=None)]
    if setup.split.name != setup.plain.name:
        plain = replace(setup, split=setup.plain, operations=None, batch=1, halved=None)
        ways.append(plain)
    return tuple(ways)


def climb(
    setups: Sequence[Setup], attempt: Callable[[Setup], Result]
) -> tuple[Result, Sequence[Setup]]:
    """The result of the first way that gives one, and the ways from that one on.

    Faster ones that failed are left for good, since the same picture was explained without them.
    Where none succeeds, the error is that of the last, the plain model's own, and nothing is left.
    """
    faults: list[Exception] = []
    for setup in setups:
        try:
            result = attempt(setup)
        except Exception as error:
            if is_final(error) or setup is setups[-1]:
                raise
            faults.append(error)
            continue
        for tried, fault in zip(setups, faults, strict=False):
            tried.left.leave(_name(tried), fault, instead=setup.path)
        return result, setups[len(faults) :]
    raise ValueError("no way at all")


def _name(setup: Setup) -> str:
    return "rows" if setup.operations is not None else setup.split.name
