"""Resident memory of the agent and its children, by kind of process."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import psutil

from agent.observability.view import ProcessView


def processes(children: Mapping[str, Collection[int]]) -> tuple[ProcessView, ...]:
    """Return one row per kind: this process as ``agent``, then ``children`` by their pids.

    Resident memory counts shared pages in every process that maps them, so the sum of the rows is
    an upper bound of what the agent takes.
    """
    rows = [ProcessView("agent", 1, psutil.Process().memory_info().rss)]
    for kind, pids in children.items():
        sizes = [size for pid in pids if (size := _resident(pid)) is not None]
        rows.append(ProcessView(kind, len(sizes), sum(sizes)))
    return tuple(rows)


def _resident(pid: int) -> int | None:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:  # it has ended since it was listed
        return None
