"""One line of the checked list of a host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostCheck:
    """``wanted`` in words; ``remedy`` is a command or a line of a file, empty where all is well.

    ``hint``: it costs pictures under load at most; the list is well without it.
    """

    name: str
    found: str
    wanted: str
    remedy: str = ""
    hint: bool = False

    @property
    def good(self) -> bool:
        """Whether nothing is to be done."""
        return not self.remedy

    @property
    def mark(self) -> str:
        """``ok``, ``no``, or ``hint`` for what would only be better."""
        if self.good:
            return "ok"
        return "hint" if self.hint else "no"
