"""Under which alarm a finding is told: the one that names its cause. Pure.

Findings follow from each other. A lens out of focus makes the network see less, read less and look
elsewhere; told one by one these would be four alarms, and the first of them, whichever rule is the
quickest, would send people to the wrong place. So each finding is decided on once, when it begins,
by what is known then of the newest pictures and of the answers:

- pictures became unusual at the same time: told as ``image_quality``
- the fruit have another colour before an unchanged camera: told as ``segmentation_degraded``
- pictures are as usual and fruit go unread: told as ``segmentation_degraded``
- pictures are as usual and the network sees less: told when enough explanations have been waited
  for, or under the one of their alarms that has found the cause meanwhile
- hiding the suture changes nothing and yet the answers differ from fruit to fruit: something else
  in the picture decides, told as ``background_reliance``

What was decided stands until the finding is over, so that alarms neither change places nor ring
when a fault is mended and its last windows pass. Four rules keep a finding from being told to
nobody: it is told under no alarm that operators have shelved or taken out of service, under none
that rang for something else before, and no longer than what tells of it is there (``CONFIRM_S``);
one that grows from a chart's shift to a gross one later is told as itself. Nothing is raised that
no rule or chart has found, and nothing is kept back for longer than a window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.alarms.catalogue import BY_CAUSE, OF_EXPLANATIONS, Cause
from agent.alarms.charts.newest import Look
from agent.alarms.condition import Condition
from agent.alarms.diagnosis.observations import (
    Evidence,
    Lies,
    Verdict,
    is_fixed,
    lies_with,
    other_fruit,
    worded,
)
from agent.alarms.lifecycle.suppression import Situation, suppressed_by
from agent.records import Quality

UNUSUAL, USUAL = 4.0, 3.0
"""Scores from which pictures count as unusual, and below which as usual again: far below what an
alarm takes, because something else has been found already. The most unusual of nine looks, several
a second, passes 3 in every second ordinary lot and 4 in one of thirty."""
TOGETHER_S = 300.0
"""What begins later than this after something else has a cause of its own: a lamp that has been
weak for weeks must not hide a model that goes wrong today."""
BEFORE_S = 5.0
"""The newest pictures are a mean over 20 s: a finding may be a little quicker."""
CONFIRM_S = 600.0
"""What has told of a finding and is not there any more for so long explains it no longer. Longer
than charts with a point a minute take to recover from a fault that was mended."""
CLEARING_S = 5.0
"""Beyond its off-delay: until then a finding that is back keeps its reason, or its alarm would ring
while it waits to clear."""
FINDINGS = (
    Cause.IMAGE_QUALITY,
    Cause.NO_READ_RATE,
    *OF_EXPLANATIONS,
    Cause.SEGMENTATION_DEGRADED,
)
"""In the order in which they are decided on."""
OWN = "told as itself"
Decision = Verdict | str


@dataclass(slots=True)
class _Episode:
    """A finding, once it has lasted for its alarm's on-delay, until it has been back by its
    deadband for as long as its alarm takes to clear; unknown in between changes nothing.

    ``fixed``: it is the fixed limit that was crossed when it began. ``decision``: None while it is
    waited for. ``confirmed_mono``: when the decision's reason was last there. ``back_mono``: since
    when it has been back.
    """

    since_mono: float
    explained: int
    fixed: bool
    confirmed_mono: float
    decision: Decision | None = None
    back_mono: float | None = None

    @property
    def verdict(self) -> Verdict | None:
        return self.decision if isinstance(self.decision, Verdict) else None


@dataclass(frozen=True, slots=True)
class _Finding:
    """A finding to decide on, and all that is known. ``early``: it may still be waited for."""

    cause: Cause
    episode: _Episode
    found: Mapping[Cause, Condition]
    evidence: Evidence
    now: float

    @property
    def fixed(self) -> bool:
        return is_fixed(self.found[self.cause])

    @property
    def age_s(self) -> float:
        return self.now - self.episode.since_mono

    @property
    def early(self) -> bool:
        return self.age_s < self.evidence.window_s


@dataclass(slots=True)
class _Unusual:
    """Since when the pictures are; ``cups``: how many had passed until then; ``lies``: once it was
    decided by."""

    since_mono: float
    cups: int
    lies: Lies = Lies.PENDING


class Diagnosis:
    """One lane's; fed every judgement, it remembers what was decided."""

    def __init__(self) -> None:
        self._episodes: dict[Cause, _Episode] = {}
        self._beyond: dict[Cause, float] = {}  # since when, of what is no episode yet
        self._unusual: _Unusual | None = None
        self._seen_usual = False

    def told(self, found: Iterable[Condition], evidence: Evidence, now: float) -> list[Condition]:
        """The same conditions, each as it is to be told."""
        by_cause = {Cause(one.cause): one for one in found}
        self._look(evidence.look, now)
        for cause in FINDINGS:
            if cause in by_cause:
                self._follow(cause, by_cause[cause], evidence, now)
        for cause in FINDINGS:
            episode = self._episodes.get(cause)
            if episode is not None and cause in by_cause:
                finding = _Finding(cause, episode, by_cause, evidence, now)
                self._revise(finding)
                if episode.decision is None and by_cause[cause].beyond:
                    episode.decision = self._decided(finding)
        return [self._as_told(cause, by_cause, evidence) for cause in by_cause]

    # --- what goes on ----------------------------------------------------------------------------

    def _look(self, look: Look | None, now: float) -> None:
        """Only a change that was seen has a time: pictures that are unusual in the first look after
        a start may have been so for weeks. While there is no look everything stays as it is."""
        if look is None:
            return
        if look.score < USUAL:
            self._unusual, self._seen_usual = None, True
        elif look.score >= UNUSUAL and self._unusual is None:
            self._unusual = _Unusual(now if self._seen_usual else -math.inf, look.cups)
        elif self._unusual is not None and look.cups < self._unusual.cups:
            self._unusual.cups = look.cups  # of another variety's charts

    def _follow(self, cause: Cause, one: Condition, evidence: Evidence, now: float) -> None:
        episode = self._episodes.get(cause)
        if episode is None:
            if not one.beyond:
                self._beyond.pop(cause, None)
            elif now - self._beyond.setdefault(cause, now) >= BY_CAUSE[cause].on_delay_s:
                since = self._beyond.pop(cause)
                self._episodes[cause] = _Episode(since, evidence.explained, is_fixed(one), now)
        elif not one.back:
            episode.back_mono = None
        elif episode.back_mono is None:
            episode.back_mono = now
        elif now - episode.back_mono >= BY_CAUSE[cause].off_delay_s + CLEARING_S:
            del self._episodes[cause]

    def _revise(self, finding: _Finding) -> None:
        """Take back what no longer holds; the finding is then told as itself."""
        episode, verdict = finding.episode, finding.episode.verdict
        if verdict is None:
            return
        if self._confirmed(finding, verdict):
            episode.confirmed_mono = finding.now
        # Pictures that nobody can read are no matter of the fruit's colour, and what grew from a
        # chart's small shift to a gross one much later did not begin with what it is told under.
        worse = bool(finding.found[finding.cause].beyond) and finding.fixed and not episode.fixed
        worse = worse and (finding.cause is Cause.IMAGE_QUALITY or finding.age_s > TOGETHER_S)
        stale = finding.now - episode.confirmed_mono >= CONFIRM_S
        if worse or stale or verdict.teller in finding.evidence.covered:
            episode.decision = OWN

    def _confirmed(self, finding: _Finding, verdict: Verdict) -> bool:
        """Whether what tells of it is still there."""
        match verdict.situation:
            case Situation.PICTURES_CHANGED:
                pictures = finding.found.get(verdict.teller)
                return pictures is None or pictures.beyond is not False
            case Situation.EXPLANATIONS_SAY:
                others = (
                    one
                    for cause, one in self._carried(verdict.teller).items()
                    if cause is not finding.cause
                )
                return self._going_on(verdict.teller) or any(
                    one.situation is not Situation.EXPLANATIONS_SAY for one in others
                )
            case Situation.OTHER_FRUIT:
                look = finding.evidence.look
                seen = look is None or look.score < UNUSUAL or other_fruit(look)
                return seen and self._failing()
            case _:
                return True

    # --- deciding --------------------------------------------------------------------------------

    def _decided(self, finding: _Finding) -> Decision | None:
        """None: not yet."""
        look, unusual, cause = finding.evidence.look, self._unusual, finding.cause
        if look is None and finding.evidence.charting and finding.early:
            return None
        if look is not None and unusual is None and finding.age_s < BEFORE_S:
            return None
        if look is not None and unusual is not None and self._together(unusual, finding.episode):
            if unusual.lies is Lies.PENDING:
                unusual.lies = lies_with(look, look.cups - unusual.cups, finding.early)
            match unusual.lies:
                case Lies.PENDING:
                    return None
                case Lies.FRUIT:
                    return self._with_other_fruit(finding)
                case Lies.CAMERA if cause is not Cause.IMAGE_QUALITY:
                    return self._under(Cause.IMAGE_QUALITY, Situation.PICTURES_CHANGED, finding)
        pictures = finding.found.get(Cause.IMAGE_QUALITY)
        usual = look is not None and unusual is None and pictures is not None and pictures.back
        if usual and cause is Cause.NO_READ_RATE:
            return self._unread(finding)
        if usual and cause is Cause.SEGMENTATION_DEGRADED:
            return self._after_explanations(finding)
        if cause is Cause.FOREGROUND_INSENSITIVE and finding.evidence.scattered and finding.fixed:
            return self._under(Cause.BACKGROUND_RELIANCE, Situation.READ_ELSEWHERE, finding)
        return OWN

    @staticmethod
    def _together(unusual: _Unusual, episode: _Episode) -> bool:
        later = episode.since_mono - unusual.since_mono
        return -BEFORE_S <= later <= TOGETHER_S

    def _under(self, teller: Cause, situation: Situation, finding: _Finding) -> Decision:
        """Under this alarm, if it is one that rings for it; a finding that operators have silenced
        stays silent."""
        standing = self._episodes.get(teller)
        since = [self._episodes[cause].since_mono for cause in self._carried(teller)]
        since += [standing.since_mono] if standing is not None else []
        rang = any(finding.episode.since_mono - begin > TOGETHER_S for begin in since)
        hidden = standing is not None and standing.verdict is not None
        judged = teller in finding.found and finding.found[teller].beyond is not None
        if rang or hidden or not judged or {teller, finding.cause} & set(finding.evidence.covered):
            return OWN
        return Verdict(teller, situation, finding.evidence.look)

    def _with_other_fruit(self, finding: _Finding) -> Decision | None:
        """The network's own state says whether it copes with them. Its charts have a point a window
        like those of the pictures, which wait until both are known."""
        match finding.cause:
            case Cause.NO_READ_RATE:
                pass
            case Cause.IMAGE_QUALITY if finding.fixed:
                return OWN
            case Cause.IMAGE_QUALITY | Cause.EXPLANATION_DRIFT:
                if not self._failing():
                    return None if finding.early else OWN
            case _:
                return OWN
        return self._under(Cause.SEGMENTATION_DEGRADED, Situation.OTHER_FRUIT, finding)

    def _unread(self, finding: _Finding) -> Decision | None:
        """Beyond the fixed limit there is too little left to explain; a chart's smaller rise waits
        for explanations like whatever else the network sees less of."""
        if not finding.fixed:
            decision = self._after_explanations(finding)
            if decision != OWN:
                return decision
        return self._under(Cause.SEGMENTATION_DEGRADED, Situation.PICTURES_AS_USUAL, finding)

    def _after_explanations(self, finding: _Finding) -> Decision | None:
        """A lane whose charts move is followed up: ten explanations take half a minute."""
        if self._carried(Cause.SEGMENTATION_DEGRADED):
            return OWN  # somebody is told of it already
        evidence, episode = finding.evidence, finding.episode
        for each in OF_EXPLANATIONS:
            other = self._episodes.get(each)
            if other is None or not self._going_on(each):
                continue
            if episode.since_mono - other.since_mono > evidence.window_s:
                continue
            if other.decision is None and finding.early:
                return None
            teller = other.verdict.teller if other.verdict is not None else each
            if teller in OF_EXPLANATIONS:
                return self._under(teller, Situation.EXPLANATIONS_SAY, finding)
        enough = evidence.explained - episode.explained >= evidence.enough
        return None if finding.early and not enough else OWN

    # --- telling ---------------------------------------------------------------------------------

    def _carried(self, teller: Cause) -> dict[Cause, Verdict]:
        """What is told under this alarm, and why."""
        return {
            cause: one.verdict
            for cause, one in self._episodes.items()
            if one.verdict is not None and one.verdict.teller is teller and one.back_mono is None
        }

    def _failing(self) -> bool:
        """Whether the network fails at the fruit."""
        return any(map(self._going_on, (Cause.SEGMENTATION_DEGRADED, Cause.NO_READ_RATE)))

    def _going_on(self, cause: Cause) -> bool:
        episode = self._episodes.get(cause)
        return episode is not None and episode.back_mono is None

    def _as_told(
        self, cause: Cause, found: Mapping[Cause, Condition], evidence: Evidence
    ) -> Condition:
        one, episode = found[cause], self._episodes.get(cause)
        if self._carried(cause):
            return self._carrying(cause, found)
        if episode is None:
            return one
        if episode.decision is None and one.beyond:
            return replace(one, beyond=None, back=False, quality=Quality.UNCERTAIN)
        situations = {episode.verdict.situation} if episode.verdict is not None else set()
        if self._pictures_told(found, evidence):
            situations.add(Situation.IMAGE_QUALITY)
        reason = one.suppressed_by or suppressed_by(cause, situations)
        return replace(one, suppressed_by=reason)

    def _pictures_told(self, found: Mapping[Cause, Condition], evidence: Evidence) -> bool:
        """Whether somebody is told that the pictures are bad."""
        pictures = Cause.IMAGE_QUALITY
        if pictures in evidence.covered or pictures not in found:
            return False
        own = self._episodes.get(pictures)
        told = own is not None and own.decision == OWN and own.back_mono is None
        return told or bool(self._carried(pictures))

    def _carrying(self, teller: Cause, found: Mapping[Cause, Condition]) -> Condition:
        """The telling alarm: true as long as anything that it tells of."""
        own = found[teller]
        carried = {c: v for c, v in self._carried(teller).items() if c in found}
        if own.beyond and all(v.situation is not Situation.OTHER_FRUIT for v in carried.values()):
            return own
        true = [
            (found[cause], verdict) for cause, verdict in carried.items() if found[cause].beyond
        ]
        if true:
            of, verdict = true[0]
            quality = own.quality if own.beyond is not None else of.quality
            return worded(replace(own, beyond=True, back=False, quality=quality), of, verdict)
        if own.beyond:
            return own
        unknown = all(found[cause].beyond is None for cause in carried)
        return replace(own, beyond=None if unknown else False, back=False)
