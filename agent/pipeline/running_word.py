"""Which variety and lot run on each lane, and who said so last: over restarts too.

The newest word counts, an operator's or the machine's. Two exceptions keep an operator's word:
a message of the machine that names neither variety nor lot says nothing of them, and a message
that a broker hands over at a connect is older than the operator's word if the machine had said
the same before it. The configuration is no word: the only variety of ``alarms.reference`` is taken
until there is one, and a file that comes or goes changes nothing of what runs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from agent.records import MachineInfo, Origin
from agent.storage.kept import Kept, parse_kept
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

NAME = "running_word"
SAVE_EVERY_S = 1.0
"""A machine that keeps changing its mind must not keep the disk busy; the last word is saved."""
EVERY_LANE = ""

Value = TypeVar("Value")


class _Word(BaseModel):
    """What was said of one lane, or of every lane, and since when (Unix ms) by whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    variety: str = ""
    lot: str = ""
    by_operator: bool
    since_utc_ms: NonNegativeInt


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)

    version: Literal[1] = 1
    words: dict[str, _Word]
    machine: dict[str, tuple[str, str]]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """The word on one lane, for people. ``origin``: ``operator``, ``machine``, ``configuration``
    for the only reference that there is, or ``nobody``."""

    lane: str
    variety: str
    lot: str
    origin: str
    since_utc_ms: int


