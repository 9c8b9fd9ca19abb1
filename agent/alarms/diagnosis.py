"""Under which alarm a finding is told: the one that names its cause. Pure.

Findings follow from each other. A lens out of focus makes the network see less, read less and look
elsewhere; told one by one these would be four alarms, and the first of them, whichever rule is the
quickest, would send people to the wrong place. What was found is therefore told with what is known
of the newest pictures and of the answers:

- pictures are unusual, and the finding began with it: told as ``image_quality``
- the fruit are of another colour before an unchanged camera: told as ``segmentation_degraded``
- pictures are as usual and fruit go unread: told as ``segmentation_degraded``
- pictures are as usual and the network sees the fruit worse: told when enough explanations have
  been waited for, or not at all where they have found the cause meanwhile
- hiding the suture changes nothing and yet the answers differ from fruit to fruit: something else
  in the picture decides, told as ``background_reliance``

Nothing is raised here that no rule or chart has found, and nothing is kept back for longer than a
window unless another alarm tells it.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from agent.alarms.catalogue import Cause
from agent.alarms.condition import Condition, Detail
from agent.alarms.language import Fact
from agent.alarms.newest import NEWEST_CUPS, Look
from agent.alarms.suppression import Situation, suppressed_by
from agent.records import Quality

UNUSUAL, USUAL = 4.0, 3.0
"""Scores from which pictures count as unusual, and below which as usual again: far below what an
alarm takes, because something else has been found already. The most unusual of nine looks, several
a second, passes 3 in every second ordinary lot and 4 in one of thirty."""
TOGETHER_S = 300.0
"""A finding that begins later than this after the pictures changed has a cause of its own: a lamp
that has been weak for weeks must not hide a model that goes wrong today."""
BEFORE_S = 5.0
"""The newest pictures are a mean over 20 s: a finding may be a little quicker."""
ANGLES, LEAST_ANGLES = 100, 20
SCATTERED = 0.5
"""Length of the mean of the doubled angles' unit vectors: 1 where all answers are the same."""
EXPLAINING = (Cause.BACKGROUND_RELIANCE, Cause.FOREGROUND_INSENSITIVE, Cause.EXPLANATION_DRIFT)
FOLLOWING = (Cause.NO_READ_RATE, Cause.SEGMENTATION_DEGRADED, *EXPLAINING)
"""What can follow from other pictures."""


class _Lies(enum.Enum):
    """Where the change of the pictures lies."""

    CAMERA = enum.auto()
    FRUIT = enum.auto()
    PENDING = enum.auto()


