"""``${ENV:NAME}`` and ``${FILE:path}``: secrets that do not stand in the configuration file.

A reference is the whole of a text value, never a part of it. A file's last line break is dropped;
a relative path starts at the configuration file's folder. An empty answer is an error, because an
empty password is never what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config.rules import Broken
from agent.config.yaml import KeyPath

FILE_LIMIT_BYTES = 64 * 1024

_WHOLE = re.compile(r"^\$\{(ENV|FILE):([^{}]+)\}$")
_PART = re.compile(r"\$\{(?:ENV|FILE):")
_FORMS = "${ENV:NAME} or ${FILE:/path} as the whole value"


@dataclass(slots=True)
class Resolved:
    """Values with every reference replaced. ``origins`` holds the text of each reference."""

    data: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)


def resolve(data: Mapping[str, Any], environment: Mapping[str, str], folder: Path) -> Resolved:
    """Replace every reference in ``data``; what cannot be replaced becomes null and is broken."""
    resolved = Resolved(data={})
    resolved.data = {
        key: _walk(value, (key,), resolved, environment, folder) for key, value in data.items()
    }
    return resolved


def _walk(
    value: Any, path: KeyPath, resolved: Resolved, environment: Mapping[str, str], folder: Path
) -> Any:
    if isinstance(value, dict):
        return {
            key: _walk(item, (*path, key), resolved, environment, folder)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _walk(item, (*path, i), resolved, environment, folder) for i, item in enumerate(value)
        ]
    if not isinstance(value, str) or _PART.search(value) is None:
        return value
    match = _WHOLE.match(value)
    if match is None:
        resolved.broken.append(Broken(path, "has a reference inside of other text", _FORMS))
        return None
    resolved.origins[path] = value
    kind, name = match.groups()
    try:
        return _from_environment(name, environment) if kind == "ENV" else _from_file(name, folder)
    except ValueError as error:
        resolved.broken.append(Broken(path, str(error)))
        return None


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
