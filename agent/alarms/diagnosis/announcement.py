"""What the alarm says that announces a finding which is not its own. Pure."""

from __future__ import annotations

from dataclasses import replace

from agent.alarms.catalogue import Situation
from agent.alarms.condition import Condition, Detail
from agent.alarms.diagnosis.episodes import Attribution
from agent.alarms.diagnosis.observations import is_fixed
from agent.alarms.text.language import Fact


def announcing(alarm: Condition, of: Condition, attribution: Attribution) -> Condition:
    """The alarm's condition, with numbers and detail of the finding that it announces."""
    pictures = attribution.pictures
    match attribution.situation:
        case Situation.PICTURES_CHANGED if pictures is not None:
            return replace(
                alarm,
                value=pictures.value,
                limit=pictures.limit,
                window=pictures.fruit,
                detail=pictures.detail,
            )
        case Situation.PICTURES_AS_USUAL:
            used = of.value / of.limit if of.limit > 0 else 0.0
            detail = Detail(Fact.UNREAD, {"share": of.value})
            return replace(alarm, value=used, limit=1.0, window=of.window, detail=detail)
        case Situation.OTHER_FRUIT if pictures is not None and pictures.other_colour is not None:
            detail = Detail(Fact.OTHER_FRUIT, pictures.other_colour.values)
            return replace(alarm, window=pictures.fruit, detail=detail)
        case Situation.READ_ELSEWHERE if is_fixed(of):
            left, limit = 1.0 - of.value, 1.0 - of.limit
            detail = Detail(Fact.READ_ELSEWHERE, {"share": left})
            return replace(alarm, value=left, limit=limit, window=of.window, detail=detail)
        case _:
            return alarm
