"""Relative paths of a configuration file start at its folder, wherever the agent is started.

Which keys are paths is read off the models; beside them, a camera's ``source`` may be a folder or a
file, and its URL may have options that are paths.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from agent.config import words
from agent.config.problems import ProblemBook
from agent.config.values import each
from agent.config.yaml import KeyPath

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):(.*)$", re.DOTALL)
_PATHS = {"sim": "log", "genicam": "cti|features_file"}
"""Options of a source's URL that are paths, by scheme."""


def from_folder(book: ProblemBook, folder: Path) -> None:
    """Put ``folder``, an absolute one, before every relative path in the values of ``book``."""

    def placed(path: KeyPath, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return value
        match path:
            case ("cameras", int(), "source"):
                return source_from(folder, value)
            case ("cameras", int(), "sim", "log"):
                return str(folder / value)
        return str(folder / value) if words.is_path(path) else value

    book.data = each(book.data, placed)


def source_from(folder: Path, source: str) -> str:
    """A camera's source, its folder, file or truth log beginning at ``folder`` where relative.

    >>> source_from(Path("/etc/pitwatch"), "pictures?loop=0")
    '/etc/pitwatch/pictures?loop=0'
    """
    found = _SCHEME.match(source)
    if found is None:
        return str(folder / source)
    scheme, rest = found[1].lower(), found[2]
    if scheme == "file" and rest and not rest.startswith("/"):
        return f"file:{quote(str(folder))}/{rest}"
    if options := _PATHS.get(scheme):
        path_option = re.compile(rf"(?<=[?&])({options})=([^&]+)")
        return path_option.sub(lambda one: _option_from(folder, one), source)
    return source


def _option_from(folder: Path, option: re.Match[str]) -> str:
    return f"{option[1]}={quote(str(folder / unquote(option[2])))}"
