"""Whether a Unix time came in another unit than milliseconds."""

from __future__ import annotations

DAY_MS = 86_400_000.0
SET_MS = 1e12
"""Of September 2001: an earlier time is that of a clock that was never set."""
_MS_PER = {"seconds": 1e3, "microseconds": 1e-3, "nanoseconds": 1e-6}


def meant_ms(value: float, now_ms: float) -> str:
    """A question to whoever sent ``value`` for a Unix time in ms; empty where it is one.

    Another unit is what a value that lies within a day of ``now_ms`` in that unit, and in no other,
    was most likely meant in.

    >>> meant_ms(1_760_000_000, 1_760_000_000_123)
    'in seconds? milliseconds are meant'
    """
    if now_ms < SET_MS:
        return ""
    for unit, factor in _MS_PER.items():
        if abs(value * factor - now_ms) < DAY_MS and abs(value - now_ms) >= DAY_MS:
            return f"in {unit}? milliseconds are meant"
    return ""
