"""Cameras and lanes that come, go, or are others than before, while the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from agent.config import Camera, Config
from agent.pipeline import factories
from agent.pipeline.build import Stages
from agent.pipeline.reload.gone import Gone
from agent.pipeline.reload.parts import ERRAND_S, Apply, Work, alarms, segmentation
from agent.pipeline.reload.plan import Plan
from agent.records import MachineInfo

DRAIN_S = 5.0
"""For a camera that ends to be read to its last picture; those above ``max_age_s`` are dropped."""


def cameras(work: Work, plan: Plan, gone: Gone, machine: Callable[[], MachineInfo]) -> Apply | None:
    """Cameras, lanes, and all that is kept of each. ``machine``: its newest word.

    First those end that are removed or others now, and are read to their last picture; then all
    that knows lanes takes over the new ones; then the new cameras begin.
    """
    segment, alarm = segmentation(work, plan), alarms(work, plan)
    if not plan.touches("cameras"):
        return _one_after_the_other(segment, alarm)
    stages, config = work.stages, plan.config

    def apply() -> None:
        ending = plan.removed | {camera.name for camera in plan.changed}
        beginning = (*plan.changed, *plan.added)
        with stages.capture.changing():
            if ending:
                stages.capture.remove(ending, DRAIN_S)
            stages.live.errands.do(partial(_change_live, stages, config), ERRAND_S)
            if segment is not None:
                segment()
            after = factories.lanes_of(config)
            names = plan.lanes_before - frozenset(after)
            for lane in names:
                stages.explain.forget(lane)
            work.telemetry.prime(after)
            _change_lanes(stages, config)
            if alarm is not None:
                alarm()
            added = frozenset(after) - plan.lanes_before
            tell = partial(_tell, stages, config, added, machine())
            stages.alarm_loop.errands.do(tell, ERRAND_S)
            gone.put(names | plan.removed, there={*after, *_names(config.cameras)})
            stages.capture.add(beginning, _names(config.cameras))

    return apply


def _one_after_the_other(*applies: Apply | None) -> Apply | None:
    wanted = [apply for apply in applies if apply is not None]
    if not wanted:
        return None

    def apply() -> None:
        for one in wanted:
            one()

    return apply


def _names(cameras: tuple[Camera, ...]) -> list[str]:
    return [camera.name for camera in cameras]


def _change_live(stages: Stages, config: Config) -> None:
    """By the live thread, between two batches: what is in view of a lane that ends is answered."""
    lanes = factories.lanes_of(config)
    stages.live.change_lanes(lanes)
    stages.newest.change_lanes(lanes, {name: one.cutting_line_deg for name, one in lanes.items()})


def _change_lanes(stages: Stages, config: Config) -> None:
    lanes = tuple(factories.lanes_of(config))
    stages.running.change_lanes(lanes)
    stages.history.change_lanes(factories.devices_of(config))
    stages.commands.change_lanes(lanes)


def _tell(stages: Stages, config: Config, lanes: frozenset[str], machine: MachineInfo) -> None:
    """By the thread of the alarms: new lanes hear what the machine said, and what is published of
    those that are gone is withdrawn."""
    for word in (*stages.running.heard(), machine):
        for lane in lanes:
            if word.lane in (None, lane):
                stages.alarm_loop.watch.on_machine(replace(word, lane=lane))
    for published in stages.published.change(factories.published(config)):
        for sink in stages.sinks:
            sink.withdraw(published, partial(stages.published.told, published.lane))
