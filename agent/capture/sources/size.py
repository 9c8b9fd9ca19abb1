"""A source whose pictures change their size while it is read."""

from __future__ import annotations

from agent.capture.source import SourceError


def size_changed(shown: str, before: tuple[int, int], now: tuple[int, int]) -> SourceError:
    """The error for pictures of ``now`` = (width, height) where the first had ``before``.

    They are never stretched to the old size: that turns every angle. The camera is opened anew.
    """
    detail = f"{shown}: the pictures are {now[0]} x {now[1]} now and were {before[0]} x {before[1]}"
    return SourceError("size_changed", detail)
