"""Change-overs that come by the clock, for machines that do not announce them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from agent import config


def in_change_over(planned: Sequence[config.ChangeOver], local: datetime.datetime) -> bool:
    """Whether one of them is going on at ``local``, the wall time of this computer without a zone.

    One that begins before midnight belongs to the day on which it begins. An hour that the clocks
    skip or repeat in spring and autumn is skipped or repeated here as well.
    """
    return any(_goes_on(one, local) for one in planned)


def _goes_on(planned: config.ChangeOver, local: datetime.datetime) -> bool:
    hour, minute = map(int, planned.at.split(":"))
    lasts = datetime.timedelta(minutes=planned.minutes)
    today = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    begun = (today, today - datetime.timedelta(days=1))
    return any(
        begin <= local < begin + lasts and config.WEEKDAYS[begin.weekday()] in planned.days
        for begin in begun
    )
