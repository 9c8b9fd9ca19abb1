"""The values that flow from stage to stage: frozen, slotted, and free of behaviour.

Units and clocks are in the names: ``_utc_ms`` is Unix time in milliseconds taken right after the
grab, ``_mono`` is ``time.monotonic()`` in seconds (system-wide on Linux, so a child's stamp
compares with the parent's), ``_px`` counts pixels of the lane's picture, ``_deg`` is degrees.

Arrays that cross a stage are never written to again by either side.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BACKGROUND = "background"
SUTURE = "suture"
STEM = "stem"
CLASSES = (BACKGROUND, SUTURE, STEM)

ANGLE_NO_READ = -1.0
"""What ``angle_deg`` holds when there is no reading; a reading is always in [0, 180)."""


# --- the machine ---------------------------------------------------------------------------------


class MachineState(enum.StrEnum):
    """What the PLC says the machine is doing; UNKNOWN until it says anything."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    STOPPED = "stopped"
    CLEANING = "cleaning"
    CHANGE_OVER = "change-over"


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """The machine's own word, by MQTT or HTTP: carried into every reading that follows.

    ``agent.machine.parse_machine`` reads it from the JSON of either transport.
    """

    state: MachineState = MachineState.UNKNOWN
    fruit_id: str | None = None
    encoder: int | None = None
    variety: str | None = None
    lot: str | None = None
    received_utc_ms: int = 0


# --- capture -------------------------------------------------------------------------------------


class CaptureMode(enum.StrEnum):
    """TRIGGERED: one picture a fruit. FREE_RUN: a fruit crosses several pictures."""

    TRIGGERED = "triggered"
    FREE_RUN = "free-run"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one lane.

    ``image`` is (H, W, 3) uint8 in BGR order; ``aperture`` is (H, W) bool, true inside the round
    field of view, or None when the whole picture is inside. ``seq`` rises by one per captured frame
    of this lane, dropped ones included, so that a gap is a counted loss. ``truth`` is what a
    simulator knows (``angle_deg``, ``stem_x_px`` ...), empty for a real camera; it is for tests and
    score cards only and never read by a stage.
    """

    lane: str
    frame_id: str
    seq: int
    captured_utc_ms: int
    captured_mono: float
    image: NDArray[np.uint8]
    aperture: NDArray[np.bool_] | None = None
    machine: MachineInfo = field(default_factory=MachineInfo)
    truth: Mapping[str, Any] = field(default_factory=dict)


class CameraState(enum.StrEnum):
    """Life of one camera; the allowed edges are one table in ``agent.capture.states``."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    FROZEN = "frozen"
    BACKOFF = "backoff"
    FAILED = "failed"
    ENDED = "ended"  # a finite source (folder or file with loop=0) was read to its end


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """What capture says of one physical camera after each change of state."""

    source_name: str
    lanes: tuple[str, ...]  # those that this source feeds
    state: CameraState
    cause: str
    since_mono: float
    width_px: int = 0
    height_px: int = 0
    fps: float = 0.0
    attempts: int = 0
    detail: str = ""


# --- segmentation --------------------------------------------------------------------------------


class NoReadReason(enum.StrEnum):
    """Why a fruit got no angle. NONE belongs to a reading."""

    NONE = "none"
    EMPTY = "empty"  # no fruit in the cup
    NO_SUTURE = "no_suture"  # a fruit, but too few suture pixels
    AMBIGUOUS = "ambiguous"  # suture pixels that fit no single line
    LOW_CONFIDENCE = "low_confidence"
    IMAGE_QUALITY = "image_quality"  # black, saturated or otherwise unusable picture


