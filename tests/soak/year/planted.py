"""How each fault of the table is planted here, or why it is not: together they are the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

ELSEWHERE = Path(__file__).with_name("elsewhere.yaml")


@dataclass(frozen=True, slots=True)
class Planted:
    """Ids of faults, and of those that are planted in neither way the reason."""

    virtual: frozenset[str]
    real: frozenset[str]
    elsewhere: Mapping[str, str]


def planted() -> Planted:
    """Look at the plantings of both parts, and at the file of reasons."""
    from tests.soak.year.real.faults import PLANTINGS as REAL
    from tests.soak.year.virtual.faults import PLANTINGS as VIRTUAL

    reasons = yaml.safe_load(ELSEWHERE.read_text(encoding="utf-8"))
    elsewhere = {one: why for why, ids in reasons.items() for one in ids.split()}
    return Planted(frozenset(VIRTUAL), frozenset(REAL), elsewhere)
