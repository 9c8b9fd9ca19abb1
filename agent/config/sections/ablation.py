"""``ablation``: what an explanation is, and the workers that make it."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.config.rules import Broken, below, unique
from agent.config.sections.base import Name, Seconds, Section, text
from agent.score_names import Score


class Priority(enum.StrEnum):
    IDLE = "idle"
    LOW = "low"
    NORMAL = "normal"


class PoolKind(enum.StrEnum):
    LOCAL = "local"  # processes of this computer
    RAY = "ray"  # actors of a Ray cluster


class RayTls(Section):
    """Files that Ray wants of every member of a cluster with TLS."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def rule_together(self) -> Iterator[Broken]:
        files = {"ca": self.ca, "certificate": self.certificate, "key": self.key}
        if any(files.values()):
            for name, path in files.items():
                if path is None:
                    yield Broken((name,), "is missing", "all three of ca, certificate and key")


class Ray(Section):
    """The cluster in which the workers run with ``pool: ray``."""

    address: (
        Annotated[
            str,
            text(
                r"^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):[1-9]\d{0,4}$",
                "HOST:PORT of the cluster's head",
            ),
        ]
        | None
    ) = None
    gpus: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of a GPU that each worker gets; 0: it computes on the CPU."""
    cpus: Annotated[float, Field(ge=0, le=64)] = 1.0
    token_file: Path | None = None
    tls: RayTls = RayTls()
    local_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Workers of this computer that stand in while the cluster is away; 0: none."""
    away_after_s: Seconds = 30.0

    def rule_share(self) -> Iterator[Broken]:
        if self.gpus == 0 and self.cpus == 0:
            yield Broken(("cpus",), "is 0, as gpus is", "a share of one of them above 0")


class Workers(Section):
    """The ablation pool."""

    pool: PoolKind = PoolKind.LOCAL
    ray: Ray = Ray()
    count: Annotated[int, Field(ge=0, le=64)] | None = None
    """None: one per GPU, or one CPU worker where there is none; 0: no explanations. In a cluster:
    how many this agent may have there; None: one."""
    devices: tuple[Annotated[str, text(r"^(cpu|cuda:\d+)$", "cpu or cuda:N")], ...] | None = None
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    priority: Priority = Priority.IDLE
    heartbeat_s: Seconds = 1.0
    heartbeat_timeout_s: Seconds = 5.0
    start_timeout_s: Seconds = 120.0
    restart_budget: Annotated[int, Field(ge=1, le=1000)] = 5
    restart_window_s: Seconds = 300.0
    breaker_cooldown_s: Seconds = 60.0
    memory_limit_mb: Annotated[int, Field(ge=128)] = 2048
    """A worker above this is replaced after its job."""
    recycle_after_jobs: Annotated[int, Field(ge=1)] = 100_000

    def rule_heartbeat(self) -> Iterator[Broken]:
        yield from below(
            "heartbeat_s", self.heartbeat_s, "heartbeat_timeout_s", self.heartbeat_timeout_s
        )

    def rule_ray(self) -> Iterator[Broken]:
        if self.pool is PoolKind.RAY and self.ray.address is None:
            yield Broken(
                ("ray", "address"), "is missing for pool: ray", "HOST:PORT of the cluster's head"
            )

    def rule_devices(self) -> Iterator[Broken]:
        if self.devices is None:
            return
        local = self.ray.local_workers if self.pool is PoolKind.RAY else self.count
        if local is not None and local != len(self.devices):
            yield Broken(
                ("devices",),
                f"names {len(self.devices)} devices for {local} workers",
                "one device for each worker, or no count",
            )
        elif not self.devices:
            yield Broken(
                ("devices",), "is empty", "at least one device, or count: 0 for no workers"
            )


class Ablation(Section):
    """What an explanation is."""

    classes: tuple[Name, ...] = ("suture", "stem")
    score: Score = Score.MARGIN
    baseline: Literal["zero", "mean"] = "zero"
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.25, 0.5, 0.75, 1.0)
    region_threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A cell of the layer belongs to a region when at least this share of its area does."""
    background_draws: Annotated[int, Field(ge=1, le=64)] = 4
    seed: Annotated[int, Field(ge=0)] = 0
    study_every: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    """One exact periodic explanation in so many gets the costly cross-checks; 0: none."""
    overlay_quality: Annotated[int, Field(ge=30, le=100)] = 85
    overlay_range: Annotated[float, Field(gt=0)] | None = None
    """One fixed colour range for all maps; None: from the model card's reference."""
    workers: Workers = Workers()

    def rule_classes(self) -> Iterator[Broken]:
        yield from unique(("classes",), self.classes)
        if not self.classes:
            yield Broken(
                ("classes",), "is empty", "at least one class; workers.count: 0 explains none"
            )

    def rule_fractions(self) -> Iterator[Broken]:
        if list(self.fractions) != sorted(set(self.fractions)):
            yield Broken(("fractions",), "is not in rising order", "rising, each once")
        if not self.fractions or self.fractions[-1] != 1.0:
            yield Broken(
                ("fractions",), "does not end with 1.0, from which sensitivities are computed"
            )
