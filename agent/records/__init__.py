"""The values that flow from stage to stage: frozen, slotted, and free of behaviour.

Units and clocks are in the names: ``_utc_ms`` is Unix time in milliseconds taken right after the
grab, ``_mono`` is ``time.monotonic()`` in seconds (system-wide on Linux, so a child's stamp
compares with the parent's), ``_px`` counts pixels of the lane's picture, ``_deg`` is degrees.

Arrays that cross a stage are never written to again by either side.
"""

from agent.records.alarms import (
    UNEVENTFUL,
    Alarm,
    AlarmState,
    Command,
    CommandOutcome,
    CommandResult,
    Quality,
)
from agent.records.explanations import (
    ClassExplanation,
    CrossChecks,
    Explanation,
    Gain,
    JobFailure,
    Overlay,
    PoolStatus,
    Region,
    RegionOcclusion,
    Rung,
    SamplingClass,
    Selection,
)
from agent.records.frames import (
    ANGLE_NO_READ,
    BACKGROUND,
    CLASSES,
    STANDING,
    STEM,
    SUTURE,
    CameraState,
    CameraStatus,
    CaptureMode,
    Frame,
    FruitReading,
    IdReason,
    MachineInfo,
    MachineState,
    NoReadReason,
    Origin,
    Reading,
    SegmentedFrame,
)
from agent.records.status import (
    LinkStatus,
    PublishedLane,
    StorageCause,
    StorageStatus,
    TopicFamily,
)

__all__ = [
    "ANGLE_NO_READ",
    "BACKGROUND",
    "CLASSES",
    "STANDING",
    "STEM",
    "SUTURE",
    "UNEVENTFUL",
    "Alarm",
    "AlarmState",
    "CameraState",
    "CameraStatus",
    "CaptureMode",
    "ClassExplanation",
    "Command",
    "CommandOutcome",
    "CommandResult",
    "CrossChecks",
    "Explanation",
    "Frame",
    "FruitReading",
    "Gain",
    "IdReason",
    "JobFailure",
    "LinkStatus",
    "MachineInfo",
    "MachineState",
    "NoReadReason",
    "Origin",
    "Overlay",
    "PoolStatus",
    "PublishedLane",
    "Quality",
    "Reading",
    "Region",
    "RegionOcclusion",
    "Rung",
    "SamplingClass",
    "SegmentedFrame",
    "Selection",
    "StorageCause",
    "StorageStatus",
    "TopicFamily",
]
