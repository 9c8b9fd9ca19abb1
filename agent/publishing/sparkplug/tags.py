"""The tags of the node and its devices: what each is, its alias, its newest value, and when a value
is worth sending. Pure.

Data goes out by exception (section 2): a number beyond its deadband, anything else when it changed.
A tag of events (one value per fruit) sends every value, since an equal one is another measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from agent.publishing.sparkplug.codec import DataType, Metric, Scalar, Value, value_of
from agent.publishing.wire.deadband import beyond
from agent.records import Quality

NODE = ""
"""Stands for a device in the tags that belong to the node itself."""

QUALITY_CODE = {Quality.GOOD: 192, Quality.UNCERTAIN: 500, Quality.BAD: 0}
"""Section 6.4.9 knows good, stale and bad; a value of which we are not sure is one not to act on,
which is what hosts make of stale."""

TAGS_MAX = 5000


class TagError(ValueError):
    """A tag that there is no room for."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One metric of the node (``device`` empty) or of a device; ``name`` may hold folders."""

    device: str
    name: str
    datatype: DataType
    unit: str = ""
    every: bool = False  # each value is sent, changed or not

    @property
    def key(self) -> tuple[str, str]:
        return self.device, self.name


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one tag at one moment (Unix time in ms)."""

    device: str
    name: str
    value: Scalar
    quality: Quality
    timestamp_ms: int

    @property
    def key(self) -> tuple[str, str]:
        return self.device, self.name


@dataclass(slots=True)
class _State:
    tag: Tag
    alias: int
    newest: Sample | None = None
    reported: Sample | None = None


class TagTable:
    """Every tag that there is. Aliases count from 1 over node and devices together, for good.

    ``typed_data``: values carry their data type too, which births have said already.
    """

    def __init__(
        self, tags: Iterable[Tag], relative_deadband: float, *, typed_data: bool = False
    ) -> None:
        self._deadband = relative_deadband
        self._typed_data = typed_data
        self._states: dict[tuple[str, str], _State] = {}
        self._by_alias: list[Tag] = []
        for tag in tags:
            self.add(tag)

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._states

    def add(self, tag: Tag) -> None:
        """Add a tag; one that is there stays as it is. ``TagError`` when there are too many."""
        if tag.key in self._states:
            return
        if len(self._states) >= TAGS_MAX:
            raise TagError(f"no room for tag {tag.name!r}: there are {TAGS_MAX}")
        self._by_alias.append(tag)
        self._states[tag.key] = _State(tag, len(self._by_alias))

    def offer(self, sample: Sample) -> bool:
        """Remember a value; whether it is worth sending. ``KeyError`` for an unknown tag."""
        state = self._states[sample.key]
        state.newest = sample
        if state.reported is not None and not _beyond(state, sample, self._deadband):
            return False
        state.reported = sample
        return True

    def is_every(self, key: tuple[str, str]) -> bool:
        """Whether each value of this tag counts."""
        return self._states[key].tag.every

    def by_alias(self, alias: int) -> Tag | None:
        """Return the tag that births name with this alias; None when there is none."""
        return self._by_alias[alias - 1] if 0 < alias <= len(self._by_alias) else None

    def birth(self, device: str, now_ms: int) -> Iterator[Metric]:
        """Yield the full description of every tag of ``device``, with its newest value.

        A tag without a value yet is null (section 6.4.6), with the time of the birth.
        """
        for state in self._states.values():
            if state.tag.device != device:
                continue
            state.reported = state.newest
            null = Metric(alias=state.alias, timestamp_ms=now_ms)
            data = self.data(state.newest) if state.newest is not None else null
            yield replace(
                data,
                name=state.tag.name,
                datatype=int(state.tag.datatype),
                properties={**_unit(state.tag.unit), **data.properties},
            )

    def data(self, sample: Sample, *, historical: bool = False) -> Metric:
        """Return one value by its alias. ``Quality`` is there only when it is not good."""
        state = self._states[sample.key]
        known = not isinstance(sample.value, float) or math.isfinite(sample.value)
        return Metric(
            alias=state.alias,
            timestamp_ms=max(0, sample.timestamp_ms),
            datatype=int(state.tag.datatype) if self._typed_data else None,
            value=value_of(state.tag.datatype, sample.value) if known else None,
            is_historical=historical,
            properties=_quality(sample.quality if known else Quality.BAD),
        )


def _beyond(state: _State, sample: Sample, relative: float) -> bool:
    before = state.reported
    assert before is not None
    if state.tag.every or sample.quality is not before.quality:
        return True
    if isinstance(sample.value, float) and isinstance(before.value, float):
        return beyond(sample.value, before.value, relative)
    return sample.value != before.value


def _unit(unit: str) -> dict[str, Value]:
    return {"engUnit": value_of(DataType.STRING, unit)} if unit else {}


def _quality(quality: Quality) -> dict[str, Value]:
    code = value_of(DataType.INT32, QUALITY_CODE[quality])
    return {"Quality": code} if quality is not Quality.GOOD else {}
