"""The words of the page: one table a language, in ``english.json``, ``italian.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

TABLES = {"en": "english.json", "it": "italian.json"}
"""By the name that ``alarms.language`` gives them."""


@dataclass(frozen=True, slots=True)
class Words:
    """``texts`` by key, with ``{name}`` for what is filled in; ``terms`` are states, reasons and
    causes by the name that the API gives them. ``locale``: of numbers, dates and times."""

    language: str
    locale: str
    texts: Mapping[str, str]
    terms: Mapping[str, str]


def load_words(language: str = "en", terms: Mapping[str, str] | None = None) -> Words:
    """The table of a language; ``KeyError`` for one that there is not.

    ``terms`` are translated elsewhere already, as those in the sentences of alarms are; the page's
    own come before them.
    """
    file = resources.files("agent.observability.page").joinpath(TABLES[language])
    words = Words(**json.loads(file.read_text("utf-8")))
    return Words(words.language, words.locale, words.texts, {**(terms or {}), **words.terms})
