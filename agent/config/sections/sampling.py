"""``sampling``: which frames are explained."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agent.config.sections.base import Seconds, Section, Share


class Sampling(Section):
    """Which frames are explained, within a compute budget."""

    period_s: Seconds = 2.0
    """Wish of the periodic class, per lane."""
    cooldown_s: Annotated[float, Field(ge=0, le=86_400)] = 0.5
    """At least this long between two explanations of one lane, alarms and operators excepted."""
    duty_cycle: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the workers' time that explanations may use."""
    budget_window_s: Seconds = 10.0
    """Unused share of the workers' time that may be caught up, in seconds of the wall clock."""
    borrow_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Worker-seconds by which alarms and operator requests may run ahead of the budget."""
    max_age_s: Seconds = 3.0
    deadline_s: Seconds = 10.0
    uncertain_margin: float = 1.0
    """A frame whose suture margin or confidence falls below goes to the uncertain class."""
    uncertain_confidence: Share = 0.6
