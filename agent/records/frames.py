"""A frame of one lane on its way from the camera to the reading of a fruit."""

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


STANDING = frozenset({MachineState.STOPPED, MachineState.CLEANING, MachineState.CHANGE_OVER})
"""States in which a triggered camera takes no pictures and every camera sees a standing belt."""


class Origin(enum.StrEnum):
    """Where a word about the machine is from."""

    MACHINE = "machine"
    STORED = "stored"  # a broker had kept it: what was the case when the agent connected
    OPERATOR = "operator"  # a change of variety or lot, whatever the machine said of the rest


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """The machine's own word, by MQTT or HTTP: carried into the readings that it belongs to.

    ``agent.machine.parse_machine`` reads it from the JSON of either transport.
    ``machine_timestamp_ms`` is the machine's own stamp, on the machine's clock (0: none);
    ``arrived_mono`` is when the message came in, on ours. ``lane``: it concerns this lane alone.
    Only what the machine says itself, now, names a new fruit (``origin``).
    ``pictured``: the fruit's id came with the picture itself.
    ``left_out``: what was wrong with the keys that are not used, in words.
    """

    state: MachineState = MachineState.UNKNOWN
    fruit_id: str | None = None
    encoder: int | None = None
    variety: str | None = None
    lot: str | None = None
    received_utc_ms: int = 0
    machine_timestamp_ms: int = 0
    arrived_mono: float = 0.0
    lane: str | None = None
    origin: Origin = Origin.MACHINE
    pictured: bool = False
    left_out: tuple[str, ...] = ()


class IdReason(enum.StrEnum):
    """Why it is not certain that a fruit's id is that of this fruit.

    NONE: it is certain, or the machine names no fruit.
    """

    NONE = "none"
    MISSING = "missing"  # no message belongs to the picture: there is no id
    AMBIGUOUS = "ambiguous"  # another message, or another picture, could belong as well
    UNPROVEN = "unproven"  # too few messages in a row have fitted their pictures
    CLOCK = "clock"  # the machine's clock is not known, or it has stepped
    STORED = "stored"  # the broker had kept the message; the machine has not spoken since


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
    score cards only and never read by a stage. ``chunks``: facts that a machine camera itself has
    put into the picture, by the camera's name: a number (NaN: not in this one) or a text each.
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
    chunks: Mapping[str, Any] = field(default_factory=dict)


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
    IMPLAUSIBLE = "implausible"  # lit, but unlike every fruit that the model was made for


@dataclass(frozen=True, slots=True)
class Reading:
    """The angle of the suture line, or no read.

    ``angle_deg``: 0 <= a < 180, counter-clockwise as seen in the picture, 0 = the camera's
    configured cutting line; ANGLE_NO_READ with a reason otherwise. ``confidence_raw``: what the
    reader computed of the fitted line, calibrated as the probability in [0, 1] that its error is at
    most 5 degrees, whether the line became a reading or not. ``stem_*``: centre of the stem cavity
    in pixels of the lane's picture (and in mm when the camera knows mm per px), NaN when absent.
    ``plausibility``: in [0, 1], how like the fruit that the model was made for the picture is; NaN
    where that is not known.
    """

    read: bool
    angle_deg: float
    reason: NoReadReason
    confidence_raw: float
    stem_x_px: float
    stem_y_px: float
    stem_x_mm: float
    stem_y_mm: float
    plausibility: float = math.nan

    @property
    def confidence(self) -> float:
        """Probability that ``angle_deg`` is right within 5 degrees: 0 where there is no angle."""
        return self.confidence_raw if self.read else 0.0


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
    chunks: Mapping[str, Any] = field(default_factory=dict)  # those of the frame
    model_sha256: str = ""  # of the network that saw it


@dataclass(frozen=True, slots=True)
class FruitReading:
    """The one reading of one fruit on one lane: what goes to SCADA.

    In triggered mode every frame is a fruit; in free-run ``frames`` pictures were weighed and the
    best one's segmentation is kept.
    ``camera_frozen``: its camera repeats one picture, so that nothing is known of this fruit.
    ``id_reason``: why the machine's id is not certain. ``waited_s``: for the id, after the mask.
    """

    segmentation: SegmentedFrame
    frames: int = 1
    camera_frozen: bool = False
    id_reason: IdReason = IdReason.NONE
    waited_s: float = 0.0

    @property
    def empty(self) -> bool:
        """Whether the cup was empty, which is no fruit."""
        return self.segmentation.reading.reason is NoReadReason.EMPTY
