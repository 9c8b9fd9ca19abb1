"""What a connection tells its owner."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from agent.publishing.connection.link import Cause

UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class Opened:
    """The broker accepted us, with its limits and what it can do."""

    receive_maximum: int = UNLIMITED
    packet_limit_bytes: int = UNLIMITED
    maximum_qos: int = 2
    retain: bool = True
    wildcards: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt failed or the session is over; nothing comes after it."""

    cause: Cause
    reason: str
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A publish is settled: acknowledged, refused, or (QoS 0) written to the socket."""

    mid: int
    refused: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The answer to a subscription."""

    mid: int
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker."""

    topic: str
    payload: bytes
    retained: bool  # stored before we subscribed; of MQTT 5: as published, but for states
    response_topic: str = ""
    correlation: bytes = b""
    arrived_mono: float = 0.0  # read off the socket


class Rival(enum.Enum):
    """Whether a message shows that another agent has our name."""

    NONE = "none"
    YOUNGER = "younger"  # it has started after us: it steps back
    OLDER = "older"  # or nobody knows: we step back


Event = Opened | Ended | Answered | Subscribed | Received
