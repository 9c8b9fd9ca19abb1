"""What kinds of peach there are: colour ramps from ground to deepest blush, and how they behave.

The names are the simulator's own. ``unknown`` is a fruit that no model was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Variety:
    """``ramp``: RGB from palest ground to deepest blush; ``blush``: usual level on that ramp, 0..1,
    and ``spread`` of the mottling around it; ``streaks``: how often the blush runs in streaks from
    the stem; ``fuzz``: strength of the down's bright haze; ``gloss``: how often the skin shines."""

    name: str
    ramp: tuple[Rgb, ...]
    blush: float
    spread: float
    streaks: float
    fuzz: float
    gloss: float


_TRAINED = (
    Variety(
        "golden",
        ((255, 226, 96), (255, 206, 34), (244, 172, 14), (212, 116, 8), (140, 72, 18)),
        0.27, 0.20, 0.15, 0.15, 0.4,
    ),
    Variety(
        "amber",
        ((255, 214, 104), (250, 184, 44), (236, 140, 24), (198, 88, 20), (122, 50, 20)),
        0.34, 0.22, 0.3, 0.3, 0.3,
    ),
    Variety(
        "blush",
        ((252, 216, 118), (246, 176, 66), (226, 116, 46), (182, 62, 36), (108, 34, 26)),
        0.42, 0.26, 0.5, 0.5, 0.25,
    ),
    Variety(
        "crimson",
        ((238, 168, 76), (222, 118, 50), (188, 64, 40), (138, 38, 32), (82, 26, 24)),
        0.50, 0.22, 0.5, 0.4, 0.3,
    ),
    Variety(
        "pale",
        ((248, 230, 170), (244, 212, 124), (236, 178, 98), (212, 126, 74), (148, 74, 50)),
        0.28, 0.20, 0.3, 0.6, 0.2,
    ),
    Variety(
        "verdant",
        ((232, 216, 112), (220, 192, 64), (212, 158, 44), (184, 106, 38), (116, 62, 30)),
        0.28, 0.20, 0.2, 0.3, 0.3,
    ),
)  # fmt: skip

VARIETIES: Mapping[str, Variety] = MappingProxyType({one.name: one for one in _TRAINED})

UNKNOWN = Variety(
    "unknown",
    ((214, 168, 190), (170, 92, 140), (118, 48, 104), (72, 30, 76), (38, 20, 46)),
    0.55, 0.2, 0.2, 0.8, 0.6,
)  # fmt: skip
"""A violet fruit outside every trained variety: the drift test's new variety."""

ALL_VARIETIES: Mapping[str, Variety] = MappingProxyType({**VARIETIES, UNKNOWN.name: UNKNOWN})
"""Those that a simulated line can run."""
