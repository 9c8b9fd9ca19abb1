"""The reports of every stage, put together: the conditions of all alarms. Pure."""

from __future__ import annotations

import datetime
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent import config
from agent.alarms.catalogue import AGENT, Cause, Situation, suppression_reason
from agent.alarms.charts.charted import LaneCharts, Usual
from agent.alarms.charts.reference import Reference
from agent.alarms.condition import Condition, Detail
from agent.alarms.lane import LaneWatch, Surroundings
from agent.alarms.level import Judged
from agent.alarms.live_model import LiveModel
from agent.alarms.schedule import in_change_over
from agent.alarms.text.language import Fact
from agent.records import (
    CameraState,
    CameraStatus,
    Explanation,
    FruitReading,
    JobFailure,
    LinkStatus,
    MachineInfo,
    PoolStatus,
    Quality,
    SegmentedFrame,
    StorageCause,
    StorageStatus,
)

LOST = frozenset({CameraState.STALLED, CameraState.BACKOFF, CameraState.FAILED})
CONNECT_GRACE_S = 10.0
"""A camera that connects for the first time is lost when it takes longer."""
SHORT_OF_WORKERS_S = 30.0
WORKERS_START_S = 180.0
"""Workers load a model before they are ready for the first time."""
RESTARTED = "frozen_too_long"
"""The camera status' cause when the agent itself starts a frozen camera anew: it is not lost."""
TAKEN_OVER = "taken_over"  # the link's reason when another client has our id
CONFLICT_S = 300.0
LOSS_S = 3600.0
"""How long a loss of stored messages is an alarm after it happened, so that it is seen."""


@dataclass(slots=True)
class _Source:
    """One camera, the device, and what is known of it."""

    status: CameraStatus
    loss: CameraStatus | None = None  # what took it away, until it delivers again
    frozen: bool = False  # also while it is started anew because of that


