"""What a reload came to, as log, audit and whoever asked are told. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from agent.config.difference import Change
from agent.config.reload import Part
from agent.records import CameraState, CameraStatus

DELIVERING = frozenset({CameraState.LIVE, CameraState.FROZEN, CameraState.ENDED})


class ReloadResult(enum.StrEnum):
    """The values of the counter's label ``result``."""

    APPLIED = "applied"
    PARTLY = "partly"  # some of it needs a restart
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # the file has mistakes; nothing was touched
    FAILED = "failed"  # what was in force before is in force again


@dataclass(frozen=True, slots=True)
class Reloaded:
    """``problems``: why it was refused or has failed, a mistake of the file each; ``cameras``: how
    those are that were begun anew; ``warnings``: of the file."""

    result: ReloadResult
    source: str
    by: str
    changes: tuple[Change, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    cameras: tuple[CameraStatus, ...] = ()
    before: str = ""
    sha256: str = ""
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether all of the file is in force and every camera of it delivers."""
        whole = self.result in (ReloadResult.APPLIED, ReloadResult.UNCHANGED)
        return whole and all(one.state in DELIVERING for one in self.cameras)

    def as_json(self) -> dict[str, object]:
        """As JSON types, for the command."""
        took_over = self.result in (ReloadResult.APPLIED, ReloadResult.PARTLY)
        return {
            "result": self.result.value,
            "well": self.well,
            "source": self.source,
            "by": self.by,
            "config_hash_before": self.before,
            "config_hash": self.sha256,
            "seconds": round(self.seconds, 3),
            "keys": [
                {
                    "key": one.path,
                    "before": one.before,
                    "after": one.after,
                    "needs": one.part.value,
                    "in_force": took_over and one.part is not Part.RESTART,
                }
                for one in self.changes
            ],
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            "cameras": [
                {"name": one.source_name, "state": one.state.value, "detail": _why(one)}
                for one in self.cameras
            ],
        }


def _why(status: CameraStatus) -> str:
    return status.detail or status.cause


def settled(statuses: Iterable[CameraStatus]) -> bool:
    """Whether each of these cameras delivers, or has failed to for the first time."""
    return all(one.state is not CameraState.CONNECTING for one in statuses)
