"""Faults to inject: what, from when, for how long, how strongly. Pure.

Written ``name@onset+duration*strength~ramp``, all but the name optional: ``black@10+5`` is black
from second 10 to 15; ``lamp_fade@60*0.6~120`` dims from second 60 on, reaching 60 % after two
minutes, and does not end. Seconds count from the first picture.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.nearest import unknown
from agent.simulator.fault_pictures import PICTURE_FAULTS


class Delivery(enum.StrEnum):
    """Faults of how pictures arrive, not of what they show."""

    FROZEN = "frozen"  # the picture from before the onset comes again and again
    REPEATED = "repeated"  # that share of the pictures are copies of the one before
    DROP = "drop"  # that share of the pictures never arrive
    SLOW = "slow"  # each picture comes that many seconds late
    HANG = "hang"  # a read that never returns
    LOST = "lost"  # the camera is gone: every read fails
    UNKNOWN_VARIETY = "unknown_variety"  # that share of the fruit is of no trained variety


FAULTS = (*PICTURE_FAULTS, *Delivery)
_FORM = re.compile(
    r"(?P<name>[a-z_]+)(@(?P<onset_s>[\d.]+))?(\+(?P<duration_s>[\d.]+))?"
    r"(\*(?P<strength>[\d.]+))?(~(?P<ramp_s>[\d.]+))?"
)


class FaultError(ValueError):
    """A fault that does not exist or whose numbers make no sense."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``strength`` 0..1 (for ``slow``: seconds); reached after ``ramp_s`` from the onset."""

    name: str
    onset_s: float = 0.0
    duration_s: float = math.inf
    strength: float = 1.0
    ramp_s: float = 0.0

    def level(self, t_s: float) -> float:
        """How strongly it acts at ``t_s``: 0 before the onset and after the end."""
        since = t_s - self.onset_s
        if since < 0 or since >= self.duration_s:
            return 0.0
        return self.strength * (min(1.0, since / self.ramp_s) if self.ramp_s > 0 else 1.0)


@dataclass(frozen=True, slots=True)
class Active:
    """A fault at work: goes into the truth of each picture, which is the truth log."""

    name: str
    level: float
    onset_s: float


def parse_fault(text: str) -> Fault:
    """Read ``name@onset+duration*strength~ramp``; raises ``FaultError``."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise FaultError("expected name@onset+duration*strength~ramp, seconds from the start")
    found = match.groupdict()
    name = found.pop("name")
    if name not in FAULTS:
        raise FaultError(unknown("fault", name, FAULTS))
    numbers: dict[str, float] = {}
    for field, number in found.items():
        try:
            numbers |= {} if number is None else {field: float(number)}
        except ValueError as error:
            key = field.removesuffix("_s")
            raise FaultError(f"{key} {number!r} is not a number") from error
    fault = Fault(name, **numbers)
    if name != Delivery.SLOW and fault.strength > 1:
        raise FaultError(f"strength {fault.strength:g} is above 1")
    return fault


def active(faults: Iterable[Fault], t_s: float) -> tuple[Active, ...]:
    """The faults at work at ``t_s``."""
    found = ((fault, fault.level(t_s)) for fault in faults)
    return tuple(Active(fault.name, level, fault.onset_s) for fault, level in found if level > 0)
