"""What the machine said, as a course in time: what was valid when a picture was captured. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, replace
from operator import itemgetter

from agent.capture.pairing.clock import MachineClock
from agent.records import IdReason, MachineInfo, Origin

KEPT = 256
INTERVALS = 8
INTERVALS_MIN = 6
MARGIN_S = 0.05
"""With stamps: how near to the end of an interval a picture may show the neighbour."""
_STATE = ("state", "fruit_id", "encoder", "variety", "lot")


@dataclass(frozen=True, slots=True)
class Word:
    """One message; ``generation`` is the clock's at its arrival."""

    info: MachineInfo
    generation: int

    def moment(self, clock: MachineClock) -> float:
        """When the machine said it, on our clock: by its stamp, else by its arrival."""
        if self.info.machine_timestamp_ms:
            moment = clock.moment(self.info.machine_timestamp_ms, self.generation)
            if moment is not None:
                return moment
        return self.info.arrived_mono


class MachineHistory:
    """The newest ``KEPT`` changes. A word is valid from its moment to the next one's."""

    def __init__(self, clock: MachineClock, tolerance_s: float) -> None:
        self._clock = clock
        self._tolerance_s = tolerance_s
        self._words: deque[Word] = deque()
        self._cut = False  # whether older words were dropped

    def heard(self, word: Word) -> bool:
        """Keep a word that changes something; true when the oldest had to go for it."""
        if word.info.origin is Origin.OPERATOR and self._words:
            word = replace(word, info=_changed(self._words[-1].info, word.info))
        if self._words and _same(self._words[-1].info, word.info):
            return False
        self._words.append(word)
        if len(self._words) <= KEPT:
            return False
        self._words.popleft()
        self._cut = True
        return True

    def at(self, mono: float) -> MachineInfo:
        """Return what was valid at a moment; before the first word nothing was.

        Of a moment before the oldest word that is left, only what rarely changes is said.
        """
        valid, since = None, float("-inf")
        for word in self._words:
            moment = word.moment(self._clock)
            if since <= moment <= mono:
                valid, since = word.info, moment
        if valid is not None:
            return valid
        if self._cut:
            return replace(self._words[0].info, fruit_id=None, encoder=None, machine_timestamp_ms=0)
        return MachineInfo()

    def certainty(self, mono: float, fruit_id: str | None) -> IdReason:
        """Say how sure it is that ``fruit_id`` was valid when a free-running camera's picture was
        taken.

        An id is valid from its message to the next one's, and no longer than the others were: the
        next message may have been lost. Near either end the picture may show the neighbour.
        """
        edges = self._edges()
        if not edges:
            return IdReason.NONE
        before = [i for i, (moment, _) in enumerate(edges) if moment <= mono]
        if not before:
            return IdReason.MISSING
        last = before[-1]
        since, word = edges[last]
        if word.info.fruit_id is None or word.info.fruit_id != fruit_id:
            return IdReason.MISSING if fruit_id is None else IdReason.AMBIGUOUS
        if word.info.origin is Origin.STORED:
            return IdReason.STORED
        stamped = word.info.machine_timestamp_ms > 0
        if stamped and not (
            self._clock.known(MARGIN_S) and word.generation == self._clock.generation
        ):
            return IdReason.CLOCK
        moments = [moment for moment, _ in edges[max(0, last - INTERVALS) : last + 2]]
        lengths = [b - a for a, b in itertools.pairwise(moments)]
        if len(lengths) < INTERVALS_MIN:
            return IdReason.UNPROVEN
        usual = min(lengths)  # of the others, any may hide a lost one
        margin = min(MARGIN_S if stamped else self._tolerance_s, usual / 4)
        if not stamped and max(lengths) - min(lengths) > margin:
            return IdReason.UNPROVEN
        until = since + usual
        if last + 1 < len(edges):
            until = min(until, edges[last + 1][0])
        return IdReason.NONE if since + margin <= mono <= until - margin else IdReason.AMBIGUOUS

    def _edges(self) -> list[tuple[float, Word]]:
        """The changes of id, in the order of their moments."""
        words = [(word.moment(self._clock), word) for word in self._words]
        edges: list[tuple[float, Word]] = []
        for moment, word in sorted(words, key=itemgetter(0)):
            if not edges or edges[-1][1].info.fruit_id != word.info.fruit_id:
                edges.append((moment, word))
        return edges if any(word.info.fruit_id is not None for _, word in edges) else []


def _changed(said: MachineInfo, by_operator: MachineInfo) -> MachineInfo:
    """What a lane was told last, but for what the operator changes."""
    return replace(by_operator, fruit_id=said.fruit_id, encoder=said.encoder, state=said.state)


def _same(a: MachineInfo, b: MachineInfo) -> bool:
    return all(getattr(a, name) == getattr(b, name) for name in _STATE)
