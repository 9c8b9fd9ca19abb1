"""The topic tree below ``B = {root}/v1/{enterprise}/{site}/{area}/{line}/{machine}``: one table.

Everything that a subscriber can rely on about a topic (level names, quality of service, retain,
expiry) stands in ``ROUTES`` and nowhere else. The level ``{camera}`` names a lane.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from agent.config import Site
from agent.records import TopicFamily

VERSION = "v1"
AGENT = "agent"
"""Stands for a lane in the metrics that belong to the agent as a whole."""

_LEVEL = re.compile(r"[A-Za-z0-9_-]{1,80}")


class TopicError(ValueError):
    """A topic level that SCADA could not use as the name of a tag."""


class Buffering(enum.Enum):
    """What becomes of a message that cannot be sent at once. Not MQTT's retain flag."""

    STATE = "state"  # only the newest per topic counts; sent again on every connect
    EVENT = "event"  # every one counts; waits in memory in order, up to a cap
    DURABLE = "durable"  # every one counts; waits on the disk, over restarts


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table; ``pattern`` is relative to B, ``expiry_s`` 0 means never.

    ``rank`` orders what waits for the broker: lower goes first. ``probed``: a QoS 0 topic is sent
    at QoS 1 until the broker has accepted it once, so that a denial is seen.
    """

    family: TopicFamily
    pattern: str
    qos: int
    retain: bool
    expiry_s: int
    buffering: Buffering
    rank: int
    probed: bool = True


STATE, EVENT, DURABLE = Buffering.STATE, Buffering.EVENT, Buffering.DURABLE
ROUTES: dict[str, Route] = {
    "status": Route(TopicFamily.STATUS, "status", 1, True, 0, STATE, 0),
    "meta": Route(TopicFamily.META, "meta", 1, True, 0, STATE, 1),
    "event_alarm": Route(TopicFamily.EVENT, "event/alarm", 1, False, 86_400, DURABLE, 2),
    # No expiry while the alarm is not normal; a normal one expires, since emptying a retained
    # topic would hand a JSON client an empty payload.
    "alarm": Route(TopicFamily.ALARM, "alarm/{alarm_id}", 1, True, 0, STATE, 3),
    "alarm_normal": Route(TopicFamily.ALARM, "alarm/{alarm_id}", 1, True, 86_400, STATE, 3),
    # After what they answer for: a flood of commands must not hold up an alarm.
    "cmd_result": Route(TopicFamily.COMMAND, "cmd/result", 1, False, 60, EVENT, 4),
    "fruit": Route(TopicFamily.FRUIT, "fruit/{camera}", 0, False, 10, EVENT, 5),
    "metric": Route(TopicFamily.METRIC, "metric/{camera}/{name}", 0, True, 300, STATE, 6),
    "evidence": Route(
        TopicFamily.EVIDENCE, "evidence/{event_id}/image", 1, True, 86_400, DURABLE, 7
    ),
    "explanation": Route(
        TopicFamily.EXPLANATION, "explanation/{camera}", 1, False, 600, DURABLE, 8
    ),
    "cam_image": Route(TopicFamily.CAM, "cam/{camera}/{class}/image", 0, True, 120, STATE, 9),
    "cam_meta": Route(TopicFamily.CAM, "cam/{camera}/{class}/meta", 1, True, 120, STATE, 9),
}
MACHINE = "machine"
"""The topic of the machine's state that is subscribed: QoS 1, retained ones accepted."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one machine: ``Topics(site).of("metric", camera="cam1", name="fps")``."""

    base: str

    @classmethod
    def for_site(cls, site: Site) -> Topics:
        levels = (site.root, VERSION, site.enterprise, site.site, site.area, site.line)
        return cls("/".join((*levels, site.machine)))

    def of(self, route: str, **levels: str) -> str:
        """Return the full topic of a route; ``TopicError`` names a level that is not allowed."""
        for name, level in levels.items():
            if not _LEVEL.fullmatch(level):
                raise TopicError(
                    f"{name} {level[:80]!r} cannot be a topic level: 1 to 80 of A-Z a-z 0-9 _ -"
                )
        return f"{self.base}/{ROUTES[route].pattern.format(**levels)}"

    @property
    def machine(self) -> str:
        return f"{self.base}/{MACHINE}"

    @property
    def commands(self) -> str:
        """The filter under which every command arrives, and our own answers to them."""
        return f"{self.base}/cmd/+"