@dataclass(frozen=True, slots=True)
class Reading:
    """The angle of the suture line, or no read.

    ``angle_deg``: 0 <= a < 180, counter-clockwise as seen in the picture, 0 = the camera's
    configured cutting line; ANGLE_NO_READ with a reason otherwise. ``confidence``: calibrated
    probability in [0, 1] that the error is at most 5 degrees. ``stem_*``: centre of the stem cavity
    in pixels of the lane's picture (and in mm when the camera knows mm per px), NaN when absent.
    """

    read: bool
    angle_deg: float
    reason: NoReadReason
    confidence: float
    stem_x_px: float
    stem_y_px: float
    stem_x_mm: float
    stem_y_mm: float


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """What the network saw in one frame.

    ``mask`` is (h, w) uint8 class indices on the network's grid; ``margins`` holds, per class, the
    mean margin (logit minus logsumexp of the others) over that class's predicted pixels inside the
    aperture (NaN where the class has none); ``areas`` the share of the aperture per class.
    """

    lane: str
    frame_id: str
    seq: int
    captured_utc_ms: int
    captured_mono: float
    classes: tuple[str, ...]
    mask: NDArray[np.uint8]
    margins: tuple[float, ...]
    areas: tuple[float, ...]
    reading: Reading
    machine: MachineInfo
    done_mono: float
    seconds: float  # time in the network and its post-processing, this frame's share of the batch
    brightness: float = 0.0  # mean grey level inside the aperture, 0..255
    entropy: float = 0.0  # mean entropy of the class probabilities inside the aperture, nats
    coverage: float = 1.0  # share of the aperture that is not dark: how much fruit is in view
    focus: float = 0.0  # mean |Laplacian| inside the aperture, grey levels: falls with blur
    warmth: float = 0.0  # mean red minus mean blue inside the aperture, grey levels


@dataclass(frozen=True, slots=True)
class FruitReading:
    """The one reading of one fruit on one lane: what goes to SCADA.

    In triggered mode every frame is a fruit; in free-run ``frames`` pictures were weighed and the
    best one's segmentation is kept. ``cup_empty`` marks an empty cup, which is no fruit.
    ``camera_frozen``: its camera repeats one picture, so that nothing is known of this fruit.
    """

    segmentation: SegmentedFrame
    frames: int = 1
    cup_empty: bool = False
    camera_frozen: bool = False

    @property
    def empty(self) -> bool:
        """Whether there was no fruit: by the pictures of the cup, or by the one that was read."""
        return self.cup_empty or self.segmentation.reading.reason is NoReadReason.EMPTY


# --- sampling ------------------------------------------------------------------------------------


class SamplingClass(enum.StrEnum):
    """Why a frame is explained, highest priority first."""

    ALARM = "alarm"
    OPERATOR = "operator"
    UNCERTAIN = "uncertain"
    PERIODIC = "periodic"


class Rung(enum.StrEnum):
    """The quality ladder: what an explanation may leave out when time is short."""

    EXACT = "exact"  # every channel, every fraction
    PARTIAL = "partial"  # exact for some channels, the rest estimated with its error
    COARSE = "coarse"  # as PARTIAL, and regions at 100 % only


@dataclass(frozen=True, slots=True)
class Selection:
    """One explanation job: a frame, what the live path saw in it, and what it may cost."""

    job_id: str
    frame: Frame
    segmentation: SegmentedFrame
    sampling_class: SamplingClass
    rung: Rung
    selected_mono: float
    deadline_s: float
    compute_s: float = 0.0
    """Worker-seconds booked for it; PARTIAL and COARSE refine no longer than this (0: deadline)."""


# --- explanation ---------------------------------------------------------------------------------


class Region(enum.StrEnum):
    """Which cells of the layer an occlusion sets to the baseline."""

    FOREGROUND = "foreground"  # the class's own cells
    BACKGROUND = "background"  # the complement inside the aperture
    BACKGROUND_EQUAL = "background_equal"  # as many background cells as the foreground has
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class RegionOcclusion:
    """Effect of one region occlusion on one class, after the formulas of region occlusion."""

    region: Region
    fraction: float  # share of the region's cells, 0..1
    cells: int
    y: float  # score with the region occluded
    dice: float  # perturbed against unperturbed prediction of the class; NaN when both are empty
    margin_inside: float
    margin_outside: float


