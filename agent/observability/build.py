"""Puts the snapshot together from the newest records, the books and what each stage says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import (
    UNKNOWN,
    AgentView,
    CameraView,
    ExplanationsView,
    LevelView,
    MessagesView,
    ProcessView,
    RecordingView,
    RunningView,
    UsualView,
)
from agent.records import Alarm, CameraStatus, LinkStatus, MachineInfo, PoolStatus


@dataclass(frozen=True, slots=True)
class Now:
    """What the stages say at this moment; ``mono`` is the same clock as in the records.

    ``started_mono`` is when the agent began.
    """

    mono: float
    utc_ms: int
    started_mono: float
    statuses: Sequence[CameraStatus] = ()
    machine: MachineInfo = field(default_factory=MachineInfo)
    workers: PoolStatus | None = None
    link: LinkStatus | None = None
    alarms: Sequence[Alarm] = ()
    processes: Sequence[ProcessView] = ()
    recording: RecordingView = field(default_factory=RecordingView)
    levels: Mapping[str, Mapping[str, LevelView]] = field(default_factory=dict)  # by lane
    running: Mapping[str, RunningView] = field(default_factory=dict)  # by lane
    usual: Mapping[str, UsualView] = field(default_factory=dict)  # by lane


def build_view(
    first: AgentView, now: Now, newest: Newest, telemetry: PrometheusTelemetry
) -> AgentView:
    """Return the whole snapshot: ``first``, which says what does not change, with the rest put in.

    The books are those of the metrics, so that they agree.
    """
    return replace(
        first,
        utc_ms=now.utc_ms,
        uptime_s=max(0.0, now.mono - now.started_mono),
        machine=now.machine,
        cameras=tuple(_camera(camera, now, newest, telemetry) for camera in first.cameras),
        explanations=_explanations(now, newest, telemetry),
        workers=now.workers,
        link=now.link,
        messages=_messages(telemetry),
        recording=now.recording,
        alarms=tuple(now.alarms),
        evidence=newest.evidence_ids(),
        processes=tuple(now.processes),
    )


def _camera(
    first: CameraView, now: Now, newest: Newest, telemetry: PrometheusTelemetry
) -> CameraView:
    name = first.name
    status = next((s for s in now.statuses if name in s.lanes), None)
    # What has ended is read before what has begun: a difference below zero is a defect, no race.
    segmented = int(telemetry.total("frames_segmented", camera=name))
    drops = _counts(telemetry, "frames_dropped", ("stage", "reason"), camera=name)
    dropped = sum(drops.values())
    captured = int(telemetry.total("frames_captured", camera=name))
    return replace(
        first,
        state=status.state.value if status else "",
        device=status.source_name if status else "",
        cause=status.cause if status else "not started",
        state_age_s=max(0.0, now.mono - status.since_mono) if status else UNKNOWN,
        width_px=status.width_px if status else 0,
        height_px=status.height_px if status else 0,
        fps=telemetry.per_second("frames_segmented", camera=name),
        frame_age_s=newest.frame_age_s(name, now.mono),
        frames_captured=captured,
        frames_segmented=segmented,
        frames_dropped=dropped,
        frames_in_flight=captured - segmented - dropped,
        drops=drops,
        fruit=int(telemetry.total("fruit", camera=name)),
        fruit_no_read=int(telemetry.total("fruit_no_read", camera=name)),
        no_reads=_counts(telemetry, "fruit_no_read", ("reason",), camera=name),
        cups_empty=int(telemetry.total("cups_empty", camera=name)),
        fruit_per_minute=60.0 * telemetry.per_second("fruit", camera=name),
        reading=newest.reading(name, now.mono),
        running=now.running.get(name, RunningView()),
        usual=now.usual.get(name, UsualView()),
        levels=now.levels.get(name, {}),
        capture_to_mask=telemetry.quantiles("capture_to_mask_seconds", camera=name),
    )


def _explanations(now: Now, newest: Newest, telemetry: PrometheusTelemetry) -> ExplanationsView:
    completed = int(telemetry.total("jobs_completed"))
    drops = _counts(telemetry, "jobs_dropped", ("stage", "reason"))
    selected = int(telemetry.total("jobs_selected"))
    shown = (newest.explanation(camera, now.mono) for camera in newest.lanes)
    return ExplanationsView(
        selected=selected,
        completed=completed,
        dropped=sum(drops.values()),
        in_flight=selected - completed - sum(drops.values()),
        drops=drops,
        per_minute=60.0 * telemetry.per_second("jobs_completed"),
        compute=newest.compute.snapshot(now.mono),
        newest=tuple(one for one in shown if one is not None),
    )


def _messages(telemetry: PrometheusTelemetry) -> MessagesView:
    delivered = int(telemetry.total("messages_delivered"))
    drops = _counts(telemetry, "messages_dropped", ("topic_family", "reason"))
    dropped = sum(drops.values())
    enqueued = int(telemetry.total("messages_enqueued"))
    return MessagesView(
        enqueued=enqueued,
        delivered=delivered,
        dropped=dropped,
        in_flight=enqueued - delivered - dropped,
        drops=drops,
        limit=_gauge(telemetry, "messages_limit"),
        spool_bytes=_gauge(telemetry, "storage_bytes"),
        spool_limit_bytes=_gauge(telemetry, "storage_limit_bytes"),
        spool_oldest_s=max(
            telemetry.breakdown("spool_oldest_seconds", ("topic_family",)).values(),
            default=math.nan,
        ),
    )


def _gauge(telemetry: PrometheusTelemetry, name: str) -> float:
    """A gauge without labels; NaN before it was set."""
    return next(iter(telemetry.breakdown(name, ()).values()), math.nan)


def _counts(
    telemetry: PrometheusTelemetry, name: str, by: tuple[str, ...], /, **labels: str
) -> dict[str, int]:
    return {key: int(n) for key, n in telemetry.breakdown(name, by, **labels).items()}
