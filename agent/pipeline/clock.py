"""Whether the kernel holds its clock for synchronised: every stamp on the wire depends on it."""

from __future__ import annotations

import ctypes
import math

TIMEX_BYTES = 512
"""More than ``struct timex`` takes on any Linux; all zero asks for nothing but the state."""
TIME_ERROR = 5


def synchronised() -> float:
    """Return 1.0 or 0.0 after adjtimex(2), NaN where the kernel does not say."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):  # another C library or another kernel
        return math.nan
    state = int(adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)))
    return math.nan if state < 0 else float(state != TIME_ERROR)
