"""To which alarm a finding is attributed, and when that is taken back. Pure.

A row of the catalogue says which situations a finding may be attributed to (``suppressed_by``) and
which alarm announces each (``announces``). The rules say when a situation is present.
"""

from __future__ import annotations

from agent.alarms.catalogue import ANNOUNCED_BY, OF_EXPLANATIONS, Cause, Part, Situation
from agent.alarms.diagnosis.episodes import OWN, Attribution, Decision, Episodes, Finding
from agent.alarms.diagnosis.pictures import (
    BEFORE_S,
    TOGETHER_S,
    UNUSUAL,
    Change,
    Origin,
    other_fruit,
)

CONFIRM_S = 600.0
"""An attribution whose reason has been absent for so long no longer holds. Longer than charts with
a point a minute take to recover from a fault that was mended."""
PICTURES = ANNOUNCED_BY[Situation.PICTURES_CHANGED]
NETWORK = ANNOUNCED_BY[Situation.PICTURES_AS_USUAL]


def decide(finding: Finding, episodes: Episodes, change: Change | None) -> Decision | None:
    """The attribution of this finding, or ``OWN``; None: not decided yet."""
    pictures, known = finding.observations.pictures, finding.definition.suppressed_by
    if pictures is None and finding.observations.charting and finding.early:
        return None
    if pictures is not None and change is None and finding.age_s < BEFORE_S:
        return None
    if pictures is not None and change is not None:
        together = change.began_with(finding.episode.since_mono)
        origin = change.decide(pictures, finding.early) if together else None
        if origin is Origin.PENDING:
            return None
        if origin is Origin.FRUIT:
            return _with_other_fruit(finding, episodes)
        if origin is Origin.CAMERA and Situation.PICTURES_CHANGED in known:
            return _attributed(finding, episodes, Situation.PICTURES_CHANGED)
    own = finding.found.get(PICTURES)
    usual = pictures is not None and change is None and own is not None and own.back
    if usual and Situation.PICTURES_AS_USUAL in known:
        return _unread(finding, episodes)
    if usual and Situation.EXPLANATIONS_SAY in known:
        return _after_explanations(finding, episodes)
    elsewhere = finding.observations.scattered and finding.fixed
    if elsewhere and Situation.READ_ELSEWHERE in known:
        return _attributed(finding, episodes, Situation.READ_ELSEWHERE)
    return OWN


def holds(finding: Finding, episodes: Episodes, attribution: Attribution) -> bool:
    """Whether an earlier attribution still holds; it keeps when its reason was last present."""
    episode = finding.episode
    if _confirmed(finding, episodes, attribution):
        episode.confirmed_mono = finding.now
    # Pictures that cannot be read have nothing to do with the fruit's colour, and what grew from a
    # chart's small shift to a gross one much later did not begin with what it is attributed to.
    worse = bool(finding.found[finding.cause].beyond) and finding.fixed and not episode.fixed
    worse = worse and (finding.definition.part is Part.PICTURES or finding.age_s > TOGETHER_S)
    stale = finding.now - episode.confirmed_mono >= CONFIRM_S
    return not (worse or stale or attribution.alarm in finding.observations.unavailable)


def _confirmed(finding: Finding, episodes: Episodes, attribution: Attribution) -> bool:
    """Whether the reason of an attribution is still present."""
    match attribution.situation:
        case Situation.PICTURES_CHANGED:
            pictures = finding.found.get(attribution.alarm)
            return pictures is None or pictures.beyond is not False
        case Situation.EXPLANATIONS_SAY:
            others = (
                one
                for cause, one in episodes.attributed_to(attribution.alarm).items()
                if cause is not finding.cause
            )
            return episodes.going_on(attribution.alarm) or any(
                one.situation is not Situation.EXPLANATIONS_SAY for one in others
            )
        case Situation.OTHER_FRUIT:
            check = finding.observations.pictures
            seen = check is None or check.score < UNUSUAL or other_fruit(check)
            return seen and episodes.network_fails()
        case _:
            return True


def _attributed(
    finding: Finding, episodes: Episodes, situation: Situation, alarm: Cause | None = None
) -> Decision:
    """Attributed to ``alarm``, by default the one that announces the situation, if that one can
    announce it: it is judged, it is not attributed elsewhere itself, and it was not raised for
    something else before. A finding whose own alarm is shelved or out of service stays its own."""
    alarm = ANNOUNCED_BY[situation] if alarm is None else alarm
    own = episodes.get(alarm)
    since = episodes.since_of_all_under(alarm)
    before = any(finding.episode.since_mono - begin > TOGETHER_S for begin in since)
    elsewhere = own is not None and own.attribution is not None
    judged = alarm in finding.found and finding.found[alarm].beyond is not None
    unavailable = {alarm, finding.cause} & set(finding.observations.unavailable)
    if before or elsewhere or not judged or unavailable:
        return OWN
    return Attribution(alarm, situation, finding.observations.pictures)


def _with_other_fruit(finding: Finding, episodes: Episodes) -> Decision | None:
    """The network's own state says whether it copes with other fruit. Its charts have a point a
    window like those of the pictures, so what depends on it waits until both are known."""
    part = finding.definition.part
    if Situation.OTHER_FRUIT not in finding.definition.suppressed_by:
        return OWN
    if part is Part.PICTURES and finding.fixed:
        return OWN
    if part is not Part.READINGS and not episodes.network_fails():
        return None if finding.early else OWN
    return _attributed(finding, episodes, Situation.OTHER_FRUIT)


def _unread(finding: Finding, episodes: Episodes) -> Decision | None:
    """Beyond the fixed limit there is too little left to explain. A chart's smaller rise waits for
    explanations, like whatever else the network sees less of."""
    if not finding.fixed:
        decision = _after_explanations(finding, episodes)
        if decision != OWN:
            return decision
    return _attributed(finding, episodes, Situation.PICTURES_AS_USUAL)


def _after_explanations(finding: Finding, episodes: Episodes) -> Decision | None:
    """A lane whose charts move is followed up: ten explanations take half a minute."""
    if episodes.attributed_to(NETWORK):
        return OWN  # it is announced already
    observations, episode = finding.observations, finding.episode
    for each in OF_EXPLANATIONS:
        other = episodes.get(each)
        if other is None or not episodes.going_on(each):
            continue
        if episode.since_mono - other.since_mono > observations.window_s:
            continue
        if other.decision is None and finding.early:
            return None
        alarm = other.attribution.alarm if other.attribution is not None else each
        if alarm in OF_EXPLANATIONS:
            return _attributed(finding, episodes, Situation.EXPLANATIONS_SAY, alarm)
    enough = observations.explained - episode.explained >= observations.enough
    return None if finding.early and not enough else OWN
