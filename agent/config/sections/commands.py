"""``commands``: what operators may ask for by MQTT."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config.sections.base import Seconds, Section

CommandName = Literal[
    "ack", "comment", "shelve", "unshelve", "disable", "enable", "explain", "sampling", "variety"
]


class Commands(Section):
    allow: tuple[CommandName, ...] = ("ack", "comment", "shelve", "unshelve", "explain", "variety")
    """What operators may ask for by MQTT; who may is decided by the broker."""
    max_age_s: Seconds = 60.0
    per_s: Annotated[float, Field(gt=0, le=1000)] = 5.0
