"""``site``: where the agent stands in the plant."""

from __future__ import annotations

from agent.config.sections.base import Name, Section


class Site(Section):
    """Levels of the topic tree ``{root}/v1/{enterprise}/{site}/{area}/{line}/{machine}``."""

    root: Name = "pitwatch"
    enterprise: Name = "plant"
    site: Name = "site"
    area: Name = "area"
    line: Name = "line"
    machine: Name = "pitter"
