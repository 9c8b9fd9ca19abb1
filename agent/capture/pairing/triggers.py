"""Which trigger of the machine belongs to which picture of a lane. Pure: it is fed the time.

The machine names each fruit once, in the message of its trigger. A trigger's moment is its own
stamp, brought to our clock, less ``delay_s``; without a stamp it is its arrival. It belongs to the
picture captured nearest to that moment, before or after, at most the tolerance away: half of the
time between two pictures, and never more than ``tolerance_s``. Pictures come to ``decide`` in the
order of capture; one whose trigger is not there waits for it, bounded. A trigger names one picture
and is used up by it; one whose picture has been answered is counted and never used for another.

Guarantee: an id is called certain (``IdReason.NONE``) only if it is the fruit's own, provided that

- with stamps: the clock is known (``clock.py``). Whatever is lost, held up, doubled or out of order
  on the way changes no stamp, and a picture or trigger that is lost leaves a gap wider than the
  tolerance. A clock that steps makes stamps point at pictures that were named already, or before
  what was there, or ahead of their arrival; then nothing is certain until it is known anew;
- without stamps: a message needs less than half a period, or else its delay keeps changing. A late
  message leaves its own picture without an id first. After any picture without a trigger, trigger
  without a picture, or two triggers for one picture, pairs in a row must prove a band again
  (``band.py``): 8 that lie within a tenth of a period, 27 within half of one. A delay that grows by
  whole periods and stays so cannot be told from a loss.

What is not certain says why: ``MISSING``, ``AMBIGUOUS``, ``UNPROVEN`` or ``CLOCK``. Memory is
bounded: ``KEPT`` triggers, above which the oldest goes and is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.capture.pairing.band import Band
from agent.capture.pairing.clock import UNUSABLE, MachineClock
from agent.capture.pairing.history import Word
from agent.capture.pairing.pictures import Pictures, Waiting
from agent.capture.pairing.seen import SeenIds
from agent.records import IdReason, MachineInfo, Origin

KEPT = 64
"""Triggers that wait for their pictures: more than a queue of pictures ever holds of one stop."""
PROOF_STAMPS = 2
PROOF_ARRIVALS = 8
CHANCE = 1e-8
DOUBTS = 2
SILENT = 8
"""Pictures in a row without any trigger, after which none waits: the machine has stopped naming."""
UNCLAIMED_S = 5.0
"""A trigger that no picture came for is given up after this; a picture is never that old."""


@dataclass(frozen=True, slots=True)
class PairingSettings:
    """Of one camera. ``period_s``: the shortest time between two pictures, where it is known."""

    tolerance_s: float = 0.5
    delay_s: float = 0.0
    wait_s: float = 0.5
    period_s: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a picture is called: the trigger's message, or None, and why that is not certain."""

    info: MachineInfo | None
    reason: IdReason


@dataclass(slots=True)
class _Trigger:
    word: Word
    repeated: bool


