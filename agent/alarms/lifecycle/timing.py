"""On-delay and off-delay of an alarm, and the detection of chattering."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.alarms.catalogue import Definition
from agent.alarms.condition import Condition
from agent.records import Quality

CHATTER_RAISES = 3
CHATTER_WINDOW_S = 60.0
CHATTER_QUIET_S = 600.0


@dataclass(slots=True)
class Delay:
    """Waits until a condition has been the same for long enough, and on enough samples."""

    _since_mono: float | None = None
    _first_sample: int = 0

    def due(self, definition: Definition, condition: Condition, active: bool, now: float) -> bool:
        """True when the alarm must change from ``active`` to its opposite, which it then waits for.

        While the condition is unknown (``beyond`` None, or quality bad) the state holds and the
        delay begins anew: an alarm is neither raised nor cleared by what is not known.
        """
        unknown = condition.beyond is None or condition.quality is Quality.BAD
        changes = condition.back if active else bool(condition.beyond)
        if unknown or not changes:
            self._since_mono = None
            return False
        if self._since_mono is None:
            self._since_mono = now
            self._first_sample = condition.samples
        delay_s = definition.off_delay_s if active else definition.on_delay_s
        samples = condition.samples - self._first_sample + 1
        over = now - self._since_mono >= delay_s and (active or samples >= definition.on_samples)
        if over:
            self._since_mono = None
        return over


@dataclass(slots=True)
class Chatter:
    """Three activations within a minute are chattering; ten quiet minutes end it."""

    until_mono: float = 0.0
    _raises: deque[float] = field(default_factory=lambda: deque(maxlen=CHATTER_RAISES))

    def on_raise(self, now: float) -> None:
        self._raises.append(now)
        often = len(self._raises) == CHATTER_RAISES and now - self._raises[0] <= CHATTER_WINDOW_S
        if often or self.going_on(now):
            self.until_mono = now + CHATTER_QUIET_S

    def going_on(self, now: float) -> bool:
        return now < self.until_mono
