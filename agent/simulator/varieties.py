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


def _varieties() -> Mapping[str, Variety]:
    table = (
        Variety(
            "golden",
            ((255, 236, 112), (253, 216, 40), (241, 176, 24), (206, 116, 20), (128, 62, 22)),
            0.30, 0.20, 0.15, 0.2, 0.6,
        ),
        Variety(
            "amber",
            ((252, 214, 116), (246, 184, 52), (231, 136, 36), (194, 84, 32), (118, 44, 26)),
            0.36, 0.20, 0.3, 0.4, 0.4,
        ),
        Variety(
            "blush",
            ((250, 222, 132), (240, 172, 72), (222, 106, 52), (178, 54, 42), (104, 30, 28)),
            0.45, 0.24, 0.5, 0.6, 0.3,
        ),
        Variety(
            "crimson",
            ((236, 172, 84), (220, 112, 56), (184, 56, 46), (134, 32, 36), (76, 20, 26)),
            0.55, 0.22, 0.5, 0.5, 0.4,
        ),
        Variety(
            "pale",
            ((247, 237, 192), (240, 218, 142), (230, 182, 112), (206, 126, 86), (140, 70, 56)),
            0.30, 0.20, 0.3, 0.7, 0.2,
        ),
        Variety(
            "verdant",
            ((226, 224, 124), (208, 198, 72), (202, 162, 52), (176, 106, 46), (110, 60, 36)),
            0.28, 0.20, 0.2, 0.4, 0.4,
        ),
    )  # fmt: skip
    return MappingProxyType({variety.name: variety for variety in table})


VARIETIES: Mapping[str, Variety] = _varieties()

UNKNOWN = Variety(
    "unknown",
    ((214, 168, 190), (170, 92, 140), (118, 48, 104), (72, 30, 76), (38, 20, 46)),
    0.55, 0.2, 0.2, 0.8, 0.6,
)  # fmt: skip
"""A violet fruit outside every trained variety: the drift test's new variety."""
