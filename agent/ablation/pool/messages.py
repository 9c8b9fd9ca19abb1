"""What pool and worker say to each other, and what a worker is started with.

Pictures do not travel in messages: they lie in shared memory (``shared_image``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent import config
from agent.records import Explanation, Rung, SamplingClass

WORKER_TARGET = "agent.ablation.pool.worker:main"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What every worker of a pool is: its model, its explanations, the function that it runs.

    ``overlay_ranges``: what is drawn in full colour, by class, as usual on this line; without them
    the model card's. ``device`` is the worker's own name for its device; the pool sets it per slot.
    ``agent_id`` says whose the workers are, where several agents share machines. ``target`` is a
    ``function(channel, args: WorkerArgs, fds)``, named as ``package.module:function``.
    """

    model: config.Model = field(default_factory=config.Model)
    ablation: config.Ablation = field(default_factory=config.Ablation)
    overlay_ranges: Mapping[str, float] | None = None
    device: str = "cpu"
    target: str = WORKER_TARGET
    agent_id: str = "pitwatch"


@dataclass(frozen=True, slots=True)
class WorkerArgs:
    """Handed to the target of one worker."""

    spec: WorkerSpec
    heartbeat_s: float
    threads: int


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What lies in the shared memory: a picture (height, width, channels) uint8, then its aperture
    (height, width) bool if there is one."""

    height: int
    width: int
    channels: int
    has_aperture: bool
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Order:
    """One job. ``deadline_mono``: when the worker is killed over it (less a grace).

    ``compute_s``: how long an elastic rung may refine, from the start of the work.
    """

    job_id: str
    lane: str
    frame_id: str
    captured_utc_ms: int
    captured_mono: float
    sampling_class: SamplingClass
    rung: Rung
    deadline_mono: float
    compute_s: float
    image: ImageHeader


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded and proved its model and takes jobs."""

    seconds: float
    rss_bytes: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The worker cannot work and ends itself. ``permanent``: another try would fail as well."""

    reason: str
    detail: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life, and what the worker is at."""

    rss_bytes: int
    phase: str


@dataclass(frozen=True, slots=True)
class Done:
    """The job's explanation."""

    explanation: Explanation
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The job gave none. ``fatal``: the worker cannot be trusted with another and ends itself."""

    job_id: str
    reason: str
    detail: str
    rss_bytes: int
    fatal: bool = False
