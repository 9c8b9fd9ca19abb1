"""Which network is live: what readings and explanations are judged as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.alarms.charts.reference import Reference


@dataclass(frozen=True, slots=True)
class LiveModel:
    """``references`` by variety, all made with it. ``patience_s``: what the workers may take until
    all of them explain it."""

    name: str
    sha256: str
    references: Mapping[str, Reference]
    patience_s: float
