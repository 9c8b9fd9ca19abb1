"""What recording says of itself, and what it is told by the wiring."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent import config
from agent.dataset import Reason
from agent.records import Explanation, FruitReading


class Drop(enum.StrEnum):
    """Why a picture that was chosen is not kept; the label of the counter."""

    QUEUE_FULL = "queue_full"  # the disk does not keep up
    PICTURE_GONE = "picture_gone"  # its fruit was answered when it was forgotten already
    DISK_FULL = "disk_full"  # no more is free than is to stay free
    DISK_ERROR = "disk_error"  # the disk refuses
    FOLDER_TAKEN = "folder_taken"  # the folder is another's
    NO_ROOM = "no_room"  # the quotas have none for it
    ERROR = "error"  # a fault of the agent


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """``folder``: where to, None without a place. ``owner``: whose pictures they are."""

    recording: config.Recording
    folder: Path | None
    owner: str


@dataclass(frozen=True, slots=True)
class Described:
    """How what is kept beside a picture is made: as the messages to SCADA hold it.

    ``running``: variety and lot of a lane; ``model_name``: of the network with that SHA-256.
    ``clock_is_right``: by what the kernel says; a clock that is wrong makes nothing old.
    """

    reading: Callable[[FruitReading], Mapping[str, object]]
    explanation: Callable[[Explanation], Mapping[str, object]]
    running: Callable[[str], tuple[str, str]]
    model_name: Callable[[str], str]
    utc_ms: Callable[[], int]
    clock_is_right: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Holding:
    """What lies in the folder. ``known``: it has been looked through."""

    records: Mapping[Reason, int] = field(default_factory=dict)
    bytes: Mapping[Reason, int] = field(default_factory=dict)
    oldest_utc_ms: int = 0  # 0: there is none
    damaged: int = 0
    known: bool = False


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """``since_utc_ms``: since when it is on or off, ``by`` whom. ``paused``: why nothing is written
    although it is on, empty while it is; ``detail``: in the system's words."""

    on: bool
    since_utc_ms: int
    by: str
    folder: Path | None
    paused: Drop | None
    detail: str
    waiting: int
    limit_bytes: int
    holding: Holding
