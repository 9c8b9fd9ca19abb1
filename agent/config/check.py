"""Plain values -> ``Config``, with every error in one go: types first, in one pass, then rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.config import words
from agent.config.models import Config
from agent.config.problems import ProblemBook
from agent.config.rules import Broken
from agent.config.sections.base import PARTIAL, WRONG
from agent.config.values import each
from agent.config.yaml import KeyPath


def check(book: ProblemBook) -> Config:
    """``book.data`` as far as it is right; what is not goes into ``book``."""

    def cleared(path: KeyPath, value: Any) -> Any:
        if value is None and words.is_section(path):
            return {}  # `mqtt:` with all its keys commented out means the defaults
        if isinstance(value, bool) and not words.takes_bool(path):
            # Pydantic takes true for 1; nobody who writes `threads: true` means one thread.
            book.add(Broken(path, "is not allowed", words.allowed(path)))
            return WRONG
        return value

    config = Config.model_validate(each(book.data, cleared), context=PARTIAL)
    for path, section in config.walk():
        for error in section.type_errors:
            book.add_type_error(path, error)
    for path, section in config.walk():
        for broken in section.broken():
            book.add(replace(broken, path=(*path, *broken.path)))
    return config
