"""One frozen snapshot of the whole agent: what terminal, page and ``/api/v1/status`` show.

The wiring makes a new ``AgentView`` on request (a scrape of the page, a tick of the
terminal); nothing here is live, so a reader never sees half of a change. A number that is not known
is NaN and becomes ``null`` in JSON and a dash on the screen; a default never looks like a
measurement.

The field names are the keys of the API's JSON, which is why a lane is a ``camera`` here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.records import Alarm, LinkStatus, MachineInfo, PoolStatus

UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Quantiles of one duration over the newest window; NaN where there was no sample."""

    p50_s: float = UNKNOWN
    p95_s: float = UNKNOWN
    p99_s: float = UNKNOWN
    count: int = 0
    window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ReadingView:
    """The newest fruit of one camera. On a no-read ``angle_deg`` is -1.0 and ``confidence`` 0, as
    on the wire; ``confidence_raw`` is what was computed of the line all the same."""

    frame_id: str
    captured_utc_ms: int
    age_s: float
    read: bool
    angle_deg: float
    reason: str
    confidence: float
    confidence_raw: float = UNKNOWN
    plausibility: float = UNKNOWN
    fruit_id: str | None = None  # the machine's own, where it names its fruit
    stem_x_px: float = UNKNOWN
    stem_y_px: float = UNKNOWN
    chunks: Mapping[str, Any] = field(default_factory=dict)  # of its camera, in its picture


@dataclass(frozen=True, slots=True)
class LevelView:
    """What an alarm compares with its limit: ``value`` over the ``window`` newest samples.

    ``low``: too little is what is wrong. ``judged``: the alarm goes by it; it does not while there
    are too few samples, or old ones.
    """

    value: float
    limit: float
    window: int
    low: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class UsualView:
    """What the reference knows of the background's share in deciding the suture (the context
    reliance with the background hidden in the input), and what the charts have of it.

    ``held``: why nothing is compared now, empty while it is. ``low`` and ``high``: 1 % and 99 % of
    the reference's means over a window; ``mean``: of the newest window.
    """

    held: str = "no reference is configured"
    low: float = UNKNOWN
    high: float = UNKNOWN
    mean: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class RunningView:
    """Which variety and lot run on a lane, empty where nobody has named them, and since when.

    That is the last change-over, over restarts too. ``origin``: ``operator``, ``machine``,
    ``configuration`` for the only variety that has a reference, or ``nobody``.
    """

    variety: str = ""
    lot: str = ""
    origin: str = "nobody"
    since_utc_ms: int = 0  # 0: not known
    age_s: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class CameraView:
    """One camera (a lane is a camera): its state, its books and its newest reading.

    ``frames_captured = frames_segmented + frames_dropped + frames_in_flight``. ``drops`` holds
    counts by ``"stage/reason"``. ``fruit`` counts read and unread fruit, not empty cups.
    """

    name: str
    source: str  # without credentials
    state: str  # a value of records.CameraState
    device: str = ""  # the camera that feeds this lane, as alarms of a camera name it
    cause: str = ""
    state_age_s: float = UNKNOWN
    width_px: int = 0
    height_px: int = 0
    fps: float = UNKNOWN  # frames per second over the last minute
    frame_age_s: float = UNKNOWN  # since the newest frame was grabbed
    frames_captured: int = 0
    frames_segmented: int = 0
    frames_dropped: int = 0
    frames_in_flight: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)
    fruit: int = 0
    fruit_no_read: int = 0
    no_reads: Mapping[str, int] = field(default_factory=dict)  # by reason
    cups_empty: int = 0
    fruit_per_minute: float = UNKNOWN
    reading: ReadingView | None = None
    running: RunningView = RunningView()
    usual: UsualView = UsualView()
    levels: Mapping[str, LevelView] = field(default_factory=dict)  # by the alarm's cause
    capture_to_mask: Percentiles = Percentiles()


@dataclass(frozen=True, slots=True)
class ClassHistory:
    """One class over the newest explanations, oldest first; columns of one length, NaN: undefined.

    Of occlusions in the input, like the limits that alarms judge by.
    """

    foreground: tuple[float, ...] = ()
    background: tuple[float, ...] = ()
    reliance: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassView:
    """What the newest explanation says of one class.

    Sensitivities and reliances are in [0, 1], NaN when undefined. ``value_range`` is the value that
    the heat map shows in full colour. The controls: ``spot_error`` is the relative error of one
    channel against a plain run of the model, ``estimate_error`` that of estimated channels.
    """

    class_name: str
    explainable: bool
    reason: str = ""
    sensitivity_foreground: float = UNKNOWN
    sensitivity_background: float = UNKNOWN
    context_reliance: float = UNKNOWN
    input_sensitivity_foreground: float = UNKNOWN
    input_sensitivity_background: float = UNKNOWN
    input_context_reliance: float = UNKNOWN
    value_range: float = UNKNOWN
    spot_error: float = UNKNOWN
    estimate_error: float = UNKNOWN
    history: ClassHistory = ClassHistory()


