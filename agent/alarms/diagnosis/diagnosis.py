"""Each finding is attributed to the alarm that names its cause. Pure.

Findings follow from each other. A lens out of focus makes the network see less, read less and look
elsewhere; raised one by one these would be four alarms, and the first of them, whichever rule is
the quickest, would send people to the wrong place. So each finding is decided on once, when it
begins, by what is known then of the newest pictures and of the answers:

- Pictures became unusual at the same time: ``image_quality``.
- The fruit have another colour before an unchanged camera: ``segmentation_degraded``.
- Pictures are as usual and fruit go unread: ``segmentation_degraded``.
- Pictures are as usual and the network sees less: its own alarm, once enough explanations have
  come; or the alarm of explanations that has found the cause meanwhile.
- Hiding the suture changes nothing and yet the answers differ from fruit to fruit, so something
  else in the picture decides: ``background_reliance``.

A decision stands until the finding is over: alarms neither change places nor are raised when a
fault is mended and its last windows pass. Four rules (``rules``) keep every finding annunciated:

- It is not attributed to an alarm that is shelved or out of service.
- It is not attributed to an alarm that was raised for something else before.
- It is raised as its own once the reason has been absent for ``CONFIRM_S``.
- It is raised as its own when it grows from a chart's shift to a gross one later.

No alarm is raised that no rule or chart has found, and none waits for longer than a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.alarms.catalogue import Cause, Situation, suppression_reason
from agent.alarms.condition import Condition
from agent.alarms.diagnosis.announcement import announcing
from agent.alarms.diagnosis.episodes import FINDINGS, OWN, Episodes, Finding
from agent.alarms.diagnosis.observations import Observations
from agent.alarms.diagnosis.pictures import PictureChanges
from agent.alarms.diagnosis.rules import PICTURES, decide, holds
from agent.records import Quality


class Diagnosis:
    """Of one lane; it is fed every judgement, and remembers what was decided."""

    def __init__(self) -> None:
        self._episodes = Episodes()
        self._pictures = PictureChanges()

    def attribute(
        self, found: Iterable[Condition], observations: Observations, now: float
    ) -> list[Condition]:
        """The same conditions, each as its alarm is to be judged by."""
        by_cause = {Cause(one.cause): one for one in found}
        self._pictures.update(observations.pictures, now)
        for cause in FINDINGS:
            if cause in by_cause:
                self._episodes.update(cause, by_cause[cause], observations.explained, now)
        for cause in FINDINGS:
            episode = self._episodes.get(cause)
            if episode is not None and cause in by_cause:
                self._decide(Finding(cause, episode, by_cause, observations, now))
        return [self._condition(cause, by_cause, observations) for cause in by_cause]

    def _decide(self, finding: Finding) -> None:
        episode, attribution = finding.episode, finding.episode.attribution
        if attribution is not None and not holds(finding, self._episodes, attribution):
            episode.decision = OWN
        if episode.decision is None and finding.found[finding.cause].beyond:
            episode.decision = decide(finding, self._episodes, self._pictures.change)

    def _condition(
        self, cause: Cause, found: Mapping[Cause, Condition], observations: Observations
    ) -> Condition:
        one, episode = found[cause], self._episodes.get(cause)
        if self._episodes.attributed_to(cause):
            return self._announcing(cause, found)
        if episode is None:
            return one
        if episode.decision is None and one.beyond:
            return replace(one, beyond=None, back=False, quality=Quality.UNCERTAIN)
        attribution = episode.attribution
        situations = {attribution.situation} if attribution is not None else set()
        if self._pictures_announced(found, observations):
            situations.add(Situation.IMAGE_QUALITY)
        reason = one.suppressed_by or suppression_reason(cause, situations)
        return replace(one, suppressed_by=reason)

    def _pictures_announced(
        self, found: Mapping[Cause, Condition], observations: Observations
    ) -> bool:
        """Whether an alarm is raised, and can be seen, for the pictures themselves."""
        if PICTURES in observations.unavailable or PICTURES not in found:
            return False
        own = self._episodes.get(PICTURES)
        raised = own is not None and own.decision == OWN and own.back_mono is None
        return raised or bool(self._episodes.attributed_to(PICTURES))

    def _announcing(self, alarm: Cause, found: Mapping[Cause, Condition]) -> Condition:
        """An alarm that announces other findings: true as long as any of them."""
        own, all_of = found[alarm], self._episodes.attributed_to(alarm)
        findings = {cause: why for cause, why in all_of.items() if cause in found}
        fruit = any(why.situation is Situation.OTHER_FRUIT for why in findings.values())
        if own.beyond and not fruit:
            return own
        true = [(found[cause], why) for cause, why in findings.items() if found[cause].beyond]
        if true:
            of, why = true[0]
            quality = own.quality if own.beyond is not None else of.quality
            return announcing(replace(own, beyond=True, back=False, quality=quality), of, why)
        if own.beyond:
            return own
        unknown = all(found[cause].beyond is None for cause in findings)
        return replace(own, beyond=None if unknown else False, back=False)
