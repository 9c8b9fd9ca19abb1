"""The languages that there are, by the name that the configuration gives them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.alarms.text.english import ENGLISH
from agent.alarms.text.italian import ITALIAN
from agent.alarms.text.language import Language

LANGUAGES: Mapping[str, Language] = MappingProxyType({"en": ENGLISH, "it": ITALIAN})
