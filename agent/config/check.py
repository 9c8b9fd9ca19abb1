"""Plain values -> ``Config``, with every error in one go.

Pydantic looks at a section's rules only when all its keys are right. So types are checked first:
what is wrong is reported, taken out, and the rest looked at again; then all rules are walked over
what is usable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from agent.config.models import Config
from agent.config.problems import ProblemBook, from_pydantic
from agent.config.rules import Broken
from agent.config.sections.base import RULES_LATER, Section
from agent.config.values import get, leaves, remove
from agent.config.yaml import KeyPath

ROUNDS = 8
"""More than any file needs: taking out what is wrong brings up new errors of type once or twice."""


def check(
    data: dict[str, Any], book: ProblemBook, known_bad: Sequence[KeyPath]
) -> tuple[Config, list[KeyPath]]:
    """Return what of ``data`` is usable, and the paths that are not; the problems go to ``book``.

    ``known_bad`` are paths whose problem is in the book already. With any problem the configuration
    is good for further checks only: defaults stand where something was wrong.
    """
    usable = deepcopy(data)
    for path, value in leaves(data):
        if value is None and book.words.is_section(path):
            remove(usable, path)  # `mqtt:` with all its keys commented out means the defaults
    bad = [*known_bad, *_misplaced_bools(data, book)]
    for path in bad:
        remove(usable, path)
    config = _fitting(usable, data, book, bad)
    for broken in broken_rules(config, ()):
        if not related(broken.path, bad):
            book.add(broken, data)
    return config, bad


def related(path: KeyPath, others: Sequence[KeyPath]) -> bool:
    """True when one of ``others`` is ``path``, lies below it, or around it."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


def broken_rules(section: Section, path: KeyPath) -> Iterator[Broken]:
    """Yield the broken rules of a section and of all sections in it, with whole paths."""
    for broken in section.broken():
        yield Broken((*path, *broken.path), broken.message, broken.allowed)
    for key, value in section:
        if isinstance(value, Section):
            yield from broken_rules(value, (*path, key))
        elif isinstance(value, tuple):
            for i, item in enumerate(value):
                if isinstance(item, Section):
                    yield from broken_rules(item, (*path, key, i))


def _fitting(
    usable: dict[str, Any], data: dict[str, Any], book: ProblemBook, bad: list[KeyPath]
) -> Config:
    """Take out of ``usable`` whatever does not fit its type, until the rest does."""
    for _ in range(ROUNDS):
        try:
            return Config.model_validate(usable, context=RULES_LATER)
        except ValidationError as error:
            for details in error.errors(include_url=False):
                path: KeyPath = tuple(details["loc"])
                if details["type"] == "extra_forbidden":
                    book.add_unknown(path, data)
                else:
                    broken = from_pydantic(details, book.words)
                    path = broken.path
                    if not related(path, bad):
                        book.add(broken, data)
                bad.append(path)
                if details["type"] == "missing":
                    _stand_in(usable, path)
                else:
                    remove(usable, path)
    bad.append(())
    return Config()


def _stand_in(usable: dict[str, Any], path: KeyPath) -> None:
    """Fill in a required key, so that the rest of its list can still be looked at."""
    section, key = get(usable, path[:-1]), path[-1]
    if isinstance(section, dict) and key == "name":
        section[key] = "missing-" + "-".join(str(step) for step in path[:-1])
    elif isinstance(section, dict) and key == "source":
        section[key] = "sim:"
    else:
        remove(usable, path[:-1])


def _misplaced_bools(data: dict[str, Any], book: ProblemBook) -> Iterator[KeyPath]:
    """Pydantic takes true for 1; nobody who writes ``threads: true`` means one thread."""
    for path, value in leaves(data):
        if isinstance(value, bool) and not book.words.takes_bool(path):
            book.add(Broken(path, "is not allowed", book.words.allowed(path)), data)
            yield path
