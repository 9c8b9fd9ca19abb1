"""``logging``: what is written, where to, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.config.sections.base import Seconds, Section


class Logging(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["keyvalue", "json"] = "keyvalue"
    repeat_window_s: Seconds = 10.0
    """Repeats of one event beyond ``repeat_max`` in this window are counted instead of written."""
    repeat_max: Annotated[int, Field(ge=1)] = 5
    file: Path | None = None
    """A file that gets every line, too, for who has no journal; None: stderr alone."""
    file_limit_bytes: Annotated[int, Field(ge=64 * 1024, le=1 << 40)] = 10 * 1024 * 1024
    """At this size the file becomes ``FILE.1``, which becomes ``FILE.2``."""
    file_count: Annotated[int, Field(ge=0, le=1000)] = 5
    """How many of them are kept beside the file; 0: the file begins anew."""
