"""``logging``: what is written, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config.sections.base import Seconds, Section


class Logging(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["keyvalue", "json"] = "keyvalue"
    repeat_window_s: Seconds = 10.0
    """Repeats of one event beyond ``repeat_max`` in this window are counted instead of written."""
    repeat_max: Annotated[int, Field(ge=1)] = 5
