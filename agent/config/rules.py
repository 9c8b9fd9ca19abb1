"""A rule that does not hold, and the rules that several sections have.

What the keys of one section demand of each other stands beside its model, in
``agent.config.sections``; files and devices are looked at by ``agent.preflight``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.config.yaml import KeyPath

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule. ``path`` is relative to the section that the rule belongs to; ``nearest`` is
    what was most likely meant."""

    path: KeyPath
    message: str
    allowed: str = ""
    nearest: str = ""


def having(key: str, sections: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Those of a list that have a key, with their index: one with an error of its own has none."""
    return ((i, section) for i, section in enumerate(sections) if hasattr(section, key))


def together(values: Mapping[KeyPath, object], why: str) -> Iterator[Broken]:
    """All of the keys are given, or none."""
    missing = [path for path, value in values.items() if value is None]
    if len(missing) < len(values):
        yield from (Broken(path, f"is missing: {why}") for path in missing)


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
