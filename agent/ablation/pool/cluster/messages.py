"""What the agent and its driver process say to each other, and the driver to an actor.

What a worker says travels as it is (``agent.ablation.pool.messages``), under the worker's number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.ablation.pool.messages import Order, WorkerArgs

# --- what the driver is told ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DriverArgs:
    """``address`` is the head's, ``host:port``; ``agent_id`` names whose workers these are.

    ``gpus`` and ``cpus`` are the share of each worker. ``lease_s``: a worker that nobody asks for
    so long ends itself.
    """

    address: str
    agent_id: str
    gpus: float
    cpus: float
    heartbeat_s: float
    lease_s: float
    priority: Literal["normal", "low", "idle"]


@dataclass(frozen=True, slots=True)
class StartWorker:
    """``number`` is used once, ``slot`` again and again: it names the actor, and the memory that
    pictures lie in."""

    number: int
    slot: int
    args: WorkerArgs


@dataclass(frozen=True, slots=True)
class GiveJob:
    number: int
    order: Order


@dataclass(frozen=True, slots=True)
class EndWorker:
    number: int


# --- what the driver says ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DriverBeat:
    """A sign of life of the driver's own loop."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The driver is part of the cluster."""

    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The driver cannot become part of the cluster and ends. ``permanent``: trying again soon is
    of no use."""

    reason: str
    detail: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a worker."""

    number: int
    message: object


@dataclass(frozen=True, slots=True)
class Placed:
    """The worker has a process, ``pid`` on the machine ``node``."""

    number: int
    pid: int
    node: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The worker is dead; ``how``, in a few words."""

    number: int
    how: str


# --- between the driver and an actor -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files as they travel: ``digests`` (SHA-256) of the files by name, the network's
    first, then its card's. Empty for what every machine has: the model of the package."""

    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HostRequest:
    """What an actor is to run. ``version`` is that of this package."""

    args: WorkerArgs
    files: ModelFiles
    priority: Literal["normal", "low", "idle"]
    gpus: float
    lease_s: float
    version: str


@dataclass(frozen=True, slots=True)
class Hosted:
    """The actor's worker has a process. ``place`` is what it shares with others (a GPU, or the
    processors of a machine), where ``capacity`` jobs are done at a time; ``store_bytes`` is the cap
    of its machine's object store."""

    pid: int
    node: str
    place: str
    capacity: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The last that an actor says: its worker's process is dead."""

    how: str
