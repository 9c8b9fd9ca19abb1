"""``storage``: what is kept on the disk, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.config.sections.base import LongSeconds, Seconds, Section


class Storage(Section):
    limit_bytes: Annotated[int, Field(ge=8 * 1024 * 1024, le=1 << 40)] = 256 * 1024 * 1024
    """Cap of the database; beyond it explanations go first, then evidence, alarms last."""
    free_disk_bytes: Annotated[int, Field(ge=0, le=1 << 40)] = 128 * 1024 * 1024
    """Space that explanations and evidence leave free on the disk; alarms may use it."""
    alarm_age_s: LongSeconds = 604_800.0
    evidence_age_s: LongSeconds = 86_400.0
    explanation_age_s: LongSeconds = 86_400.0
    keep_acknowledged_s: Seconds = 600.0
    """How long alarm events are kept after the broker took them, to be sent again if it is lost."""
    replay_per_s: Annotated[float, Field(gt=0, le=10_000)] = 100.0
