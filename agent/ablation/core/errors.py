"""What forbids an explanation. The errors carry the facts; no map leaves the engine with them."""

from __future__ import annotations


class AblationError(Exception):
    """An explanation that cannot be given; the message names the place and what was expected."""


class LateError(Exception):
    """The time is up, or will be: ends an explanation between two batches."""


NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""Words of the plain ``RuntimeError`` that torch raises where a CPU has no memory."""


def is_no_memory(error: Exception) -> bool:
    """Whether there was no memory, after which a process should not go on."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


class ScoreError(AblationError):
    """A score of the caller's own is at fault: no other way of running the network would help."""


class CallbackError(BaseException):
    """Carries an ``error`` that a callback of the caller's raised past whatever handles the
    network's own; it never leaves the engine."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class NullControlError(AblationError):
    """With nothing ablated, the ablated path did not give what the plain model gives.

    ``measured`` and ``tolerance`` are in the unit of what was compared: logits or the score.
    """

    def __init__(self, what: str, measured: float, tolerance: float) -> None:
        super().__init__(
            f"null control failed on {what}: with nothing ablated it differs from the plain "
            f"model's forward by {measured:.3g}, more than rounding explains ({tolerance:.3g}); "
            "no map is given"
        )
        self.what = what
        self.measured = measured
        self.tolerance = tolerance
