"""Findings over time: since when each goes on, and to which alarm it is attributed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from agent.alarms.catalogue import BY_CAUSE, DEFINITIONS, Cause, Definition, Part, Situation
from agent.alarms.charts.newest import PictureCheck
from agent.alarms.condition import Condition
from agent.alarms.diagnosis.observations import Observations, is_fixed

CLEARING_S = 5.0
"""Beyond its off-delay: a finding that returns within it keeps its attribution. Its alarm, which
still waits to clear, would otherwise be raised for a moment."""
FINDINGS = tuple(
    row.cause
    for row in sorted((row for row in DEFINITIONS if row.part), key=lambda row: row.part or 0)
)
"""In the order in which they are decided on."""
OWN: Final = "own"
"""The decision that a finding is raised under its own alarm."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Announced under ``alarm`` because of ``situation``, which ``pictures`` showed."""

    alarm: Cause
    situation: Situation
    pictures: PictureCheck | None


Decision = Attribution | Literal["own"]


@dataclass(slots=True)
class Episode:
    """A finding, once it has lasted for its alarm's on-delay, until it has been back by its
    deadband for as long as its alarm takes to clear; unknown in between changes nothing.

    ``fixed``: it is the fixed limit that was crossed when it began. ``decision``: None while it is
    waited for. ``confirmed_mono``: when the decision's reason was last present. ``back_mono``:
    since when it has been back.
    """

    since_mono: float
    explained: int
    fixed: bool
    confirmed_mono: float
    decision: Decision | None = None
    back_mono: float | None = None

    @property
    def attribution(self) -> Attribution | None:
        return self.decision if isinstance(self.decision, Attribution) else None


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding to decide on, with all that is known at ``now``."""

    cause: Cause
    episode: Episode
    found: Mapping[Cause, Condition]
    observations: Observations
    now: float

    @property
    def definition(self) -> Definition:
        return BY_CAUSE[self.cause]

    @property
    def fixed(self) -> bool:
        return is_fixed(self.found[self.cause])

    @property
    def age_s(self) -> float:
        return self.now - self.episode.since_mono

    @property
    def early(self) -> bool:
        """Whether a decision may still be waited for."""
        return self.age_s < self.observations.window_s


class Episodes:
    """The findings of one lane that go on."""

    def __init__(self) -> None:
        self._episodes: dict[Cause, Episode] = {}
        self._beyond: dict[Cause, float] = {}  # since when, of what is no episode yet

    def update(self, cause: Cause, one: Condition, explained: int, now: float) -> None:
        """Begin, continue or end the episode of this cause."""
        episode = self._episodes.get(cause)
        if episode is None:
            if not one.beyond:
                self._beyond.pop(cause, None)
            elif now - self._beyond.setdefault(cause, now) >= BY_CAUSE[cause].on_delay_s:
                since = self._beyond.pop(cause)
                self._episodes[cause] = Episode(since, explained, is_fixed(one), now)
        elif not one.back:
            episode.back_mono = None
        elif episode.back_mono is None:
            episode.back_mono = now
        elif now - episode.back_mono >= BY_CAUSE[cause].off_delay_s + CLEARING_S:
            del self._episodes[cause]

    def get(self, cause: Cause) -> Episode | None:
        return self._episodes.get(cause)

    def since_of_all_under(self, alarm: Cause) -> list[float]:
        """When the findings began that are announced under this alarm, its own included."""
        episodes = [self._episodes[cause] for cause in self.attributed_to(alarm)]
        own = self._episodes.get(alarm)
        return [one.since_mono for one in (*episodes, *([own] if own is not None else []))]

    def attributed_to(self, alarm: Cause) -> dict[Cause, Attribution]:
        """The other findings that are announced under this alarm, and why."""
        return {
            cause: one.attribution
            for cause, one in self._episodes.items()
            if one.attribution is not None
            and one.attribution.alarm is alarm
            and one.back_mono is None
        }

    def going_on(self, cause: Cause) -> bool:
        episode = self._episodes.get(cause)
        return episode is not None and episode.back_mono is None

    def network_fails(self) -> bool:
        """Whether the network fails at the fruit: it sees less, or reads less."""
        return any(
            self.going_on(cause)
            for cause in FINDINGS
            if BY_CAUSE[cause].part in (Part.NETWORK, Part.READINGS)
        )
