"""Takes every secret out of a text that leaves the plant."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import SecretStr

from agent.config import words
from agent.config.sections.base import Section
from agent.config.values import each
from agent.config.yaml import KeyPath
from agent.redaction import HIDDEN, is_secret_name, mask_url, redact
from agent.upkeep.settings import Settings

SHORTEST = 3
"""A shorter secret would take letters out of every word."""
_USER_INFO = re.compile(r"[a-z][a-z0-9+.-]*://([^/\s]+)@", re.IGNORECASE)
Filter = Callable[[str], str]


def filter_of(settings: Settings, file: Path | None) -> Filter:
    """Return what hides the secrets of this configuration wherever they stand, and what looks like
    a secret of anybody's."""
    values = sorted(_secrets(settings, file), key=len, reverse=True)

    def clean(text: str) -> str:
        for value in values:
            text = text.replace(value, HIDDEN)
        return "\n".join(mask_url(line) for line in redact(text).split("\n"))

    return clean


def _secrets(settings: Settings, file: Path | None) -> set[str]:
    """The values of secret keys, and users and passwords in URLs: as the agent has them, where
    references were followed, and as the file has them, where it has errors."""
    found: set[str] = set()

    def note(place: KeyPath, within: KeyPath, value: Any) -> Any:
        path = (*place, *within)
        if isinstance(value, SecretStr):  # its dump is asterisks
            found.add(value.get_secret_value())
        elif isinstance(value, str):
            if words.is_secret(path) or any(is_secret_name(str(part)) for part in path):
                found.add(value)
            found.update(_of_url(value))
        return value

    for section_path, section in settings.config.walk() if settings.config is not None else ():
        for key, value in section:
            each(_plain(value), partial(note, (*section_path, key)))
    if file is not None:
        with contextlib.suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
            each(yaml.safe_load(file.read_bytes()), partial(note, ()))
    return {form for one in found if len(one) >= SHORTEST for form in _forms(one)}


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands in a text, in a URL, and in the JSON of logs and answers."""
    yield secret
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]


def _plain(value: Any) -> Any:
    """Tuples as the lists of plain values; sections are walked by themselves."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value if not isinstance(one, Section)]
    return None if isinstance(value, Section) else value


def _of_url(text: str) -> Iterator[str]:
    if (match := _USER_INFO.search(text)) is None:
        return
    user, _, password = match[1].partition(":")
    yield from (one for one in (password, f"{user}:{password}") if password)
