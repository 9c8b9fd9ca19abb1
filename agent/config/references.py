"""``${ENV:NAME}`` and ``${FILE:path}``: secrets that do not stand in the configuration file.

A reference is the whole of a text value, never a part of it. A file's last line break is dropped;
a relative path starts at the configuration file's folder. An empty answer is an error, because an
empty password is never what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config.problems import ProblemBook
from agent.config.rules import Broken
from agent.config.sections.base import WRONG
from agent.config.values import each
from agent.config.yaml import KeyPath

FILE_LIMIT_BYTES = 64 * 1024

_WHOLE = re.compile(r"^\$\{(ENV|FILE):([^{}]+)\}$")
_PART = re.compile(r"\$\{(?:ENV|FILE):")
_FORMS = "${ENV:NAME} or ${FILE:/path} as the whole value"


def resolve(book: ProblemBook, environment: Mapping[str, str], folder: Path) -> None:
    """Replace every reference in the values of ``book``, which learns what each was before."""

    def resolved(path: KeyPath, value: Any) -> Any:
        if not isinstance(value, str) or _PART.search(value) is None:
            return value
        match = _WHOLE.match(value)
        if match is None:
            book.add(Broken(path, "has a reference inside of other text", _FORMS))
            return WRONG
        book.origins[path] = value
        kind, name = match.groups()
        try:
            if kind == "ENV":
                return _from_environment(name, environment)
            return _from_file(name, folder)
        except ValueError as error:
            book.add(Broken(path, str(error)))
            return WRONG

    book.data = each(book.data, resolved)


def _from_environment(name: str, environment: Mapping[str, str]) -> str:
    if name not in environment:
        raise ValueError("is not set in the environment")
    if not environment[name]:
        raise ValueError("is empty in the environment")
    return environment[name]


def _from_file(name: str, folder: Path) -> str:
    try:
        with (folder / name).open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError("is not text in UTF-8") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "no path"
        raise ValueError(f"cannot be read: {reason}") from error
    if len(raw) > FILE_LIMIT_BYTES:
        raise ValueError(f"is larger than {FILE_LIMIT_BYTES} bytes")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("is empty")
    return text
