"""The catalogue of metrics and the small interface through which every stage reports.

Only the parent owns a Prometheus registry (``agent.observability``); stages are handed a
``Telemetry`` and never see it. An unknown name or a wrong label set is a programming error and
raises, in ``NullTelemetry`` as well, so that a test without Prometheus finds it.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Kind(enum.Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported metric; ``name`` is without the ``pitwatch_`` prefix and ``_total`` suffix.

    ``formerly``: a gauge's name up to the version before, under which it is exported too until the
    next one.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    formerly: str = ""


# Around the budgets: one fruit every 214 ms, a mask within one of them, an explanation within the
# job deadline of seconds.
FAST_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.03,
    0.05,
    0.075,
    0.1,
    0.15,
    0.214,
    0.3,
    0.5,
    1.0,
    2.5,
)
SLOW_BUCKETS = (0.025, 0.05, 0.107, 0.214, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

_NAMED: tuple[Metric, ...] = (
    # frames: captured = segmented + dropped + in flight, per camera (a lane is a camera)
    Metric("frames_captured", Kind.COUNTER, "Frames grabbed from the camera", ("camera",)),
    Metric("frames_segmented", Kind.COUNTER, "Frames segmented", ("camera",)),
    Metric("frames_dropped", Kind.COUNTER, "Frames lost", ("camera", "stage", "reason")),
    Metric("frames_in_flight", Kind.GAUGE, "Frames between grab and mask", ("camera",)),
    Metric("pictures_unreadable", Kind.COUNTER, "Pictures that never became a frame", ("camera", "reason")),
    Metric("pictures_remarked", Kind.COUNTER, "Pictures used although something is left out or looks wrong", ("camera", "kind")),
    Metric("pictures_lost", Kind.COUNTER, "Pictures that a machine camera took and that never came, by its own count", ("camera", "reason")),
    Metric("triggers_lost", Kind.COUNTER, "Triggers of which a machine camera took no picture", ("camera",)),
    Metric("camera_packets", Kind.COUNTER, "Packets of a machine camera's stream that were sent again or are missing", ("camera", "kind")),
    Metric("camera_temperature_celsius", Kind.GAUGE, "Temperature that a machine camera reports", ("camera",)),
    Metric("camera_clock_offset_seconds", Kind.GAUGE, "Distance of a machine camera's clock to its PTP master", ("camera",)),
    Metric("camera_chunk", Kind.GAUGE, "Newest value of a chunk: a fact that a machine camera puts into its pictures", ("camera", "chunk")),
    Metric("picture_facts_lost", Kind.COUNTER, "Pictures whose facts of machine and truth were too long to come along", ("camera",)),
    Metric("camera_state", Kind.GAUGE, "1 for the state that the camera is in", ("camera", "state")),
    Metric("camera_transitions", Kind.COUNTER, "Changes of camera state", ("camera", "state", "reason")),
    Metric("camera_fps", Kind.GAUGE, "Frame rate that the source reports, Hz", ("camera",)),
    Metric("last_frame_timestamp_seconds", Kind.GAUGE, "Unix time of the newest frame", ("camera",)),
    Metric("capture_interval_seconds", Kind.HISTOGRAM, "Time between two grabs", ("camera",), FAST_BUCKETS),
    Metric("capture_to_mask_seconds", Kind.HISTOGRAM, "From grab to finished reading", ("camera",), FAST_BUCKETS),
    Metric("queue_wait_seconds", Kind.HISTOGRAM, "Time spent waiting before a stage", ("stage",), FAST_BUCKETS),
    Metric("segmentation_seconds", Kind.HISTOGRAM, "One batch through the network", (), FAST_BUCKETS),
    # fruit
    Metric("fruit", Kind.COUNTER, "Fruit that passed, read or not", ("camera",)),
    Metric("fruit_no_read", Kind.COUNTER, "Fruit without an angle", ("camera", "reason")),
    Metric("cups_empty", Kind.COUNTER, "Cups without a fruit", ("camera",)),
    Metric("pictures_late", Kind.COUNTER, "Pictures of a fruit already answered: many mean a stuck fruit counter", ("camera",)),
    Metric("fruit_ids", Kind.COUNTER, "Fruit of a machine that names them, by why the id is not certain (none: it is)", ("camera", "reason")),
    Metric("fruit_id_wait_seconds", Kind.HISTOGRAM, "Time that a finished reading waited for its fruit id", ("camera",), FAST_BUCKETS),
    Metric("suture_angle_degrees", Kind.HISTOGRAM, "Angle to the cutting line", ("camera",),
           tuple(float(a) for a in range(15, 181, 15))),
    Metric("reading_confidence_ratio", Kind.GAUGE, "Confidence of the newest reading, 0 without an angle", ("camera",), formerly="reading_confidence"),
    Metric("reading_plausibility_ratio", Kind.GAUGE, "How like fruit the newest picture is, where the model can tell", ("camera",), formerly="reading_plausibility"),
    Metric("margin", Kind.GAUGE, "Mean margin of the newest frame", ("camera", "class")),
    # explanation jobs: selected = completed + dropped + in flight
    Metric("jobs_selected", Kind.COUNTER, "Frames chosen for explanation", ("camera", "class")),
    Metric("jobs_completed", Kind.COUNTER, "Explanations made", ("camera", "rung")),
    Metric("jobs_dropped", Kind.COUNTER, "Jobs without an explanation", ("camera", "stage", "reason")),
    Metric("jobs_in_flight", Kind.GAUGE, "Jobs waiting or being explained", ("camera",)),
    Metric("candidates_skipped", Kind.COUNTER, "Frames that sampling let go", ("camera", "reason")),
    Metric("explain_requests_unanswered", Kind.COUNTER, "Operators' requests that no frame answered in time", ("camera",)),
    Metric("ablation_seconds", Kind.HISTOGRAM, "Compute time of one explanation", ("method",), SLOW_BUCKETS),
    Metric("explanation_wait_seconds", Kind.HISTOGRAM, "From grab to finished explanation", ("camera",), SLOW_BUCKETS),
    Metric("last_explanation_timestamp_seconds", Kind.GAUGE, "Unix time of the newest explained frame", ("camera",)),
    Metric("sensitivity_ratio", Kind.GAUGE, "Occlusion sensitivity of the newest explanation, at the layer or in the input", ("camera", "class", "region", "place"), formerly="sensitivity"),
    Metric("context_reliance_ratio", Kind.GAUGE, "Background share of the sensitivity", ("camera", "class", "place"), formerly="context_reliance"),
    Metric("signal", Kind.GAUGE, "Watched signals of the newest explanation of a suture", ("camera", "signal")),
    Metric("workers", Kind.GAUGE, "Ablation workers by state", ("state",)),
    Metric("worker_restarts", Kind.COUNTER, "Ablation workers replaced", ("reason",)),
    Metric("breaker_open", Kind.GAUGE, "1 while explanations are switched off after too many restarts"),
    Metric("worker_memory_bytes", Kind.GAUGE, "Resident memory of a worker", ("slot",)),
    Metric("cluster_connected", Kind.GAUGE, "1 while the agent is part of its Ray cluster"),
    Metric("cluster_driver_restarts", Kind.COUNTER, "Drivers of the Ray cluster that ended", ("reason",)),
    Metric("cluster_results_late", Kind.COUNTER, "Answers of the cluster that came after their job's end"),
    Metric("workers_stand_in", Kind.GAUGE, "1 while workers of this computer stand in for the cluster"),
    # charts against the reference of the variety that runs
    Metric("signal_mean", Kind.GAUGE, "Mean of a signal over its newest window", ("camera", "signal")),
    Metric("chart_value", Kind.GAUGE, "Value of a control chart, in normal scores", ("camera", "signal", "side", "chart")),
    Metric("chart_limit", Kind.GAUGE, "Limit of a control chart, in normal scores", ("camera", "signal", "side", "chart")),
    Metric("charts_held", Kind.GAUGE, "1 while nothing is charted: the machine stands, or the reference does not fit", ("camera",)),
    # pictures that are recorded
    Metric("recording_on", Kind.GAUGE, "1 while pictures are recorded, 0 while that is off or paused"),
    Metric("recorded_pictures", Kind.COUNTER, "Pictures recorded, by the reason under which they are booked", ("camera", "reason")),
    Metric("recordings_dropped", Kind.COUNTER, "Pictures that were to be recorded and are not", ("camera", "reason")),
    Metric("recordings_removed", Kind.COUNTER, "Recordings removed for their age or for newer ones", ("reason",)),
    Metric("recordings_bytes", Kind.GAUGE, "Bytes of the recordings", ("reason",)),
    Metric("recordings_oldest_seconds", Kind.GAUGE, "Age of the oldest recording"),
    # another model beside the live one
    Metric("model_changes", Kind.COUNTER, "Models staged, refused, promoted, taken back, discarded", ("action",)),
    Metric("shadow_pictures", Kind.COUNTER, "Pictures that a staged model has seen beside the live one", ("outcome",)),
    Metric("shadow_busy_seconds", Kind.COUNTER, "Time that the process of a staged model has taken"),
    Metric("shadow_dice_ratio", Kind.GAUGE, "Agreement of the staged model's newest mask with the live one's", ("class",)),
    # alarms
    Metric("alarm_active", Kind.GAUGE, "1 while the condition is true; camera: what the alarm is of, or agent", ("alarm", "camera")),
    Metric("alarm_value_ratio", Kind.GAUGE, "Share that an alarm compares with its limit, over its window", ("alarm", "camera")),
    Metric("alarm_value_seconds", Kind.GAUGE, "Duration that an alarm compares with its limit, over its window", ("alarm", "camera")),
    Metric("alarm_limit_ratio", Kind.GAUGE, "Configured limits of alarms that are shares", ("limit",)),
    Metric("alarm_limit_seconds", Kind.GAUGE, "Configured limits of alarms that are durations", ("limit",)),
    Metric("alarm_window_samples", Kind.GAUGE, "Configured windows of alarms, in fruit or explanations", ("limit",)),
    Metric("alarm_limit", Kind.GAUGE, "Old name of the three above, until the next version: limits in the unit of what they limit", ("limit",)),
    Metric("alarm_transitions", Kind.COUNTER, "Alarm records made; hidden: told to nobody", ("alarm", "camera", "transition")),
    Metric("variety_change_timestamp_seconds", Kind.GAUGE, "Unix time at which the machine or an operator last named another variety"),
    # messages: enqueued = delivered + dropped + in flight
    Metric("messages_enqueued", Kind.COUNTER, "Messages handed to the publisher", ("topic_family",)),
    Metric("last_delivered_timestamp_seconds", Kind.GAUGE, "Unix time at which the broker was last seen to take messages", ()),
    Metric("messages_delivered", Kind.COUNTER, "Messages that the broker took", ("topic_family",)),
    Metric("messages_dropped", Kind.COUNTER, "Messages lost", ("topic_family", "reason")),
    Metric("messages_in_flight", Kind.GAUGE, "Messages waiting or unacknowledged", ("topic_family",)),
    Metric("messages_limit", Kind.GAUGE, "Messages that may wait before the least important are dropped"),
    Metric("messages_replayed", Kind.COUNTER, "Messages sent from the disk after an outage", ("topic_family",)),
    Metric("publish_results", Kind.COUNTER, "Broker answers by reason", ("topic_family", "reason")),
    Metric("broker_connected", Kind.GAUGE, "1 while the broker connection stands", ("client",)),
    Metric("broker_connects", Kind.COUNTER, "Connection attempts by outcome", ("outcome", "client")),
    Metric("broker_disconnects", Kind.COUNTER, "Connections that ended", ("reason", "client")),
    Metric("publish_limit_per_second", Kind.GAUGE, "Messages a second that a connection is sent at most, as configured or learnt; 0: not limited", ("client",)),
    Metric("broker_restarts", Kind.COUNTER, "Processes of the embedded broker that were replaced", ("reason",)),
    Metric("machine_messages", Kind.COUNTER, "Machine state reports", ("transport", "outcome")),
    Metric("machine_words_unused", Kind.COUNTER, "Machine reports whose fruit id named no picture, by reason", ("camera", "reason")),
    Metric("commands", Kind.COUNTER, "Operators' commands by outcome", ("command", "outcome")),
    Metric("alarm_to_puback_seconds", Kind.HISTOGRAM, "From capture to the broker's word for an alarm", (), SLOW_BUCKETS),
    Metric("cam_to_puback_seconds", Kind.HISTOGRAM, "From capture to the broker's word for a CAM", ("camera",), SLOW_BUCKETS),
    # what survives a restart
    Metric("storage_durable", Kind.GAUGE, "1 while every commit reaches the disk"),
    Metric("storage_losses", Kind.COUNTER, "Files set aside, and failures of the disk", ("reason",)),
    Metric("storage_pending", Kind.GAUGE, "Messages that wait in memory because no disk takes them"),
    Metric("storage_bytes", Kind.GAUGE, "Bytes of the database that hold something"),
    Metric("storage_limit_bytes", Kind.GAUGE, "Cap of the database"),
    Metric("spool_oldest_seconds", Kind.GAUGE, "Age of the oldest message that waits on the disk; 0: none", ("topic_family",)),
    Metric("spool_age_limit_seconds", Kind.GAUGE, "Age at which a waiting message is given up", ("topic_family",)),
    Metric("history_rows", Kind.COUNTER, "Minutes of lanes and occurrences of alarms for the page's history, by what became of them", ("kind", "outcome")),
    Metric("storage_commit_seconds", Kind.HISTOGRAM, "One transaction with its sync", (), FAST_BUCKETS),
    # Sparkplug
    Metric("sparkplug_online", Kind.GAUGE, "1 while the node is born"),
    Metric("sparkplug_births", Kind.COUNTER, "Births of the node by reason", ("reason",)),
    Metric("sparkplug_messages", Kind.COUNTER, "Sparkplug messages handed to the broker", ("type",)),
    Metric("sparkplug_samples", Kind.COUNTER, "Values by what became of them", ("outcome",)),
    Metric("sparkplug_samples_waiting", Kind.GAUGE, "Values kept for after an outage"),
    Metric("sparkplug_commands", Kind.COUNTER, "Commands and states of hosts", ("outcome",)),
    # the agent itself
    Metric("news_lost", Kind.COUNTER, "News that the alarm desk had no room for", ("kind",)),
    Metric("control_requests", Kind.COUNTER, "Questions and orders of commands on this machine", ("command", "result")),
    Metric("loop_age_seconds", Kind.GAUGE, "Time since a loop of the parent last moved", ("loop",)),
    Metric("certificate_expiry_timestamp_seconds", Kind.GAUGE, "Unix time until which a certificate of the configuration holds", ("use",)),
    Metric("clock_synchronised", Kind.GAUGE, "1 while the kernel holds its clock for synchronised"),
    Metric("process_memory_bytes", Kind.GAUGE, "Resident memory by kind of process", ("process",)),
    Metric("log_events", Kind.COUNTER, "Log events by level", ("level",)),
    Metric("log_events_suppressed", Kind.COUNTER, "Repeated log events not written"),
    Metric("log_file_lines_lost", Kind.COUNTER, "Lines that the log file did not take: its disk is full or fails"),
    Metric("log_file_rotations_failed", Kind.COUNTER, "Rotations of the log file that its folder refused"),
    Metric("telemetry_errors", Kind.COUNTER, "Telemetry calls refused, or a label value folded into 'other'", ("reason",)),
    Metric("http_restarts", Kind.COUNTER, "Processes of the HTTP server that were replaced", ("reason",)),
    Metric("http_requests", Kind.COUNTER, "Requests served", ("route", "status")),
    Metric("config_reloads", Kind.COUNTER, "Times the configuration was read again, by what came of it", ("result",)),
    Metric("info", Kind.GAUGE, "1, with the versions as labels", ("version", "model", "model_sha256", "config_hash")),
)  # fmt: skip

CATALOGUE = (
    *_NAMED,
    *(
        Metric(
            one.formerly, one.kind, f"Old name of {one.name}, until the next version", one.labels
        )
        for one in _NAMED
        if one.formerly
    ),
)
FORMERLY = {one.name: one.formerly for one in _NAMED if one.formerly}

BY_NAME = {metric.name: metric for metric in CATALOGUE}


class Telemetry(Protocol):
    """What a stage may say about itself. Every call is cheap and never blocks or raises on load."""

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        """Set a gauge."""

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        """Record one value in a histogram; ``exemplar`` is a frame id."""

    def beat(self, loop: str, /) -> None:
        """Say that a loop of the parent has moved; /livez watches the ages."""


def check(name: str, kind: Kind, labels: dict[str, str]) -> Metric:
    """Return the catalogue entry; ``KeyError`` or ``ValueError`` for a call that breaks it."""
    metric = BY_NAME[name]
    if metric.kind is not kind or set(labels) != set(metric.labels):
        raise ValueError(
            f"{name} is a {metric.kind.value} with labels {metric.labels}, not {labels}"
        )
    return metric


class NullTelemetry:
    """Checks every call against the catalogue and keeps nothing."""

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        check(name, Kind.COUNTER, labels)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        check(name, Kind.GAUGE, labels)

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        check(name, Kind.HISTOGRAM, labels)

    def beat(self, loop: str, /) -> None:
        pass


def log_event(logger: logging.Logger, level: int, event: str, /, **fields: object) -> None:
    """Log one event with its fields; the formatter turns them into key=value or JSON.

    ``event`` is a constant in snake case, so that a line can be searched for and repeats counted.
    """
    logger.log(level, event, extra={"fields": fields})


Clock = Callable[[], float]
"""Returns seconds; ``time.monotonic`` in production, a fake in tests."""


def wall_clock_ms() -> int:
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
