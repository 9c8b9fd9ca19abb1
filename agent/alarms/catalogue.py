"""The alarms that there are: one row each. What they say to operators is in ``text``, by cause."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass

from agent.records import Alarm

AGENT = "agent"
"""The subject of an alarm about the agent as a whole."""
SEVERITY = {"diagnostic": 100, "low": 300, "medium": 500, "high": 700, "critical": 900}


class Cause(enum.StrEnum):
    CAMERA_LOST = "camera_lost"
    CAMERA_FROZEN = "camera_frozen"
    NO_READ_RATE = "no_read_rate"
    BACKGROUND_RELIANCE = "background_reliance"
    FOREGROUND_INSENSITIVE = "foreground_insensitive"
    EXPLANATION_DRIFT = "explanation_drift"
    SEGMENTATION_DEGRADED = "segmentation_degraded"
    IMAGE_QUALITY = "image_quality"
    AGENT_NO_DATA = "agent_no_data"
    WORKERS_DEGRADED = "workers_degraded"
    LATENCY_BUDGET = "latency_budget"
    BROKER_SESSION_CONFLICT = "broker_session_conflict"
    SPOOL_LOSS = "spool_loss"
    MODEL_MISMATCH = "model_mismatch"


class Situation(enum.StrEnum):
    """What suppresses alarms (ISA-18.2: suppression by design); the value is the reason given."""

    NOT_RUNNING = "the machine is not running"
    CAMERA_LOST = "its camera is lost"
    CAMERA_FROZEN = "its camera repeats one picture"
    IMAGE_QUALITY = "its pictures are not as they should be"
    WORKERS_DEGRADED = "the workers that explain are out of service"
    # what a diagnosis found
    PICTURES_CHANGED = "its pictures changed at the same time"
    PICTURES_AS_USUAL = "its pictures are as usual, it is the model that sees less in them"
    OTHER_FRUIT = "its fruit have another colour, its empty cups have not"
    READ_ELSEWHERE = "its answers differ, so something else in the picture decides them"
    EXPLANATIONS_SAY = "its explanations have found the cause"


class Evidence(enum.Enum):
    """The picture that is stored with an alarm when it is raised."""

    NONE = enum.auto()
    FRAME = enum.auto()  # the newest frame of its lane, with the mask
    HEAT_MAP = enum.auto()  # the newest heat map of the suture


class Part(enum.IntEnum):
    """What a finding of this alarm is about, in the order in which a diagnosis decides."""

    PICTURES = 1
    READINGS = 2
    EXPLANATIONS = 3  # nothing but explanations can raise it
    NETWORK = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One kind of alarm.

    It is raised when its condition has been true for ``on_samples`` pieces of evidence and
    ``on_delay_s`` seconds, and clears when it has been false beyond the deadband for
    ``off_delay_s``.

    ``suppressed_by``: the first of these situations that is present gives the reason. Those of a
    diagnosis say, too, what a finding may be attributed to. ``announces``: the situations of a
    diagnosis that are announced under this alarm; ``part``: its place there, None for no place.
    ``followed_up``: raising it asks for more explanations of its lane. That helps neither where
    there are no pictures nor where the computer is too slow.
    """

    cause: Cause
    priority: str
    unit: str = ""
    on_samples: int = 1
    on_delay_s: float = 0.0
    off_delay_s: float
    suppressed_by: tuple[Situation, ...] = ()
    announces: tuple[Situation, ...] = ()
    part: Part | None = None
    followed_up: bool = False
    evidence: Evidence = Evidence.FRAME

    @property
    def severity(self) -> int:
        return SEVERITY[self.priority]


