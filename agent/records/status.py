"""What publishing and storage say of themselves."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class PublishedLane:
    """What is published of a lane and stays at the broker: its metrics, and heat maps by class."""

    lane: str
    metrics: tuple[str, ...]
    classes: tuple[str, ...]


# --- storage -------------------------------------------------------------------------------------


class StorageCause(enum.StrEnum):
    """Why nothing reaches the disk; the reason with which it is counted."""

    NOT_DURABLE = "not_durable"  # full, read-only or broken
    DISK_HANGS = "disk_hangs"
    FOLDER_REPLACED = "folder_replaced"  # removed or renamed, another one perhaps in its place


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """How the database is that keeps what must survive a restart.

    ``durable``: somebody asked for it. ``degraded`` says why nothing reaches the disk now, empty
    when everything does, and ``cause`` of which kind that is, or was last. ``losses`` counts what
    should have been kept and is gone, or was in danger; ``lost_mono`` is when that happened last
    and ``loss`` what it was.
    """

    durable: bool
    degraded: str = ""
    losses: int = 0
    lost_mono: float = float("-inf")
    loss: str = ""
    cause: StorageCause | None = None