@dataclass(frozen=True, slots=True)
class MapView:
    """The newest heat map of one class: which frame it explains, and what that explanation says.

    It may be older than the newest explanation, which can lack a class. ``value_range`` is the
    value that its published picture shows in full colour; ``range_fixed``: it comes from what is
    usual, not from this map alone. The numbers are those of the record, in [0, 1], NaN when
    undefined: ``context_reliance`` (with the background hidden in the input) and ``relevance_mass``
    by class and ``elsewhere``.
    """

    class_name: str
    frame_id: str
    captured_utc_ms: int
    age_s: float
    value_range: float = UNKNOWN
    range_fixed: bool = True
    explainable: bool = True
    reason: str = ""  # why it is not, or what the record remarks
    sampling_class: str = ""
    rung: str = ""
    context_reliance: float = UNKNOWN
    sensitivity_foreground: float = UNKNOWN  # in the input, as the next
    sensitivity_background: float = UNKNOWN
    relevance_mass: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """The newest explanation of one camera, without its arrays."""

    camera: str
    frame_id: str
    captured_utc_ms: int
    age_s: float  # since the explained frame was grabbed
    sampling_class: str
    rung: str
    method: str
    layer: str
    seconds: float
    classes: tuple[ClassView, ...] = ()
    maps: tuple[MapView, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplanationsView:
    """The books of the explanation jobs: ``selected = completed + dropped + in_flight``."""

    selected: int = 0
    completed: int = 0
    dropped: int = 0
    in_flight: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)  # by "stage/reason"
    per_minute: float = UNKNOWN
    compute: Percentiles = Percentiles()
    newest: tuple[ExplanationView, ...] = ()  # at most one per camera


@dataclass(frozen=True, slots=True)
class MessagesView:
    """The books of the publisher: ``enqueued = delivered + dropped + in_flight``."""

    enqueued: int = 0
    delivered: int = 0
    dropped: int = 0
    in_flight: int = 0
    drops: Mapping[str, int] = field(default_factory=dict)  # by "topic_family/reason"
    limit: float = UNKNOWN  # messages that may wait in memory
    spool_bytes: float = UNKNOWN  # on the disk: events, evidence, explanations, state
    spool_limit_bytes: float = UNKNOWN
    spool_oldest_s: float = UNKNOWN  # 0: nothing waits on the disk


@dataclass(frozen=True, slots=True)
class RecordingView:
    """Pictures that are kept on the disk to be labelled. ``records`` by the reason under which they
    are booked; ``paused``: why nothing is written although it is on, empty while it is."""

    on: bool = False
    since_utc_ms: int = 0  # on, or off
    by: str = ""
    paused: str = ""
    records: Mapping[str, int] = field(default_factory=dict)
    size_bytes: int = 0
    limit_bytes: int = 0
    oldest_utc_ms: int = 0  # 0: there is none
    recorded: int = 0  # since the start, as the next
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class ProcessView:
    """Resident memory of one kind of process: agent, capture, worker, broker, http."""

    process: str
    count: int
    resident_bytes: int


@dataclass(frozen=True, slots=True)
class LimitsView:
    """Configured limits of alarms, for the charts; NaN where there is none."""

    foreground_sensitivity: float = UNKNOWN  # an alarm below it
    background_reliance: float = UNKNOWN  # an alarm above it
    no_read_rate: float = UNKNOWN
    latency_p95_s: float = UNKNOWN


@dataclass(frozen=True, slots=True)
class AgentView:
    """The whole snapshot."""

    agent_id: str
    version: str
    session: str
    utc_ms: int
    uptime_s: float
    config_hash: str
    model_name: str
    model_sha256: str
    layer: str
    broker_url: str = ""  # without credentials
    http_url: str = ""
    machine: MachineInfo = field(default_factory=MachineInfo)
    cameras: tuple[CameraView, ...] = ()
    explanations: ExplanationsView = ExplanationsView()
    workers: PoolStatus | None = None
    link: LinkStatus | None = None  # None: publishing is off
    messages: MessagesView = MessagesView()
    recording: RecordingView = RecordingView()
    alarms: tuple[Alarm, ...] = ()
    evidence: tuple[str, ...] = ()  # event ids whose picture can be asked for
    limits: LimitsView = LimitsView()
    processes: tuple[ProcessView, ...] = ()
    actions: tuple[str, ...] = ()  # commands that the page may give, with the token for that
    shelve_max_s: float = UNKNOWN  # longest time that an operator may shelve an alarm for
    config_changed_utc_ms: int = 0  # since when the configuration is what it is; 0: not known
    config_changed_by: str = ""  # who asked for that: start, SIGHUP, or uid 1000 (name)
    config_hash_before: str = ""
