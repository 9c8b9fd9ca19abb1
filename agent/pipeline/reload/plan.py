"""What a new configuration means for the running agent, before anything is touched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agent.config import Camera, Config
from agent.config.difference import Change, differences, held_back
from agent.config.reload import Part
from agent.models.loaded import LoadedModel
from agent.pipeline.factories import lanes_of
from agent.pipeline.fit import fitted

GEOMETRY = ("cutting_line_deg", "mm_per_px")
"""Keys of a camera and a lane that its capture process does not know."""


class NotTogetherError(Exception):
    """What can be taken over does not fit what cannot."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``raw`` is the configuration as it is to be in force: the new one, but for the keys that need
    a restart. ``config`` is the same with the classes of the model. The cameras are by name;
    ``lanes_before`` are those of what was in force."""

    changes: tuple[Change, ...]
    raw: Config
    config: Config
    lanes_before: frozenset[str] = frozenset()
    added: tuple[Camera, ...] = ()
    changed: tuple[Camera, ...] = ()
    removed: frozenset[str] = frozenset()

    @property
    def taken(self) -> tuple[Change, ...]:
        """The changes that need no restart."""
        return tuple(one for one in self.changes if one.part is not Part.RESTART)

    def touches(self, *sections: str) -> bool:
        """Whether a key is taken over that is, or lies in, one of these."""
        return any(
            one.key == name or one.key.startswith((f"{name}.", f"{name}["))
            for one in self.taken
            for name in sections
        )

    def has(self, *parts: Part) -> bool:
        """Whether a key is taken over by one of these parts."""
        return any(one.part in parts for one in self.taken)

    @property
    def lanes_differ(self) -> bool:
        """Whether there are other lanes, or in another order, than before."""
        return bool(self.added or self.removed) or any(
            one.key in ("cameras", "cameras[].lanes", "cameras[].lanes[]") for one in self.taken
        )


def plan(before: Config, after: Config, model: LoadedModel) -> Plan:
    """Compare what is in force with what was read.

    ``NotTogetherError`` or ``ModelError`` where the part that can be taken over is no configuration
    of its own.
    """
    changes = differences(before, after)
    raw = held_back(before, after, changes)
    for path, section in raw.walk():
        for broken in section.broken():
            place = ".".join(map(str, (*path, *broken.path)))
            raise NotTogetherError(f"{place} {broken.message}, before a restart")
    old, new = ({one.name: one for one in side.cameras} for side in (before, raw))
    restarted = _restarted(changes)
    return Plan(
        changes,
        raw,
        fitted(raw, model),
        lanes_before=frozenset(lanes_of(before)),
        added=tuple(one for name, one in new.items() if name not in old),
        changed=tuple(one for name, one in new.items() if name in old and name in restarted),
        removed=frozenset(old) - frozenset(new),
    )


def _restarted(changes: Collection[Change]) -> frozenset[str]:
    return frozenset(one.camera for one in changes if one.part is Part.CAMERA)