class Watch:
    """Takes every report through ``on_*`` and returns all conditions on ``tick``.

    ``lanes`` are the names of all lanes; ``references``, by variety, are charted on each of them.
    Which camera feeds which lanes is learnt from the cameras' own statuses.
    """

    def __init__(
        self,
        settings: config.Alarms,
        lanes: Sequence[str],
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        self._lanes = {name: LaneWatch(name, settings.limits, references) for name in lanes}
        self._references = references
        self._change_overs = settings.change_overs
        self._sources: dict[str, _Source] = {}
        self._pool: PoolStatus | None = None
        self._pool_full_once = False
        self._pool_short_mono: float | None = None
        self._link_conflict: LinkStatus | None = None
        self._storage: StorageStatus | None = None
        self._live: LiveModel | None = None
        self._live_mono = -math.inf
        self._retired: frozenset[str] = frozenset()  # live before, in this start
        self._explained_other = ""  # what is explained instead of the live network
        self._now = -math.inf

    def configure(
        self, settings: config.Alarms, cameras: Collection[str], lanes: Sequence[str]
    ) -> None:
        """Go on with other settings, cameras and lanes; what stays keeps what was seen of it."""
        before = self._lanes
        self._lanes = {}
        for name in lanes:
            lane = before.get(name)
            if lane is None:
                lane = LaneWatch(name, settings.limits, self._references)
                if self._live is not None and self._retired:
                    lane.on_live_model(self._live, self._retired, self._now)
            lane.configure(settings.limits)
            self._lanes[name] = lane
        self._change_overs = settings.change_overs
        self._sources = {name: source for name, source in self._sources.items() if name in cameras}

    def on_fruit(self, reading: FruitReading, values: Mapping[str, float] | None = None) -> None:
        """Take one reading; ``values``: its signals, where a replay knows them already."""
        lane = self._lanes.get(reading.segmentation.lane)
        if lane is not None:
            lane.on_fruit(reading, values)

    def on_picture(self, seen: SegmentedFrame) -> None:
        """Take one picture of a lane; not all need come, but for their order of capture."""
        lane = self._lanes.get(seen.lane)
        if lane is not None:
            lane.on_picture(seen)

    def on_explanation(self, explanation: Explanation) -> None:
        self._compare_models(explanation)
        lane = self._lanes.get(explanation.lane)
        if lane is not None:
            lane.on_explanation(explanation)

    def on_live_model(self, model: LiveModel) -> None:
        """Take which network is live; the first word of it says what the watch was made with."""
        before, self._live = self._live, model
        self._references = model.references
        if before is None or before.sha256 == model.sha256:
            return
        self._live_mono, self._explained_other = self._now, ""
        self._retired = (self._retired | {before.sha256}) - {model.sha256}
        for lane in self._lanes.values():
            lane.on_live_model(model, self._retired, self._now)

    def _compare_models(self, explanation: Explanation) -> None:
        live = self._live
        if live is None or not explanation.model_sha256:
            return
        if explanation.model_sha256 == live.sha256:
            self._explained_other = ""
        elif self._now - self._live_mono > live.patience_s:
            self._explained_other = f"{explanation.model_name} {explanation.model_sha256[:8]}"

    def on_failure(self, failure: JobFailure) -> None:
        lane = self._lanes.get(failure.lane)
        if lane is not None:
            lane.on_failure(failure)

    def on_camera(self, status: CameraStatus) -> None:
        source = self._sources.setdefault(status.source_name, _Source(status))
        source.status = status
        if status.state in LOST and status.cause != RESTARTED:
            source.loss, source.frozen = status, False
        elif status.state in (CameraState.LIVE, CameraState.FROZEN, CameraState.ENDED):
            source.loss, source.frozen = None, status.state is CameraState.FROZEN

    def on_pool(self, status: PoolStatus) -> None:
        self._pool = status
        self._pool_full_once = self._pool_full_once or status.ready >= status.workers

    def workers_begin_anew(self) -> None:
        """They load a model again, and have the time of a start for it."""
        self._pool_full_once, self._pool_short_mono = False, None

    def on_link(self, status: LinkStatus) -> None:
        if status.reason == TAKEN_OVER:
            self._link_conflict = status

    def on_storage(self, status: StorageStatus) -> None:
        self._storage = status

    def on_machine(self, info: MachineInfo) -> None:
        for name, lane in self._lanes.items():
            if info.lane in (None, name):
                lane.machine.update(info, 0)
                lane.charts.announce(info.variety, self._now)

    def tick(
        self,
        now: float,
        local: datetime.datetime | None = None,
        unavailable: Collection[str] = (),
    ) -> list[Condition]:
        """Return every condition as of ``now``; a pure reading of what was reported.

        ``local``: the wall time, which change-overs by the clock go by; None: none goes on.
        ``unavailable``: ids of alarms that are shelved or out of service; no finding is attributed
        to one.
        """
        self._now = now
        scheduled = local is not None and in_change_over(self._change_overs, local)
        for lane in self._lanes.values():
            lane.machine.scheduled = scheduled
        workers = self._workers_degraded(now)
        explaining = self._pool is None or self._pool.workers > 0
        conditions: list[Condition] = [workers, self._session_conflict(now), self._spool_loss(now)]
        conditions.append(self._model_mismatch())
        for name, source in self._sources.items():
            conditions += self._camera(name, source, now)
        for lane in self._lanes.values():
            situations = self._situations(lane, now)
            if workers.beyond:
                situations.add(Situation.WORKERS_DEGRADED)
            live = self._is_live(lane.name)
            out = {cause for cause in Cause if f"{cause}-{lane.name}" in unavailable}
            conditions += lane.conditions(Surroundings(live, situations, explaining, now, out))
        return conditions

    def charts(self) -> Mapping[str, LaneCharts]:
        """The charts of every lane."""
        return {name: lane.charts for name, lane in self._lanes.items()}

    def levels(self) -> Mapping[str, Mapping[Cause, Judged]]:
        """What each lane's fixed limits were compared with at the last tick."""
        return {name: lane.levels for name, lane in self._lanes.items()}

    def usual(self) -> Mapping[str, Usual]:
        """Of each lane, how much of what decides the suture lies in the background, usually and
        now."""
        return {name: lane.charts.usual("reliance_input") for name, lane in self._lanes.items()}

    def follow_ups(self, now: float) -> list[str]:
        """Lanes of which more explanations are wanted from now on: a chart has begun to move."""
        return [name for name, lane in self._lanes.items() if lane.charts.follow_up_due(now)]

    # --- cameras ---------------------------------------------------------------------------------

    def _camera(self, name: str, source: _Source, now: float) -> Iterator[Condition]:
        state = source.status.state
        connecting = state is CameraState.CONNECTING
        lost, why = self._is_lost(source, now), source.loss or source.status
        situations: set[Situation] = {Situation.CAMERA_LOST} if lost else set()
        lanes = [self._lanes[lane] for lane in source.status.lanes if lane in self._lanes]
        if lanes and not all(lane.machine.running(now) for lane in lanes):
            situations.add(Situation.NOT_RUNNING)
        yield Condition(
            cause=Cause.CAMERA_LOST,
            subject=name,
            beyond=lost,
            back=not lost and not connecting,
            detail=Detail(
                Fact.CAMERA_STATE, {"state": str(why.state.value), "cause": str(why.cause)}
            ),
            suppressed_by=suppression_reason(Cause.CAMERA_LOST, situations),
        )
        seeing = state in (CameraState.LIVE, CameraState.FROZEN)
        yield Condition(
            cause=Cause.CAMERA_FROZEN,
            subject=name,
            beyond=state is CameraState.FROZEN if seeing else None,
            back=state is CameraState.LIVE,
            quality=Quality.GOOD if seeing else Quality.BAD,
            suppressed_by=suppression_reason(Cause.CAMERA_FROZEN, situations),
        )

    @staticmethod
    def _is_lost(source: _Source, now: float) -> bool:
        late = now - source.status.since_mono > CONNECT_GRACE_S
        connecting = source.status.state is CameraState.CONNECTING
        return source.loss is not None or (connecting and late)

    def _source_of(self, lane: str) -> _Source | None:
        feeding = (s for s in self._sources.values() if lane in s.status.lanes)
        return next(feeding, None)

    def _is_live(self, lane: str) -> bool:
        source = self._source_of(lane)
        return source is None or source.status.state is CameraState.LIVE

    def _situations(self, lane: LaneWatch, now: float) -> set[Situation]:
        situations: set[Situation] = set()
        if not lane.machine.running(now):
            situations.add(Situation.NOT_RUNNING)
        source = self._source_of(lane.name)
        if source is not None and self._is_lost(source, now):
            situations.add(Situation.CAMERA_LOST)
        if source is not None and source.frozen:
            situations.add(Situation.CAMERA_FROZEN)
        return situations

    # --- the agent as a whole --------------------------------------------------------------------

    def _workers_degraded(self, now: float) -> Condition:
        pool = self._pool
        if pool is None:
            return Condition(Cause.WORKERS_DEGRADED, AGENT, None, quality=Quality.UNCERTAIN)
        if pool.ready >= pool.workers:
            self._pool_short_mono = None
        elif self._pool_short_mono is None:
            self._pool_short_mono = now
        patience_s = SHORT_OF_WORKERS_S if self._pool_full_once else WORKERS_START_S
        short = self._pool_short_mono is not None and now - self._pool_short_mono >= patience_s
        short_of: dict[str, str | float] = {"ready": pool.ready, "workers": pool.workers}
        detail = Detail(Fact.WORKERS_SHORT, short_of)
        if pool.breaker_open:
            detail = Detail(Fact.EXPLAINING_OFF, {"reason": pool.reason})
        elif pool.reason:
            detail = Detail(Fact.WORKERS_SHORT_BECAUSE, {**short_of, "reason": pool.reason})
        return Condition(
            cause=Cause.WORKERS_DEGRADED,
            subject=AGENT,
            beyond=pool.breaker_open or short,
            back=not pool.breaker_open and self._pool_short_mono is None,
            value=float(pool.ready),
            limit=float(pool.workers),
            detail=detail,
        )

    def _session_conflict(self, now: float) -> Condition:
        conflict = self._link_conflict
        recent = conflict is not None and now - conflict.since_mono < CONFLICT_S
        return Condition(
            cause=Cause.BROKER_SESSION_CONFLICT,
            subject=AGENT,
            beyond=recent,
            back=not recent,
            detail=Detail(Fact.SESSION_TAKEN) if recent else "",
        )

    def _spool_loss(self, now: float) -> Condition:
        status = self._storage
        recent = status is not None and now - status.lost_mono < LOSS_S
        degraded = status.degraded if status is not None else ""
        detail: Detail | str = ""
        if degraded and status is not None and status.cause is StorageCause.DISK_HANGS:
            detail = Detail(Fact.DISK_HANGS)
        elif degraded:
            detail = Detail(Fact.DISK_UNREACHED, {"reason": degraded})
        elif recent and status is not None:
            detail = status.loss
        return Condition(
            cause=Cause.SPOOL_LOSS,
            subject=AGENT,
            beyond=recent or bool(degraded),
            back=not recent and not degraded,
            detail=detail,
        )

    def _model_mismatch(self) -> Condition:
        live, other = self._live, self._explained_other
        detail: Detail | str = ""
        if live is not None and other:
            named = {"live": f"{live.name} {live.sha256[:8]}", "explained": other}
            detail = Detail(Fact.MODELS_DIFFER, named)
        return Condition(
            cause=Cause.MODEL_MISMATCH,
            subject=AGENT,
            beyond=bool(other),
            back=not other,
            detail=detail,
        )
