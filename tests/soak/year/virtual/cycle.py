"""One cycle in virtual time: two faults are planted, told and ended, and all is well again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from agent.alarms.catalogue import Cause
from agent.records import AlarmState, TopicFamily
from tests.soak.faults import Fault, Table
from tests.soak.year.cycles import YEAR_S, Cycle
from tests.soak.year.told import Said, unasked, untold
from tests.soak.year.virtual.hearing import Heard
from tests.soak.year.virtual.plant import CAMERAS, STEP_S, Plant
from tests.soak.year.virtual.planting import Planting

APART_S = 5.0
BEFORE_S = 20.0
WELL_S = 7200.0
REST_STEP_S = 300.0
ONCE = frozenset({"picture_remarked"})
"""Events that a start tells of once."""


@dataclass(slots=True)
class One:
    """A fault that is planted."""

    fault: Fault
    planting: Planting
    camera: str
    begun: float = math.inf
    over: bool = False


@dataclass(slots=True)
class Run:
    """The cycles of one agent, in their order."""

    plant: Plant
    table: Table
    plantings: Mapping[str, Planting]
    count: int
    once: set[tuple[str, frozenset[tuple[str, str]]]] = field(default_factory=set)

    def cycle(self, cycle: Cycle) -> tuple[list[str], Said]:
        """Make it; return what was wrong, and what was said."""
        plant = self.plant
        began = plant.clock.now
        by_id = {fault.id: fault for fault in self.table.faults}
        pair = [
            One(by_id[name], self.plantings[name], camera)
            for name, camera in zip((cycle.first, cycle.second), CAMERAS, strict=True)
        ]
        findings: list[str] = []
        plant.say_running()
        plant.run(BEFORE_S)
        plant.telemetry.hear()
        said = Said()
        if cycle.wake:
            for one in pair:
                self._until_told([one], said, findings)
                self._end(one)
        else:
            self._together(pair, said, findings)
        back_s = max(one.planting.back_s for one in pair)
        if not self._wait(plant.well, max(back_s, WELL_S), said, pair):
            findings.append(f"not well again: {', '.join(sorted(plant.active())) or _state(plant)}")
        self._listen(said)
        besides = [one.planting.beside for one in pair]
        findings += unasked([one.fault for one in pair], said, besides, self.table)
        findings += self._books()
        self._rest(began + YEAR_S / self.count)
        return findings, said

    # --- planting --------------------------------------------------------------------------------

    def _together(self, pair: list[One], said: Said, findings: list[str]) -> None:
        first, second = pair
        self._begin(first)
        self._turn(APART_S, said, pair)
        self._begin(second)
        missing = self._until_told(pair, said, findings, report=False)
        for one in sorted(pair, key=lambda one: bool(missing[one.fault.id])):
            left = list(untold(one.fault, self._all(said), one.planting.unseen))
            if left:  # the other one hid it: it must be told when that is over
                self._until_told([one], said, findings)
            self._end(one)

    def _until_told(
        self, pair: list[One], said: Said, findings: list[str], *, report: bool = True
    ) -> dict[str, list[str]]:
        for one in pair:
            if one.begun == math.inf:
                self._begin(one)
        missing: dict[str, list[str]] = {}

        def told() -> bool:
            now = self.plant.mono()
            if any(now - one.begun < one.planting.lasts_s for one in pair):
                return False
            self._listen(said)
            for one in pair:
                missing[one.fault.id] = list(
                    untold(one.fault, self._all(said), one.planting.unseen)
                )
            return not any(missing.values())

        limit_s = max(one.planting.lasts_s + one.planting.within_s for one in pair)
        if not self._wait(told, limit_s, said, pair) and report:
            findings += [f"{name}: {what}" for name, all_of in missing.items() for what in all_of]
        return missing

    def _begin(self, one: One) -> None:
        one.planting.begin(self.plant, one.camera)
        one.begun = self.plant.mono()

    def _end(self, one: One) -> None:
        if not one.over:
            one.over = True
            one.planting.end(self.plant, one.camera)

    # --- time and hearing ------------------------------------------------------------------------

    def _wait(self, condition: object, limit_s: float, said: Said, pair: list[One]) -> bool:
        end = self.plant.mono() + limit_s
        begun = self.plant.mono()
        while not condition():  # type: ignore[operator]
            now = self.plant.mono()
            if now >= end:
                return False
            self._turn(STEP_S if now - begun < 400.0 else 4 * STEP_S, said, pair)
        return True

    def _turn(self, seconds: float, said: Said, pair: list[One]) -> None:
        end = self.plant.mono() + seconds
        while self.plant.mono() < end:
            for one in pair:
                if one.begun < math.inf and not one.over:
                    one.planting.again(self.plant, one.camera)
            self.plant.turn(min(seconds, 2.0))
            for alarm in self.plant.stages.alarm_loop.alarms():
                if alarm.active:
                    cause = Cause(alarm.alarm_id.removesuffix(f"-{alarm.camera_id}"))
                    rings = alarm.state in (AlarmState.UNACK, AlarmState.ACKED)
                    (said.rang if rings else said.hidden).add(cause)

    def _listen(self, said: Said) -> None:
        heard, self.plant.telemetry.heard = self.plant.telemetry.heard, Heard()
        said.counted += heard.counted
        said.moved |= heard.moved
        said.logged += heard.logged
        self.once |= {
            (name, frozenset(fields.items())) for _, name, fields in heard.logged if name in ONCE
        }

    def _all(self, said: Said) -> Said:
        """With what is told once a start."""
        once = [(0, name, dict(fields)) for name, fields in self.once]
        return Said(said.counted, said.moved, [*said.logged, *once], said.rang, said.hidden)

    # --- what must be so -------------------------------------------------------------------------

    def _books(self) -> Iterator[str]:
        telemetry = self.plant.telemetry
        for lane in CAMERAS:
            captured, segmented, dropped = (
                int(telemetry.total(f"frames_{kind}", camera=lane))
                for kind in ("captured", "segmented", "dropped")
            )
            flight = captured - segmented - dropped
            if not 0 <= flight <= 2:
                yield f"frames of {lane}: {captured} is not {segmented} + {dropped}"
        for family in TopicFamily:
            labels = {"topic_family": family.value}
            enqueued = telemetry.total("messages_enqueued", **labels)
            rest = telemetry.total("messages_delivered", **labels)
            rest += telemetry.total("messages_dropped", **labels)
            rest += telemetry.total("messages_in_flight", **labels)
            if enqueued != rest:
                yield f"messages of {family}: {enqueued:.0f} is not {rest:.0f}"

    def _rest(self, until: float) -> None:
        """The machine stands until the next cycle; a night, a weekend."""
        plant = self.plant
        if until - plant.mono() < REST_STEP_S:
            return
        plant.say(state="stopped")
        plant.run(10.0)
        for life in plant.cameras.lives.values():
            life.reads = "silent"
        while plant.mono() < until - 10.0:
            plant.turn(min(REST_STEP_S, until - 10.0 - plant.mono()))
        for life in plant.cameras.lives.values():
            life.reads = ""
        plant.say_running()
        plant.run(10.0)


def _state(plant: Plant) -> str:
    stages = plant.stages
    cameras = ", ".join(f"{one.source_name} {one.state}" for one in stages.capture.statuses())
    return f"{cameras}, {stages.pool.status()}, {[one.link() for one in stages.sinks]}"
