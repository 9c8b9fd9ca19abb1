"""What two configurations do not have in common, key by key, without secrets. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agent.config.models import Config
from agent.config.reload import BROKER, Part, part_of, part_of_change
from agent.config.sections.base import Section
from agent.config.values import each
from agent.config.yaml import KeyPath
from agent.redaction import mask_url

SHOWN_CHARS = 120
HIDDEN = "***"
ABSENT = "-"
"""Stands for the value that a camera or a lane has where there is none of that name."""


@dataclass(frozen=True, slots=True)
class Change:
    """One key with another value: ``path`` as people read it (``cameras[cam2].fps``), ``key`` as
    the schema has it (``cameras[].fps``). Values are JSON, secrets ``***``; ``camera`` is the name
    of the one that it is about."""

    path: str
    key: str
    before: str
    after: str
    part: Part
    camera: str = ""


def differences(before: Config, after: Config) -> tuple[Change, ...]:
    """Every key that differs, in the order of the sections.

    Cameras and lanes are told apart by their names: one that was added or removed is one change,
    and one that moved within the file is the same. Where the broker's own change needs a restart,
    so do all of ``mqtt``: user, password and files belong to the broker.
    """
    found = tuple(_sections(before, after, _Place()))
    if not any(one.key == BROKER and one.part is Part.RESTART for one in found):
        return found
    return tuple(
        replace(one, part=Part.RESTART) if one.key.startswith("mqtt.") else one for one in found
    )


def held_back(before: Config, after: Config, changes: Iterable[Change]) -> Config:
    """``after`` with the values of ``before`` in every key whose change needs a restart."""
    for change in changes:
        if change.part is Part.RESTART:
            after = _with(after, change.key.split("."), before)
    return after


def _with(section: Section, steps: Sequence[str], other: Section) -> Any:
    """A copy with the value that ``other`` has at a path of keys; none of them is in a list."""
    first, *rest = steps
    theirs = getattr(other, first)
    value = _with(getattr(section, first), rest, theirs) if rest else theirs
    return section.model_copy(update={first: value})


@dataclass(frozen=True, slots=True)
class _Place:
    path: str = ""
    key: str = ""
    camera: str = ""

    def of(self, name: str) -> _Place:
        dot = "." if self.path else ""
        return _Place(f"{self.path}{dot}{name}", f"{self.key}{dot}{name}", self.camera)

    def named(self, name: str) -> _Place:
        camera = self.camera or name
        return _Place(f"{self.path}[{name}]", f"{self.key}[]", camera)


def _sections(before: Section, after: Section, place: _Place) -> Iterator[Change]:
    for name in type(before).model_fields:
        yield from _values(getattr(before, name), getattr(after, name), place.of(name))


def _values(before: Any, after: Any, place: _Place) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, Section) and type(before) is type(after):
        yield from _sections(before, after, place)
    elif _is_named(before) and _is_named(after) and (before or after):
        yield from _named(before, after, place)
    else:
        part = part_of_change(place.key, before, after)
        yield Change(
            place.path, place.key, _shown(before), _shown(after), part, camera=place.camera
        )


def _is_named(value: object) -> bool:
    """A list of sections that have names: the cameras, or the lanes of one."""
    return isinstance(value, tuple) and all(
        isinstance(one, Section) and hasattr(one, "name") for one in value
    )


def _named(before: Sequence[Any], after: Sequence[Any], place: _Place) -> Iterator[Change]:
    old, new = ({one.name: one for one in side} for side in (before, after))
    for name in (*old, *(name for name in new if name not in old)):
        here = place.named(name)
        if name in old and name in new:
            yield from _values(old[name], new[name], here)
            continue
        was, now = (_shown(side[name]) if name in side else ABSENT for side in (old, new))
        yield Change(here.path, here.key, was, now, part_of(place.key), camera=here.camera)
    if [name for name in old if name in new] != [name for name in new if name in old]:
        was, now = json.dumps(list(old)), json.dumps(list(new))
        part = part_of(place.key) if place.camera else Part.AT_ONCE
        yield Change(place.path, place.key, was, now, part, camera=place.camera)


def _shown(value: object) -> str:
    text = json.dumps(each(_plain(value), _masked), ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."


def _plain(value: object) -> object:
    """As JSON types, but for secrets."""
    if isinstance(value, Section):
        return {name: _plain(one) for name, one in value if one is not None}
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _masked(_path: KeyPath, value: object) -> object:
    if isinstance(value, SecretStr):
        return HIDDEN
    return mask_url(value) if isinstance(value, str) else value