@dataclass(frozen=True, slots=True)
class Gain:
    """Area under one curve of insertion or deletion, and what it wins over its controls.

    The score runs from 0 (all hidden) to 1 (nothing hidden). Positive gains are better for both
    measures. NaN where hiding everything hardly costs anything.
    """

    measure: str  # insertion or deletion
    fill: str  # mean or blur
    auc: float
    over_random: float
    over_mean_map: float


@dataclass(frozen=True, slots=True)
class CrossChecks:
    """Costly checks, made on one explanation in so many and in studies; NaN where one is missing.

    Both correlations are Spearman's, of ranks.
    """

    hires_correlation: float = math.nan  # map with the HiRes gradient map, cell by cell
    baseline_correlation: float = math.nan  # deltas of the two baselines, channel by channel
    gains: tuple[Gain, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassExplanation:
    """Everything that one pass says about one class.

    ``deltas`` is (K,) float64 ``y - y_k``; ``map`` is (h, w) float32, signed, on the layer's grid.
    ``exact`` is (K,) bool: which deltas were computed, the others being estimates. A class that
    cannot be explained has ``explainable`` false, a reason, and empty arrays.
    """

    class_name: str
    explainable: bool
    reason: str
    y: float
    y_null: float
    null_tolerance: float
    y_all: float
    deltas: NDArray[np.float64]
    map: NDArray[np.float32]
    mean_map: NDArray[np.float32]  # unweighted mean of the activation maps: the control picture
    exact: NDArray[np.bool_]
    estimate_error: float  # mean |estimate - exact| on random channels over max |delta|; 0 if exact
    spot_channel: int
    spot_error: float  # relative error of that channel against a plain re-run of the model
    all_ones_share: float
    sign_balance: float
    sensitivity_foreground: float  # [0, 1]; NaN when undefined
    sensitivity_background: float  # background_equal, averaged over draws
    context_reliance: float
    occlusions: tuple[RegionOcclusion, ...]
    # The same cells hidden in the input, which no skip of the network bypasses: the arbiter.
    input_sensitivity_foreground: float = math.nan
    input_sensitivity_background: float = math.nan
    input_context_reliance: float = math.nan
    score: str = ""  # which score the deltas and y are of
    relevance_mass: Mapping[str, float] = field(default_factory=dict)
    """Share of the map's positive relevance per foreground class and ``elsewhere``."""
    agreement: float = math.nan  # rank correlation of the positive map with spatial occlusion
    checks: CrossChecks | None = None  # None: not made for this explanation


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture for people: the heat map of one class over the frame."""

    class_name: str
    content_type: str
    data: bytes
    width_px: int
    height_px: int
    value_range: float = 0.0  # the map's value drawn in full colour; 0 when nothing is drawn


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to one Selection."""

    job_id: str
    lane: str
    frame_id: str
    captured_utc_ms: int
    captured_mono: float
    sampling_class: SamplingClass
    rung: Rung
    method: str
    layer: str
    score: str
    baseline: str
    model_name: str
    model_sha256: str
    classes: tuple[ClassExplanation, ...]
    overlays: tuple[Overlay, ...]
    left_out: tuple[str, ...]
    seconds: float
    seconds_by_method: Mapping[str, float]
    region_threshold: float
    region_source: str  # predicted, true, component:N, box:X,Y,W,H or mask


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A job that gave no explanation: counted, named, and nothing else lost."""

    job_id: str
    lane: str
    frame_id: str
    sampling_class: SamplingClass
    reason: str  # deadline, crashed, out_of_memory, null_control, error, expired ...
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """State of the ablation workers as a whole."""

    workers: int
    ready: int
    busy: int
    restarts: int
    breaker_open: bool
    reason: str = ""


# --- alarms --------------------------------------------------------------------------------------


class AlarmState(enum.StrEnum):
    """After ISA-18.2; ``active`` in the record is always the condition itself."""

    NORM = "NORM"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTN_UNACK = "RTN_UNACK"
    SHELVED = "SHELVED"
    SUPPRESSED = "SUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


class Quality(enum.StrEnum):
    """Quality of a value on the wire."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


UNEVENTFUL = frozenset({"initial", "quality"})
"""Values of ``Alarm.transition`` where nothing has happened: the state is said (anew), that is all.
They are no events: they carry the ``seq`` of the newest event, and nobody is told but by state."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """The whole state of one alarm after one transition; 0 in a ``_ms`` field means 'not so'."""

    alarm_id: str
    title: str
    source: str
    camera_id: str
    event_id: str
    state: AlarmState
    active: bool
    acked: bool
    shelved: bool
    suppressed: bool
    severity: int
    priority: str
    message: str
    value: float
    limit: float
    deadband: float
    unit: str
    quality: Quality
    count: int
    active_since_ms: int
    cleared_at_ms: int
    acked_at_ms: int
    shelved_until_ms: int
    acked_by: str
    comment: str
    evidence_topic: str
    evidence_url: str
    frame_id: str
    model: str
    on_delay_s: float
    off_delay_s: float
    timestamp_ms: int
    transition: str  # why this record was made: raised, cleared, acked, suppressed ...
    seq: int  # gapless per agent over the events of all alarms
    captured_mono: float = 0.0  # of the frame behind the transition; 0 when there is none
    suppressed_by: str = ""  # why it is suppressed, in words; part of ``message`` too


# --- publishing ----------------------------------------------------------------------------------


class TopicFamily(enum.StrEnum):
    """Label of counters and of the quotas: the first level below the machine's base topic."""

    STATUS = "status"
    META = "meta"
    METRIC = "metric"
    FRUIT = "fruit"
    EXPLANATION = "explanation"
    CAM = "cam"
    ALARM = "alarm"
    EVIDENCE = "evidence"
    EVENT = "event"
    COMMAND = "cmd"
    SPARKPLUG = "sparkplug"


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """What the publisher says of its connection."""

    connected: bool
    protocol: str  # "5", "3.1.1" or ""
    reason: str
    since_mono: float
    reconnects: int = 0


# --- storage -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """How the database is that keeps what must survive a restart.

    ``durable``: somebody asked for it. ``degraded`` says why nothing reaches the disk now, empty
    when everything does. ``losses`` counts what should have been kept and is gone, ``lost_mono`` is
    when that happened last and ``loss`` what it was.
    """

    durable: bool
    degraded: str = ""
    losses: int = 0
    lost_mono: float = float("-inf")
    loss: str = ""


# --- commands ------------------------------------------------------------------------------------


class CommandOutcome(enum.StrEnum):
    """What an operator's command came to."""

    DONE = "done"
    ALREADY = "already"  # the same command was carried out before
    STALE = "stale"  # it names an occurrence that is not the newest one
    UNKNOWN = "unknown_alarm"
    REFUSED = "refused"  # out of range, or of something that is not there
    EXPIRED = "expired"
    RETAINED = "retained"
    INVALID = "invalid"
    NOT_ALLOWED = "not_allowed"
    RATE_LIMITED = "rate_limited"


@dataclass(frozen=True, slots=True)
class Command:
    """One command from a topic. With a ``refusal`` it is only to be answered.

    ``arguments`` are checked by the command's table; ``name`` is "other" for one that there is not.
    ``response_topic`` empty: the answer goes to the agent's own topic of results.
    """

    name: str
    command_id: str
    issued_utc_ms: int
    user: str
    arguments: Mapping[str, str | int | float]
    received_utc_ms: int
    response_topic: str = ""
    correlation: bytes = b""
    refusal: CommandOutcome | None = None
    detail: str = ""
