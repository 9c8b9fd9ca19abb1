"""Which ids the machine has named already: a message that comes twice is no second fruit. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from agent.records import MachineInfo

KEPT = 1024
DOUBLE_S = 10.0
"""The same id within this time (by the stamps, else by the arrivals) is the same fruit; later, a
counter that has wrapped around may mean another one."""


@dataclass(frozen=True, slots=True)
class Known:
    """``double``: names no new fruit; ``again``: because a machine repeats its newest id whenever
    anything else changes; ``before``: the id was there, but long ago."""

    double: bool = False
    again: bool = False
    before: bool = False


class SeenIds:
    """The newest ``KEPT`` ids with stamp and arrival."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._last: str | None = None

    def stored(self, info: MachineInfo) -> None:
        """Remember the id of a message that the broker had kept: its fruit has passed."""
        self._remember(info)

    def take(self, info: MachineInfo) -> Known:
        """Judge the id of a message, and remember it."""
        assert info.fruit_id is not None
        before, last = self._ids.get(info.fruit_id), self._last == info.fruit_id
        if before is not None:
            stamp_ms, arrived_mono = before
            stamped = stamp_ms > 0 and info.machine_timestamp_ms > 0
            apart_s = (
                abs(info.machine_timestamp_ms - stamp_ms) / 1000
                if stamped
                else info.arrived_mono - arrived_mono
            )
            if last or apart_s <= DOUBLE_S:
                return Known(double=True, again=last and not (stamped and apart_s == 0))
        self._remember(info)
        return Known(before=before is not None)

    def _remember(self, info: MachineInfo) -> None:
        assert info.fruit_id is not None
        self._ids[info.fruit_id] = (info.machine_timestamp_ms, info.arrived_mono)
        self._ids.move_to_end(info.fruit_id)
        if len(self._ids) > KEPT:
            self._ids.popitem(last=False)
        self._last = info.fruit_id