class TriggerPairing:
    """Pairs the triggers and pictures of one lane. ``count`` is told of each trigger that named no
    picture, by reason, and of each doubled one."""

    def __init__(
        self, settings: PairingSettings, clock: MachineClock, count: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._count = count
        self._open: deque[_Trigger] = deque()
        self._pictures = Pictures(settings.tolerance_s, settings.period_s)
        self._seen = SeenIds()
        self._stamps = Band(PROOF_STAMPS)
        self._arrivals = Band(PROOF_ARRIVALS, CHANCE)
        self._generation = 0
        self._doubts = 0  # stamps in a row that point at what others have named
        self._names = False  # whether the machine names fruit at all
        self._silent = 0

    # --- what comes in ---------------------------------------------------------------------------

    def trigger(self, word: Word) -> None:
        """Take a message of the machine; without an id, or with the last one, it names nothing."""
        info = word.info
        if info.fruit_id is None:
            return
        self._names = True
        if info.origin is not Origin.MACHINE:
            self._seen.stored(info)
            return
        known = self._seen.take(info)
        if known.double:
            if not known.again:
                self._count("doubled")
            return
        self._silent = 0
        self._give_up(info.arrived_mono)
        trigger = _Trigger(word, known.before)
        self._open.append(trigger)
        if self._answered(trigger):
            self._close(trigger)
        if len(self._open) > KEPT:
            self._open.popleft()
            self._lost("overflow")

    def picture(self, seq: int, mono: float, now: float) -> None:
        """Take notice of a picture that was taken out of the camera's queue."""
        wait_s = min(self._settings.wait_s, self._pictures.tolerance_s)
        self._pictures.add(Waiting(seq, mono, now + (wait_s if self._silent < SILENT else 0.0)))

    def decide(self, seq: int, now: float, *, final: bool = False) -> Verdict | None:
        """Say which trigger a picture has; None while it may wait for one, which ``final`` ends."""
        picture = self._pictures.find(seq)
        if picture is None or not self._names:
            return Verdict(None, IdReason.NONE if not self._names else IdReason.MISSING)
        self._follow_clock()
        low, high = self._pictures.cell(picture)
        offsets = [(self._moment(trigger) - picture.mono, trigger) for trigger in self._open]
        near = [
            (offset, trigger)
            for offset, trigger in offsets
            # However late this is asked: the answer must not depend on it.
            if low <= offset <= high and trigger.word.info.arrived_mono <= picture.deadline
        ]
        if not near and not final and now < picture.deadline:
            return None
        self._pictures.answer(seq)
        verdict = self._named(picture, near) if near else self._missing()
        for trigger in [trigger for trigger in self._open if self._answered(trigger)]:
            self._close(trigger)
        return verdict

    @property
    def waiting(self) -> bool:
        """Whether a picture may be waiting for its trigger."""
        return self._names and not self._pictures.all_answered

    # --- the rule --------------------------------------------------------------------------------

    def _moment(self, trigger: _Trigger) -> float:
        return trigger.word.moment(self._clock) - self._settings.delay_s

    def _named(self, picture: Waiting, near: list[tuple[float, _Trigger]]) -> Verdict:
        offset, trigger = min(near, key=lambda pair: abs(pair[0]))
        reason = self._certainty(offset, trigger, alone=len(near) == 1)
        self._open.remove(trigger)
        picture.named = True
        return Verdict(trigger.word.info, reason)

    def _certainty(self, offset: float, trigger: _Trigger, *, alone: bool) -> IdReason:
        stamped = trigger.word.info.machine_timestamp_ms > 0
        band = self._stamps if stamped else self._arrivals
        if not alone:
            self._arrivals.clear()
            return IdReason.AMBIGUOUS
        fits = band.fits(offset, self._pictures.spacing_s)
        band.add(offset)
        if stamped and not self._trusted(trigger):
            return IdReason.CLOCK
        if stamped:
            self._doubts = 0
        if trigger.repeated and not stamped:
            return IdReason.AMBIGUOUS
        return IdReason.NONE if fits else IdReason.UNPROVEN

    def _missing(self) -> Verdict:
        self._silent += 1
        self._arrivals.clear()
        return Verdict(None, IdReason.MISSING)

    # --- triggers that name no picture -----------------------------------------------------------

    def _answered(self, trigger: _Trigger) -> bool:
        """Whether the picture that this trigger belongs to, or should, has been answered."""
        last = self._pictures.last_answered
        if last is None:
            return False
        return self._moment(trigger) - last.mono <= self._pictures.cell(last)[1]

    def _nearest(self, trigger: _Trigger) -> tuple[Waiting, float] | None:
        moment = self._moment(trigger)
        picture = self._pictures.nearest(moment)
        return None if picture is None else (picture, moment - picture.mono)

    def _close(self, trigger: _Trigger) -> None:
        """Count a trigger that came too late for its picture, or for which there is none."""
        nearest = self._nearest(trigger)
        assert nearest is not None
        picture, offset = nearest
        low, high = self._pictures.cell(picture)
        if not low <= offset <= high:
            reason = "no_picture"
        elif picture.named:
            reason = "surplus"
            word = trigger.word
            if word.info.machine_timestamp_ms and self._trusted(trigger):
                # Two triggers at one time: the stamp is wrong, and a second such in a row says that
                # the clock has stepped. This one is judged anew.
                trigger.word = Word(word.info, self._doubt(word.info))
                return
        else:
            reason = "late"
        self._open.remove(trigger)
        self._lost(reason)

    def _doubt(self, info: MachineInfo) -> int:
        """The generation of a trigger whose stamp points at another one's picture."""
        self._doubts += 1
        if self._doubts < DOUBTS:
            return UNUSABLE
        self._clock.restart(info.arrived_mono, info.machine_timestamp_ms)
        self._follow_clock()
        return self._clock.generation

    def _give_up(self, now: float) -> None:
        while self._open and now - self._moment(self._open[0]) > UNCLAIMED_S:
            self._open.popleft()
            self._lost("no_picture")

    def _lost(self, reason: str) -> None:
        self._arrivals.clear()
        self._count(reason)

    def _trusted(self, trigger: _Trigger) -> bool:
        tolerance_s = self._pictures.tolerance_s
        return trigger.word.generation == self._clock.generation and self._clock.known(tolerance_s)

    def _follow_clock(self) -> None:
        if self._generation != self._clock.generation:
            self._generation = self._clock.generation
            self._stamps.clear()
            self._doubts = 0