class RunningWord:
    """``lanes``: the names of all lanes; ``references``: the varieties that have one now. ``take``
    may be called from any thread, the rest by one at a time."""

    def __init__(
        self, kept: Kept, lanes: Collection[str], references: Collection[str], clock: Clock
    ) -> None:
        self._kept = kept
        self._lanes = tuple(lanes)
        self._references = tuple(sorted(references))
        self._taken_out: frozenset[str] = frozenset()  # references of the start before
        self._clock = clock
        self._lock = threading.Lock()
        self._words: dict[str, _Word] = {}  # by lane; ``EVERY_LANE``: where no lane has its own
        self._machine: dict[str, tuple[str, str]] = {}  # what the machine itself named last
        self._version = self._saved_version = 0
        self._saved_in = kept.generation
        self._unread = False  # the file may have a word that could not be read yet
        self._save_from_mono = 0.0

    def restore(self) -> None:
        """Put in force what was when an earlier start ended."""
        found = self._kept.get(NAME)
        self._unread = found is None and self._kept.out_of_reach
        if found is None:
            return
        saved = parse_kept(found, NAME, _Saved, logger)
        if saved is None:
            return
        known = (EVERY_LANE, *self._lanes)
        self._words = {lane: word for lane, word in saved.words.items() if lane in known}
        self._machine = {lane: pair for lane, pair in saved.machine.items() if lane in known}
        self._taken_out = frozenset(saved.references) - set(self._references)
        self._version += saved.references != self._references  # they are for the next start

    def change_lanes(self, lanes: Collection[str]) -> None:
        """Go on with these lanes; the word of one that is gone is forgotten."""
        with self._lock:
            self._lanes = tuple(lanes)
            known = (EVERY_LANE, *self._lanes)
            before = self._words, self._machine
            self._words = {lane: word for lane, word in self._words.items() if lane in known}
            self._machine = {lane: pair for lane, pair in self._machine.items() if lane in known}
            self._version += before != (self._words, self._machine)

    def set_references(self, references: Collection[str]) -> None:
        """Another model is live, and these varieties have a reference made with it."""
        with self._lock:
            self._references = tuple(sorted(references))
            self._taken_out -= set(references)
            self._version += 1

    def heard(self) -> list[MachineInfo]:
        """Return the words in force as messages, for those who have not heard them."""
        every = sorted(self._words.items())  # of every lane first: a lane's own comes over it
        return [self._heard(lane, word) for lane, word in every]

    def recovered(self) -> list[MachineInfo]:
        """Return, as ``heard`` does, the words of a file that can be read only now; none where
        somebody has said a newer one meanwhile."""
        if not self._unread or self._kept.out_of_reach:
            return []
        self._unread = False
        if self._words:
            return []
        self.restore()
        self.say()
        return self.heard()

    def _heard(self, lane: str, word: _Word) -> MachineInfo:
        return MachineInfo(
            variety=word.variety or None,
            lot=word.lot or None,
            received_utc_ms=word.since_utc_ms,
            arrived_mono=self._clock(),
            lane=lane or None,
            origin=Origin.OPERATOR if word.by_operator else Origin.STORED,
        )

    def take(self, info: MachineInfo) -> MachineInfo:
        """Remember what a message says; return it as it is to be heard."""
        lane = info.lane or EVERY_LANE
        if lane != EVERY_LANE and lane not in self._lanes:
            return info
        named = (info.variety or "", info.lot or "")
        with self._lock:
            before = self._words.get(lane) or self._words.get(EVERY_LANE)
            overruled = before is not None and before.by_operator
            if overruled and info.origin is Origin.STORED and named == self._machine.get(lane):
                return replace(info, variety=None, lot=None)
            if not any(named):
                return info
            by_operator = info.origin is Origin.OPERATOR
            if not by_operator:
                self._machine = _put(self._machine, lane, named)
            variety = named[0]
            if not variety and before is not None:  # a lot alone leaves the variety as it is
                variety, by_operator = before.variety, by_operator or before.by_operator
            word = _Word(
                variety=variety,
                lot=named[1],
                by_operator=by_operator,
                since_utc_ms=info.received_utc_ms,
            )
            same = before is not None and word == before.model_copy(
                update={"since_utc_ms": word.since_utc_ms}
            )
            if not same or (lane == EVERY_LANE and len(self._words) > 1):
                self._words = _put(self._words, lane, word)
                self._version += 1
        return info

    def shown(self, info: MachineInfo) -> MachineInfo:
        """A message for those who look at the machine: with the operator's word where it holds."""
        word = self._words.get(info.lane or EVERY_LANE) or self._words.get(EVERY_LANE)
        if word is None or not word.by_operator:
            return info
        return replace(info, variety=word.variety or None, lot=word.lot or None)

    def save(self, *, now: bool = True) -> None:
        """Write what has changed; without ``now``, at most once in ``SAVE_EVERY_S``.

        All of it where another file or memory has taken the place of the one that had it; but not
        where nothing is known: a file that could not be read at the start may know more.
        """
        saved_in = self._kept.generation
        with self._lock:
            if saved_in != self._saved_in:
                self._version += bool(self._words)
                self._saved_in = saved_in
            version, saved = self._version, self._saved()
        waits = not now and self._clock() < self._save_from_mono
        unsaid = self._unread and not saved.words  # it would take the place of the file's own
        if version == self._saved_version or waits or unsaid:
            return
        self._save_from_mono = self._clock() + SAVE_EVERY_S
        self._kept.put(NAME, saved.model_dump(mode="json"), partial(self._written, version))

    def _saved(self) -> _Saved:
        return _Saved(words=self._words, machine=self._machine, references=self._references)

    def _written(self, version: int) -> None:
        self._saved_version = version

    def in_force(self) -> list[InForce]:
        """Return the word of every lane."""
        only = self._references[0] if len(self._references) == 1 else ""
        found = []
        for lane in self._lanes:
            word = self._words.get(lane) or self._words.get(EVERY_LANE)
            if word is None or not word.variety:
                by = "configuration" if only else "nobody"
                found.append(InForce(lane, only, word.lot if word else "", by, 0))
                continue
            by = "operator" if word.by_operator else "machine"
            found.append(InForce(lane, word.variety, word.lot, by, word.since_utc_ms))
        return found

    def of_lane(self, lane: str) -> tuple[str, str]:
        """Return variety and lot of a lane, empty where nobody has named them. For any thread."""
        found = next((one for one in self.in_force() if one.lane == lane), None)
        return ("", "") if found is None else (found.variety, found.lot)

    def charted(self) -> list[str]:
        """Return the lanes of which charts can judge alarms, now or when their variety runs again:
        not those whose variety has lost its reference since the start before."""
        return [
            one.lane
            for one in self.in_force()
            if self._references and one.variety not in self._taken_out
        ]

    def say(self) -> None:
        """Log which word is in force on each lane: a warning where charts rest for it."""
        for one in self.in_force():
            rest = _why_charts_rest(one.variety, self._references)
            log_event(
                logger,
                logging.WARNING if rest else logging.INFO,
                "running_word",
                camera=one.lane,
                variety=one.variety or "unknown",
                lot=one.lot or "unknown",
                said_by=one.origin,
                since_ms=one.since_utc_ms,
                charts=rest or ("at work" if self._references else "none configured"),
            )


def _why_charts_rest(variety: str, references: Collection[str]) -> str:
    if not references or variety in references:
        return ""
    if not variety:
        return "they rest: no variety was announced, and there are several references"
    return f"they rest: alarms.reference has no file of variety {variety}"


def _put(known: Mapping[str, Value], lane: str, value: Value) -> dict[str, Value]:
    """With the newest word; one of every lane takes the place of all."""
    return {lane: value} if lane == EVERY_LANE else {**known, lane: value}
