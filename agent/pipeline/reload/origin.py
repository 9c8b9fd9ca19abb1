"""Who put the configuration in force that is, and when: kept over restarts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from agent.storage.kept import Kept, parse_kept

logger = logging.getLogger(__name__)

NAME = "config_origin"
START = "start"


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    version: Literal[1] = 1
    sha256: str
    before: str
    changed_utc_ms: NonNegativeInt
    by: str


@dataclass(frozen=True, slots=True)
class Origin:
    """``sha256`` of the effective values without secrets, that of ``before``, and since when (Unix
    ms) by whom: ``start``, ``SIGHUP``, or ``uid 1000 (name)``."""

    sha256: str
    before: str
    changed_utc_ms: int
    by: str


def at_start(kept: Kept, sha256: str, utc_ms: int) -> Origin:
    """Return what an earlier start saved of this configuration; of another one, this start is its
    origin."""
    found = kept.get(NAME)
    saved = parse_kept(found, NAME, _Saved, logger) if found is not None else None
    if saved is not None and saved.sha256 == sha256:
        return Origin(sha256, saved.before, saved.changed_utc_ms, saved.by)
    origin = Origin(sha256, saved.sha256 if saved else "", utc_ms, START)
    save(kept, origin)
    return origin


def save(kept: Kept, origin: Origin) -> None:
    """Keep it for the next start."""
    saved = _Saved(
        sha256=origin.sha256,
        before=origin.before,
        changed_utc_ms=origin.changed_utc_ms,
        by=origin.by,
    )
    kept.put(NAME, saved.model_dump(mode="json"), lambda: None)
