"""What the publisher is configured with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.config import Commands, Mqtt, Site, Storage
from agent.telemetry import wall_clock_ms


@dataclass(frozen=True, slots=True)
class Identity:
    """Who publishes: the agent's id, this start of it, and what it runs."""

    agent_id: str
    session: str
    version: str
    config_hash: str
    model_name: str = ""
    model_sha256: str = ""


@dataclass(frozen=True, slots=True)
class ExplanationShape:
    """Fixes the keys of the explanation topic: which classes, and which fractions of occlusion."""

    classes: tuple[str, ...] = ("suture", "stem")
    fractions: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)

    @property
    def percents(self) -> tuple[int, ...]:
        return tuple(round(100 * fraction) for fraction in self.fractions)


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """Everything that the publisher needs to know; ``mqtt.broker`` is an ``mqtt(s)://`` URL here.

    ``http_url`` is where the agent's own pages can be reached, without a final slash; empty: no
    links are published. ``signed`` makes the path of a picture one that opens without a password.
    """

    mqtt: Mqtt
    site: Site
    identity: Identity
    shape: ExplanationShape = ExplanationShape()
    http_url: str = ""
    signed: Callable[[str], str] = str
    storage: Storage = field(default_factory=Storage)
    commands: Commands = field(default_factory=Commands)
    utc_ms: Callable[[], int] = wall_clock_ms

    @property
    def client_id(self) -> str:
        return self.mqtt.client_id or f"{self.identity.agent_id}-uns"