class NewestAngles:
    """Whether the newest answers differ from fruit to fruit."""

    def __init__(self) -> None:
        self._doubled: deque[complex] = deque(maxlen=ANGLES)

    def add(self, angle_deg: float) -> None:
        """Take the angle of one fruit, axial degrees."""
        self._doubled.append(complex(np.exp(2j * math.radians(angle_deg))))

    @property
    def scattered(self) -> bool:
        """Angles at random, or nearly: no constant answer. False for too few."""
        many = len(self._doubled)
        return many >= LEAST_ANGLES and abs(sum(self._doubled)) / many < SCATTERED


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known beside the findings. ``look``: of the newest pictures, None: not enough.
    ``scattered``: answers differ from fruit to fruit. ``explained``: explanations so far, of which
    ``enough`` more are waited for, ``window_s`` at most."""

    look: Look | None
    scattered: bool
    explained: int
    enough: int
    window_s: float


@dataclass(frozen=True, slots=True)
class _Unusual:
    """Since when the pictures are; ``cups``: how many had passed until then."""

    since_mono: float
    cups: int


@dataclass(slots=True)
class _Waiting:
    """For explanations; ``over`` once nothing more is waited for."""

    since_mono: float
    explained: int
    over: bool = False


class Diagnosis:
    """One lane's; fed every judgement, it remembers when findings began."""

    def __init__(self) -> None:
        self._since: dict[Cause, float] = {}
        self._held: set[Cause] = set()  # beyond, or not yet back by the deadband
        self._unusual: _Unusual | None = None
        self._waiting: _Waiting | None = None

    def told(self, found: Iterable[Condition], evidence: Evidence, now: float) -> list[Condition]:
        """The same conditions, each as it is to be told."""
        by_cause = {Cause(one.cause): one for one in found}
        situations: dict[Cause, set[Situation]] = {cause: set() for cause in by_cause}
        self._hold(by_cause.values())
        if evidence.scattered:
            self._read_off_something_else(by_cause, situations)
        self._begin(by_cause, now)
        self._look(evidence.look, now)
        look, unusual = evidence.look, self._unusual
        if look is not None and unusual is not None:
            match self._lies_with(look, unusual, now - unusual.since_mono < evidence.window_s):
                case _Lies.PENDING:
                    for cause in (Cause.IMAGE_QUALITY, *FOLLOWING):
                        if _true(by_cause, cause):
                            by_cause[cause] = _undecided(by_cause[cause])
                case _Lies.FRUIT:
                    self._other_fruit(by_cause, situations, look, evidence.window_s, now)
                case _Lies.CAMERA:
                    self._other_pictures(by_cause, situations, look, unusual)
        elif look is not None and not _true(by_cause, Cause.IMAGE_QUALITY):
            self._unread(by_cause, situations)
            self._wait_for_explanations(by_cause, evidence, now)
        told_of_pictures = Situation.OTHER_FRUIT not in situations.get(Cause.IMAGE_QUALITY, set())
        if told_of_pictures and _true(by_cause, Cause.IMAGE_QUALITY):
            for reasons in situations.values():
                reasons.add(Situation.IMAGE_QUALITY)
        return [
            replace(one, suppressed_by=one.suppressed_by or suppressed_by(cause, situations[cause]))
            for cause, one in by_cause.items()
        ]

    def _hold(self, found: Iterable[Condition]) -> None:
        for one in found:
            if one.beyond:
                self._held.add(Cause(one.cause))
            elif one.back:
                self._held.discard(Cause(one.cause))

    def _begin(self, found: dict[Cause, Condition], now: float) -> None:
        for cause, one in found.items():
            if one.beyond:
                self._since.setdefault(cause, now)
            elif one.beyond is False:
                self._since.pop(cause, None)

    def _look(self, look: Look | None, now: float) -> None:
        if look is None or look.score < USUAL:
            self._unusual = None
        elif look.score >= UNUSUAL and self._unusual is None:
            self._unusual = _Unusual(now, look.cups)

    @staticmethod
    def _lies_with(look: Look, unusual: _Unusual, early: bool) -> _Lies:
        """Whether the fruit have changed or what they are seen through. The cups that passed before
        the change say nothing: the fruit are not blamed until all of the newest came after it, and
        never where too few do."""
        if look.other_colour is None or not look.cups_as_usual:
            return _Lies.CAMERA
        if look.cups - unusual.cups >= NEWEST_CUPS:
            return _Lies.FRUIT
        return _Lies.PENDING if early else _Lies.CAMERA

    def _other_pictures(
        self,
        found: dict[Cause, Condition],
        situations: dict[Cause, set[Situation]],
        look: Look,
        unusual: _Unusual,
    ) -> None:
        began = unusual.since_mono
        pictures = found.get(Cause.IMAGE_QUALITY)
        if pictures is None or pictures.beyond is None:
            return
        together = [
            cause
            for cause in FOLLOWING
            if cause in self._since
            and cause in found
            and began - BEFORE_S <= self._since[cause] <= began + TOGETHER_S
        ]
        for cause in together:
            situations[cause].add(Situation.PICTURES_CHANGED)
        if together and not pictures.beyond:
            found[Cause.IMAGE_QUALITY] = replace(
                pictures, beyond=True, back=False, window=look.fruit, detail=look.detail
            )

    def _other_fruit(
        self,
        found: dict[Cause, Condition],
        situations: dict[Cause, set[Situation]],
        look: Look,
        window_s: float,
        now: float,
    ) -> None:
        """The network's own state says whether it copes with them; its charts have a point a window
        like those of the pictures, which are kept back until both are known."""
        seen, pictures = found.get(Cause.SEGMENTATION_DEGRADED), found.get(Cause.IMAGE_QUALITY)
        unread = found.get(Cause.NO_READ_RATE)
        if seen is None or pictures is None or look.other_colour is None:
            return
        if seen.beyond or (unread is not None and Cause.NO_READ_RATE in self._held):
            found[Cause.SEGMENTATION_DEGRADED] = replace(
                seen,
                beyond=True,
                back=False,
                quality=Quality.GOOD,
                window=look.fruit,
                detail=Detail(Fact.OTHER_FRUIT, look.other_colour.values),
            )
            for cause in (Cause.IMAGE_QUALITY, Cause.NO_READ_RATE, Cause.EXPLANATION_DRIFT):
                if cause in situations:
                    situations[cause].add(Situation.OTHER_FRUIT)
        elif pictures.beyond and now - self._since[Cause.IMAGE_QUALITY] < window_s:
            found[Cause.IMAGE_QUALITY] = _undecided(pictures)

    def _wait_for_explanations(
        self, found: dict[Cause, Condition], evidence: Evidence, now: float
    ) -> None:
        """A network that sees less while its pictures are as usual: its explanations may say why,
        and are followed up from the moment on at which a chart moves."""
        seen = found.get(Cause.SEGMENTATION_DEGRADED)
        if seen is None or not seen.beyond:
            if seen is not None and seen.beyond is False:
                self._waiting = None
            return
        unread = found.get(Cause.NO_READ_RATE)
        if unread is not None and Cause.NO_READ_RATE in self._held and not unread.detail:
            return  # the fixed limit: where so little is read there is little to explain
        if self._waiting is None:
            self._waiting = _Waiting(now, evidence.explained)
        waiting = self._waiting
        known = any(_true(found, cause) for cause in EXPLAINING)
        enough = evidence.explained - waiting.explained >= evidence.enough
        late = now - waiting.since_mono >= evidence.window_s
        waiting.over = waiting.over or (not known and (enough or late))
        if not waiting.over:
            found[Cause.SEGMENTATION_DEGRADED] = _undecided(seen)

    def _unread(
        self, found: dict[Cause, Condition], situations: dict[Cause, set[Situation]]
    ) -> None:
        """Many fruit without an angle while their pictures are as usual."""
        unread, seen = found.get(Cause.NO_READ_RATE), found.get(Cause.SEGMENTATION_DEGRADED)
        if unread is None or seen is None or Cause.NO_READ_RATE not in self._held:
            return
        found[Cause.SEGMENTATION_DEGRADED] = replace(
            seen,
            beyond=True,
            back=False,
            quality=Quality.GOOD,
            samples=unread.samples,
            window=unread.window,
            detail=Detail(Fact.UNREAD, {"share": unread.value}),
        )
        situations[Cause.NO_READ_RATE].add(Situation.PICTURES_AS_USUAL)

    def _read_off_something_else(
        self, found: dict[Cause, Condition], situations: dict[Cause, set[Situation]]
    ) -> None:
        """Hiding the suture leaves the answer, and answers differ: what is left decides them.

        Only where it is the fixed limit that is crossed: of a chart's small shift that does not
        follow.
        """
        blind = found.get(Cause.FOREGROUND_INSENSITIVE)
        context = found.get(Cause.BACKGROUND_RELIANCE)
        if blind is None or context is None or blind.cause not in self._held or blind.detail:
            return
        if not context.beyond:
            found[Cause.BACKGROUND_RELIANCE] = replace(
                context,
                beyond=True,
                back=False,
                quality=blind.quality,
                value=1.0 - blind.value,
                limit=1.0 - blind.limit,
                window=blind.window,
            )
        situations[Cause.FOREGROUND_INSENSITIVE].add(Situation.READ_ELSEWHERE)


def _true(found: Mapping[Cause, Condition], cause: Cause) -> bool:
    return cause in found and bool(found[cause].beyond)


def _undecided(one: Condition) -> Condition:
    """Nobody can say yet: what was active stays so, what was not stays so too."""
    return replace(one, beyond=None, back=False, quality=Quality.UNCERTAIN)
