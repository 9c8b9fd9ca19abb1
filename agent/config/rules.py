"""A rule that does not hold, and the rules that several sections have.

What the keys of one section demand of each other stands beside its model, in
``agent.config.sections``; files and devices are looked at by ``agent.preflight``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule. ``path`` is relative to the section that the rule belongs to."""

    path: tuple[str | int, ...]
    message: str
    allowed: str = ""


def unique(path: tuple[str, ...], names: Sequence[str]) -> Iterator[Broken]:
    for i, name in enumerate(names):
        if name in names[:i]:
            yield Broken((*path, i), "stands in the list twice")


def below(low_key: str, low: float, high_key: str, high: float) -> Iterator[Broken]:
    if low >= high:
        yield Broken((low_key,), f"is not below {high_key} ({high:g})")


def not_above(low_key: str, low: float, high_key: str, high: float) -> Iterator[Broken]:
    if low > high:
        yield Broken((low_key,), f"is above {high_key} ({high:g})")
