"""Which pictures are kept, and why. Pure: fed the time.

Nothing is kept of a machine that stands, is cleaned or changes over, of an empty cup, and of a
camera that repeats one picture.
"""

from __future__ import annotations

import hashlib
import math

from agent import config
from agent.dataset import Reason
from agent.records import (
    STANDING,
    SUTURE,
    ClassExplanation,
    Explanation,
    FruitReading,
    MachineInfo,
    NoReadReason,
)
from agent.token_bucket import TokenBucket


class Choice:
    """Decides by the settings, each reason at its own rate for each lane.

    ``of_fruit`` is for one thread, ``take_explained`` for one, which may be another.
    """

    def __init__(self, settings: config.Recording) -> None:
        self._settings = settings
        self._per_minute = {
            Reason(name): wanted.per_minute for name, wanted in settings.wanted.items()
        }
        self._buckets: dict[tuple[str, Reason], TokenBucket] = {}

    def of_fruit(self, fruit: FruitReading, *, alarmed: bool, now: float) -> tuple[Reason, ...]:
        """Why this fruit's picture is to be kept: every reason that holds, empty where none of them
        has its turn. ``alarmed``: an alarm of its lane stands."""
        if fruit.empty or fruit.camera_frozen or not runs(fruit.segmentation.machine):
            return ()
        reasons = tuple(
            reason
            for reason in self._reasons(fruit, alarmed=alarmed)
            if self._per_minute[reason] > 0
        )
        lane = fruit.segmentation.lane
        due = [self._take(lane, reason, now) for reason in reasons]  # each spends its own
        return reasons if any(due) else ()

    def take_explained(self, lane: str, now: float) -> bool:
        """Whether a picture of which only the explanation is unusual has its turn."""
        if self._per_minute[Reason.EXPLAINED] <= 0:
            return False
        return self._take(lane, Reason.EXPLAINED, now)

    def is_unusual(self, explanation: Explanation) -> bool:
        """Whether a control of the suture's explanation is beyond its limit, or one channel's
        effect further from a plain run than rounding."""
        wanted = self._settings.explained
        if wanted.per_minute <= 0:
            return False
        return any(
            _above(one.spot_error, wanted.spot_error_above)
            or (one.class_name == SUTURE and _unusual(one, wanted))
            for one in explanation.classes
            if one.explainable
        )

    def _reasons(self, fruit: FruitReading, *, alarmed: bool) -> list[Reason]:
        seen, settings = fruit.segmentation, self._settings
        reading = seen.reading
        implausible = (
            reading.reason is NoReadReason.IMPLAUSIBLE
            or reading.plausibility < settings.implausible.plausibility_below
        )
        uncertain = (
            reading.confidence < settings.uncertain.confidence_below
            if reading.read
            else reading.reason is NoReadReason.LOW_CONFIDENCE
        )
        sure = reading.read and reading.confidence >= settings.sure.confidence_from
        holds = {
            Reason.NO_READ: not reading.read,
            Reason.UNCERTAIN: uncertain,
            Reason.IMPLAUSIBLE: implausible,
            Reason.ALARMED: alarmed,
            Reason.RANDOM: _drawn(settings, seen.lane, seen.seq),
            Reason.SURE: sure,
        }
        return [reason for reason, is_so in holds.items() if is_so]

    def _take(self, lane: str, reason: Reason, now: float) -> bool:
        bucket = self._buckets.get((lane, reason))
        if bucket is None:
            per_minute = self._per_minute[reason]
            bucket = TokenBucket(per_minute / 60.0, max(1.0, per_minute), now)
            self._buckets[lane, reason] = bucket
        return bucket.take(now)


def runs(machine: MachineInfo) -> bool:
    """Whether the machine may be pitting fruit: it says so, or nothing at all."""
    return machine.state not in STANDING


def _unusual(suture: ClassExplanation, wanted: config.Explained) -> bool:
    foreground = suture.input_sensitivity_foreground
    return _above(suture.input_context_reliance, wanted.reliance_above) or (
        foreground < wanted.foreground_below
    )


def _above(value: float, limit: float) -> bool:
    return not math.isnan(value) and abs(value) > limit


def _drawn(settings: config.Recording, lane: str, seq: int) -> bool:
    """One in so many, by a hash: no pattern that could run in step with a machine's."""
    name = f"{settings.seed}/{lane}/{seq}".encode()
    drawn = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())
    return drawn % settings.random.one_in == 0