_S = Situation
DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        cause=Cause.CAMERA_LOST,
        priority="high",
        off_delay_s=2.0,
        suppressed_by=(_S.NOT_RUNNING,),  # a machine that stands delivers nothing: no fault
    ),
    Definition(
        cause=Cause.CAMERA_FROZEN,
        priority="high",
        off_delay_s=2.0,
        suppressed_by=(_S.NOT_RUNNING, _S.CAMERA_LOST),
    ),
    Definition(
        cause=Cause.NO_READ_RATE,
        priority="medium",
        unit="ratio",
        on_delay_s=5.0,
        off_delay_s=30.0,
        suppressed_by=(
            _S.NOT_RUNNING,
            _S.CAMERA_LOST,
            _S.CAMERA_FROZEN,
            _S.PICTURES_CHANGED,
            _S.PICTURES_AS_USUAL,
            _S.OTHER_FRUIT,
            _S.EXPLANATIONS_SAY,
        ),
        part=Part.READINGS,
        followed_up=True,
    ),
    # What the model looks at is not suppressed by bad pictures as such, only where the diagnosis
    # found that it began with them: a lamp weak for weeks must not hide a model that goes wrong
    # today.
    Definition(
        cause=Cause.BACKGROUND_RELIANCE,
        priority="high",
        unit="ratio",
        off_delay_s=30.0,
        suppressed_by=(_S.PICTURES_CHANGED,),
        announces=(_S.READ_ELSEWHERE,),
        part=Part.EXPLANATIONS,
        followed_up=True,
        evidence=Evidence.HEAT_MAP,
    ),
    Definition(
        cause=Cause.FOREGROUND_INSENSITIVE,
        priority="high",
        unit="ratio",
        off_delay_s=30.0,
        suppressed_by=(_S.PICTURES_CHANGED, _S.READ_ELSEWHERE),
        part=Part.EXPLANATIONS,
        followed_up=True,
        evidence=Evidence.HEAT_MAP,
    ),
    Definition(
        cause=Cause.EXPLANATION_DRIFT,
        priority="medium",
        off_delay_s=30.0,
        suppressed_by=(_S.IMAGE_QUALITY, _S.PICTURES_CHANGED, _S.OTHER_FRUIT),
        part=Part.EXPLANATIONS,
        followed_up=True,
        evidence=Evidence.HEAT_MAP,
    ),
    Definition(
        cause=Cause.SEGMENTATION_DEGRADED,
        priority="medium",
        off_delay_s=30.0,
        suppressed_by=(_S.IMAGE_QUALITY, _S.PICTURES_CHANGED, _S.EXPLANATIONS_SAY),
        announces=(_S.PICTURES_AS_USUAL, _S.OTHER_FRUIT),
        part=Part.NETWORK,
        followed_up=True,
    ),
    Definition(
        cause=Cause.IMAGE_QUALITY,
        priority="medium",
        on_delay_s=3.0,
        off_delay_s=30.0,
        suppressed_by=(_S.CAMERA_LOST, _S.CAMERA_FROZEN, _S.OTHER_FRUIT),
        announces=(_S.PICTURES_CHANGED,),
        part=Part.PICTURES,
        followed_up=True,
    ),
    Definition(
        cause=Cause.AGENT_NO_DATA,
        priority="medium",
        unit="s",
        off_delay_s=5.0,
        suppressed_by=(
            _S.NOT_RUNNING,
            _S.CAMERA_LOST,
            _S.CAMERA_FROZEN,
            _S.IMAGE_QUALITY,  # where they are dark: a fruit that cannot be seen makes no reading
            _S.WORKERS_DEGRADED,  # another alarm announces already that explanations are missing
        ),
        followed_up=True,
    ),
    Definition(
        cause=Cause.WORKERS_DEGRADED,
        priority="low",
        unit="workers",
        on_delay_s=5.0,
        off_delay_s=10.0,
        evidence=Evidence.NONE,
    ),
    Definition(
        cause=Cause.LATENCY_BUDGET,
        priority="medium",
        unit="s",
        on_delay_s=5.0,
        off_delay_s=30.0,
        suppressed_by=(_S.CAMERA_LOST,),
    ),
    Definition(
        cause=Cause.BROKER_SESSION_CONFLICT,
        priority="medium",
        off_delay_s=60.0,
        evidence=Evidence.NONE,
    ),
    Definition(
        cause=Cause.SPOOL_LOSS,
        priority="high",
        off_delay_s=60.0,
        evidence=Evidence.NONE,
    ),
    Definition(
        cause=Cause.MODEL_MISMATCH,
        priority="medium",
        off_delay_s=10.0,
        evidence=Evidence.NONE,
    ),
)


def by_cause(definitions: Collection[Definition]) -> dict[Cause, Definition]:
    """The rows by their cause; ``ValueError`` where a cause has none, or two."""
    found = {definition.cause: definition for definition in definitions}
    if len(found) != len(definitions):
        raise ValueError("an alarm has two rows")
    if missing := [cause.value for cause in Cause if cause not in found]:
        raise ValueError(f"no row for {', '.join(missing)}")
    return found


BY_CAUSE = by_cause(DEFINITIONS)
OF_EXPLANATIONS = tuple(row.cause for row in DEFINITIONS if row.part is Part.EXPLANATIONS)
"""Causes that nothing but explanations can raise."""
OF_CAMERAS = (Cause.CAMERA_LOST, Cause.CAMERA_FROZEN)
OF_CHARTS = (Cause.SEGMENTATION_DEGRADED, Cause.EXPLANATION_DRIFT)
"""Causes that only the charts of a reference can judge."""
ANNOUNCED_BY = {situation: row.cause for row in DEFINITIONS for situation in row.announces}
"""The alarm under which a situation is announced that a diagnosis found."""


def watched_ids(
    lanes: Collection[str], cameras: Collection[str], charted: Collection[str]
) -> frozenset[str]:
    """The ids of all alarms that there can be; ``charted``: lanes whose charts can work."""
    causes = set(Cause) - set(OF_CAMERAS) - set(OF_CHARTS)
    return frozenset(
        {f"{cause}-{name}" for cause in causes for name in (*lanes, AGENT)}
        | {f"{cause}-{name}" for cause in OF_CAMERAS for name in cameras}
        | {f"{cause}-{name}" for cause in OF_CHARTS for name in charted}
    )


def definition_of(alarm: Alarm) -> Definition:
    """The row of a record, whose id is ``cause-lane``."""
    return BY_CAUSE[Cause(alarm.alarm_id.removesuffix(f"-{alarm.camera_id}"))]


def suppression_reason(cause: Cause, situations: Collection[Situation]) -> str:
    """Why this alarm is suppressed; empty when it is to be annunciated."""
    present = (one for one in BY_CAUSE[cause].suppressed_by if one in situations)
    return next((one.value for one in present), "")
