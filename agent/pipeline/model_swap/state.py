"""What is staged, what was promoted and what ran before: one file, whole after any kill.

It stands in ``state_dir/model/state.json`` and not in the database: which model runs is asked at
the start before anything else is there, and a person can read it.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from agent import config
from agent.pipeline.model_swap.tally import Tally
from agent.storage.whole_file import whole_file
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

FOLDER = "model"
FILE = "state.json"
LIMIT_BYTES = 4_000_000
CHANGES_MAX = 50


class StateError(Exception):
    """The state could not be written; nothing was changed."""


class Phase(enum.StrEnum):
    """What a staged model is at; ``EDGES`` holds what may follow."""

    LOADING = "loading"
    AUDIT = "audit"
    SHADOW = "shadow"
    READY = "ready"  # the shadow's time is over: a person decides
    REFUSED = "refused"


EDGES: Mapping[tuple[Phase, Phase], str] = {
    (Phase.LOADING, Phase.AUDIT): "it could be loaded",
    (Phase.LOADING, Phase.REFUSED): "it cannot be loaded, or is of another kind",
    (Phase.AUDIT, Phase.SHADOW): "it passed the audit",
    (Phase.AUDIT, Phase.REFUSED): "it is worse than the audit's limits",
    (Phase.SHADOW, Phase.READY): "its time is over, and it has seen enough",
    (Phase.SHADOW, Phase.REFUSED): "its process ended too often",
}
OPEN = frozenset({Phase.LOADING, Phase.AUDIT, Phase.SHADOW})
"""Phases in which a process tries the model."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Chosen(_Part):
    """A model and everything that goes with it. ``references``: files by variety."""

    settings: config.Model
    sha256: str = ""
    name: str = ""
    references: dict[str, Path] = {}
    from_configuration: bool = False

    @field_serializer("settings")
    def _said(self, settings: config.Model) -> object:
        """What differs from the defaults: a key of a later version does not get in the way."""
        return settings.model_dump(mode="json", exclude_defaults=True, exclude={"shadow"})

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of it."""
        own = () if self.settings.path is None else (self.settings.path,)
        return (*own, *self.references.values())


class AuditLine(_Part):
    """One finding of the audit, as ``agent.alarms.charts.reference.Finding`` has it."""

    name: str
    value: float
    limit: float
    passed: bool
    text: str


class Staged(_Part):
    """``told``: why it was refused, in words. ``shadow_s``: for how long it has run in the shadow,
    over all starts. ``live_ms`` and ``own_ms``: processor time of one picture, of the live model
    and of this one, measured in the same process."""

    chosen: Chosen
    phase: Phase
    given: str
    """The path as it was given."""
    varieties: tuple[str, ...] = ()
    told: str = ""
    by_uid: int
    since_utc_ms: int
    audit: tuple[AuditLine, ...] = ()
    shadow_s: Annotated[float, Field(ge=0)] = 0.0
    live_ms: float = 0.0
    own_ms: float = 0.0
    tally: Tally = Tally()
    report: str = ""
    """Where its page lies, once there is one."""


class Change(_Part):
    """One line of who did what, when. ``was`` and ``now`` are digests."""

    utc_ms: int
    by_uid: int
    action: Literal["staged", "discarded", "promoted", "rolled_back", "refused", "configured"]
    was: str = ""
    now: str = ""
    why: str = ""


class State(_Part):
    """``running`` None: what the configuration names. ``key``: what the configuration named when
    ``running`` was decided on. ``previous``: what a rollback brings back."""

    version: Literal[1] = 1
    key: str = ""
    running: Chosen | None = None
    previous: Chosen | None = None
    staged: Staged | None = None
    promoted: Staged | None = None
    """What was known of ``running`` when it was promoted: staged again if it is taken back."""
    changes: tuple[Change, ...] = ()

    def noting(self, change: Change) -> State:
        """With one more change, the oldest forgotten."""
        return self.model_copy(update={"changes": (*self.changes, change)[-CHANGES_MAX:]})


def moved(staged: Staged, phase: Phase, **changes: object) -> Staged:
    """The staged model in its next phase; ``ValueError`` for one that does not follow."""
    if (staged.phase, phase) not in EDGES:
        raise ValueError(f"a staged model never goes from {staged.phase} to {phase}")
    return staged.model_copy(update={"phase": phase, **changes})


def afresh(staged: Staged) -> Staged:
    """One that is still in the shadow compares anew, with what is in force from now on."""
    if staged.phase is not Phase.SHADOW:
        return staged
    return staged.model_copy(update={"tally": Tally(), "shadow_s": 0.0})


class StateFile:
    """The file in ``state_dir``; None: kept in memory alone, until the agent ends."""

    def __init__(self, state_dir: Path | None) -> None:
        self.folder = state_dir / FOLDER if state_dir is not None else None

    def read(self) -> State:
        """What was written last. One that cannot be read is logged, set aside, and as none."""
        if self.folder is None:
            return State()
        path = self.folder / FILE
        try:
            with path.open("rb") as file:
                return State.model_validate_json(file.read(LIMIT_BYTES))
        except FileNotFoundError:
            return State()
        except (OSError, ValidationError, ValueError) as error:
            first = str(error).splitlines()[0]
            log_event(logger, logging.ERROR, "model_state_unreadable", file=str(path), reason=first)
            self._set_aside(path)
            return State()

    def write(self, state: State) -> None:
        """``StateError`` where the disk does not take it; the file is then as it was."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(mode=0o750, exist_ok=True)
            with whole_file(self.folder / FILE) as file:
                file.write(state.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            raise StateError(f"{self.folder / FILE}: {error.strerror or error}") from error

    @staticmethod
    def _set_aside(path: Path) -> None:
        try:
            path.replace(path.with_suffix(".unreadable"))
        except OSError as error:
            known = {"file": str(path), "reason": str(error)}
            log_event(logger, logging.ERROR, "model_state_not_set_aside", **known)
