"""Who asks for the births again, and when they are sent (section 5.14). Pure."""

from __future__ import annotations


class Rebirth:
    """At most one request is pending; births follow each other no faster than ``debounce_s``."""

    def __init__(self, debounce_s: float) -> None:
        self._debounce_s = debounce_s
        self._born_at = float("-inf")
        self._pending: tuple[float, str] | None = None  # when it is due, and why

    @property
    def pending(self) -> bool:
        """Whether births are asked for: no data goes out before them."""
        return self._pending is not None

    @property
    def due_at(self) -> float:
        """When the births that are asked for may go out; infinity: none are."""
        return self._pending[0] if self._pending is not None else float("inf")

    def ask(self, why: str, now: float) -> bool:
        """Ask for the births; false if they are asked for already."""
        if self._pending is not None:
            return False
        self._pending = (max(now, self._born_at + self._debounce_s), why)
        return True

    def due(self, now: float) -> str:
        """Return why the births are sent now; empty: they are not."""
        if self._pending is None or now < self._pending[0]:
            return ""
        return self._pending[1]

    def born(self, now: float) -> None:
        """The births go out."""
        self._pending, self._born_at = None, now

    def cancel(self) -> None:
        """The connection is gone, and the next one begins with births."""
        self._pending = None
