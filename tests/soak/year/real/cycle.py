"""One cycle of a running agent: two faults are planted, told and ended, and all is well again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from tests.soak.faults import Fault, Table
from tests.soak.troubles import CannotBeMadeError
from tests.soak.year.cycles import Cycle
from tests.soak.year.real.plant import WELL_S, Plant
from tests.soak.year.real.planting import Planting
from tests.soak.year.told import unasked, untold

APART_S = 1.0
STOPS = (OSError, AssertionError, psutil.Error, CannotBeMadeError)
"""By which a planting ends that cannot be made now; the next cycle is tried all the same."""


@dataclass(slots=True)
class One:
    """A fault that is planted."""

    fault: Fault
    planting: Planting
    over: bool = False


@dataclass(slots=True)
class Run:
    """The cycles of one plant, in their order."""

    plant: Plant
    table: Table
    plantings: Mapping[str, Planting]

    def cycle(self, cycle: Cycle) -> list[str]:
        """Make it, and return what was wrong."""
        plant = self.plant
        by_id = {fault.id: fault for fault in self.table.faults}
        pair = [One(by_id[name], self.plantings[name]) for name in (cycle.first, cycle.second)]
        together = not cycle.wake and pair[0].planting.on != pair[1].planting.on
        findings: list[str] = []
        plant.hear()
        try:
            if together:
                self._together(pair, findings)
            else:
                for one in pair:
                    one.planting.begin(plant)
                    self._until_told([one], findings)
                    self._end(one)
        except STOPS as error:
            findings.append(f"could not be made: {type(error).__name__}: {error}")
        finally:
            for one in pair:
                with contextlib.suppress(*STOPS):
                    self._end(one)
        findings += self._afterwards(pair)
        if not plant.wait(plant.well, WELL_S):
            findings.append(f"not well again: {plant.active()}")
        besides = [one.planting.beside for one in pair]
        findings += unasked([one.fault for one in pair], plant.said, besides, self.table)
        findings += plant.missed
        plant.missed.clear()
        return findings

    def _together(self, pair: list[One], findings: list[str]) -> None:
        first, second = pair
        first.planting.begin(self.plant)
        time.sleep(APART_S)
        second.planting.begin(self.plant)
        missing = self._until_told(pair, findings, report=False)
        for one in sorted(pair, key=lambda one: bool(missing.get(one.fault.id))):
            left = list(untold(one.fault, self.plant.said, one.planting.unseen))
            if left and not one.over and not one.planting.holds_up:
                self._until_told([one], findings)
            self._end(one)

    def _until_told(
        self, pair: list[One], findings: list[str], *, report: bool = True
    ) -> dict[str, list[str]]:
        plant, begun = self.plant, time.monotonic()
        lasts_s = max(one.planting.lasts_s for one in pair)
        if any(one.planting.holds_up for one in pair):
            time.sleep(lasts_s)
            return {}
        missing: dict[str, list[str]] = {}

        def told() -> bool:
            for one in pair:
                missing[one.fault.id] = list(untold(one.fault, plant.said, one.planting.unseen))
            return time.monotonic() - begun >= lasts_s and not any(missing.values())

        limit_s = max(one.planting.lasts_s + one.planting.within_s for one in pair)
        if not plant.wait(told, limit_s) and report:
            findings += [f"{name}: {what}" for name, all_of in missing.items() for what in all_of]
        return missing

    def _afterwards(self, pair: list[One]) -> list[str]:
        """What could not be looked for while nobody answered, and a new start where one is due."""
        plant, findings = self.plant, []
        late = [one for one in pair if one.planting.holds_up]
        for one in late:
            plant.wait(
                lambda one=one: (
                    not list(  # type: ignore[misc]
                        untold(one.fault, plant.said, one.planting.unseen)
                    )
                ),
                one.planting.within_s,
            )
        if late:  # both: the other one was not looked for either
            for one in pair:
                left = untold(one.fault, plant.said, one.planting.unseen)
                findings += [f"{one.fault.id}: {what}" for what in left]
        if any(one.planting.anew for one in pair):
            plant.restart()
        return findings

    def _end(self, one: One) -> None:
        if not one.over:
            one.over = True
            one.planting.end(self.plant)
