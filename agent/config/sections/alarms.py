"""``alarms``: limits, charts, and how alarms are handled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field

from agent.config.sections.base import Seconds, Section, Share, text


class AlarmLimits(Section):
    """Fixed limits of the first alarms; window means over explanations or fruit."""

    background_reliance: Share = 0.6
    foreground_sensitivity: Share = 0.2
    """Of an occlusion in the input: at the layer, skips bypass it in a healthy model."""
    no_read_rate: Share = 0.2
    image_quality: Share = 0.2
    """Share of fruit whose picture is black, saturated, or no picture; or of cups without light."""
    only_dark_s: Seconds = 300.0
    """A machine that says it runs may show nothing but dark cups for this long, where nothing is
    known by which to tell empty ones from fruit without light."""
    explanations_window: Annotated[int, Field(ge=1, le=1000)] = 10
    fruit_window: Annotated[int, Field(ge=10, le=100_000)] = 280
    no_explanation_s: Seconds = 60.0
    latency_p95_s: Seconds = 0.214
    unknown_silence_s: Seconds = 300.0
    """A lane without fruit is no alarm for this long while no machine state is known."""


class AlarmBudget(Section):
    """How rarely charts and rules together may alarm falsely; ``calibrate`` makes limits of it."""

    days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """Production days with at most one false alarm, over all charts and rules of all lanes."""
    hours_a_day: Annotated[float, Field(gt=0, le=24)] = 8.0
    window_s: Annotated[float, Field(ge=10, le=3600)] = 60.0
    """One point of a chart."""


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
"""As ``datetime.weekday`` counts them."""


class ChangeOver(Section):
    """A change-over that comes by the clock: production counts as standing meanwhile."""

    at: Annotated[str, text(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "HH:MM, from 00:00 to 23:59")]
    """When it begins, HH:MM in the local time of this computer."""
    minutes: Annotated[float, Field(gt=0, le=720)]
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    """On which it begins."""


class Alarms(Section):
    ack_mode: Literal["scada", "operator"] = "scada"
    """``scada``: a cleared alarm is normal; ``operator``: it waits for an acknowledgement here."""
    shelve_max_s: Seconds = 28_800.0
    """Longest time for which an operator may shelve an alarm: one shift."""
    out_of_service: tuple[
        Annotated[str, text(r"^[A-Za-z0-9_-]{1,80}$", "1 to 80 letters, digits, _ or -")], ...
    ] = ()
    """Alarms that never annunciate: a cause as ``no_read_rate``, or ``no_read_rate-cam1``."""
    language: Literal["en", "it"] = "en"
    """Of the titles, sentences and reasons that operators read, and of the page; the log stays
    English."""
    change_overs: tuple[ChangeOver, ...] = ()
    """Charts stand still and production alarms are suppressed in them, as when the machine says
    ``change-over`` itself."""
    limits: AlarmLimits = AlarmLimits()
    reference: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,80}$")], Path] = {}  # noqa: RUF012
    """File of each variety, made by ``pitwatch calibrate``; without one there are no charts."""
    budget: AlarmBudget = AlarmBudget()
