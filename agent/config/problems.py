"""Errors of the configuration as people read them: the place, the value, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import ErrorDetails

from agent.config import words
from agent.config.models import Config
from agent.config.rules import Broken
from agent.config.sections.base import WRONG
from agent.config.values import get, path_text, put
from agent.config.yaml import Document, KeyPath
from agent.redaction import mask_url

SHOWN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One error. ``place`` is ``line 12``, an option as ``--broker``, or empty.

    ``value`` is what stands there, as YAML would write it; empty where there is nothing to show,
    and a mask or the reference's own text where it is or may be a secret.
    """

    path: str
    message: str
    place: str = ""
    value: str = ""
    allowed: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        text = "".join(f"{part}: " for part in (self.place, self.path) if part)
        text += f"{self.value} {self.message}" if self.value else self.message
        text += f"; did you mean {self.nearest}?" if self.nearest else ""
        return text + (f"; allowed: {self.allowed}" if self.allowed else "")


class ConfigErrors(Exception):  # noqa: N818 - it holds several
    """A configuration that cannot be used; ``problems`` holds every error, in order of the file.
    ``config`` is what it says as far as that is right, where it could be read."""

    def __init__(
        self, source: str, problems: Iterable[ConfigProblem], config: Config | None = None
    ) -> None:
        self.source = source
        self.config = config
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{source}: {count} error{'s' if count > 1 else ''}{lines}")


@dataclass(slots=True)
class ProblemBook:
    """Values on their way to a configuration, what is wrong with them, and how to say it.

    ``origins`` are the texts of references by path, ``options`` the command line's options by the
    path that they set.
    """

    document: Document
    data: dict[str, Any]
    origins: dict[KeyPath, str] = field(default_factory=dict)
    options: dict[KeyPath, str] = field(default_factory=dict)
    _found: dict[KeyPath, dict[str, ConfigProblem]] = field(default_factory=dict)
    _around: set[KeyPath] = field(default_factory=set)

    def override(self, option: str, path: tuple[str, ...], value: object) -> None:
        """Set a key as an option of the command line does."""
        put(self.data, path, value)
        self.options[path] = option
        for origin in [origin for origin in self.origins if origin[: len(path)] == path]:
            del self.origins[origin]

    def knows(self, path: KeyPath) -> bool:
        """True when a problem of ``path`` is recorded, or of something below or around it."""
        at_or_around = (path[:end] in self._found for end in range(len(path) + 1))
        return path in self._around or any(at_or_around)

    def add(self, broken: Broken, nearest: str = "") -> None:
        """Record one problem; the same one counts once."""
        option = self._option(broken.path)
        line = 0 if option else self.document.line(broken.path)
        value, message = get(self.data, broken.path), broken.message
        if broken.path in self.origins and isinstance(value, str):
            message = message.replace(value, self.origins[broken.path])
        self._around.update(broken.path[:end] for end in range(len(broken.path)))
        self._found.setdefault(broken.path, {}).setdefault(
            message,
            ConfigProblem(
                path=path_text(broken.path),
                message="".join(c if c.isprintable() else "?" for c in message),
                place=option or (f"line {line}" if line else ""),
                value=self._shown(broken.path, value),
                allowed=broken.allowed,
                nearest=nearest or broken.nearest,
            ),
        )

    def add_type_error(self, section: KeyPath, error: ErrorDetails) -> None:
        """Record what pydantic says of a section, unless its place has a problem already."""
        path: KeyPath = (*section, *error["loc"])
        if error["type"] == "extra_forbidden":
            nearest = words.nearest(path)
            known = "" if nearest else ", ".join(words.keys(section))
            self.add(Broken(path, "is no key", known), nearest)
            return
        while not words.at(path):  # pydantic adds steps of its own inside of unions
            path = path[:-1]
        if error["input"] is WRONG or self.knows(path):
            return
        kind, expected = error["type"], str(error.get("ctx", {}).get("expected", ""))
        text_wanted = kind == "string_type" or (kind == "literal_error" and "'" in expected)
        message, nearest = "is not allowed", ""
        if error["type"] == "missing":
            message = "is missing"
        elif error["input"] is None:
            message = "null is not allowed"
        elif text_wanted and isinstance(error["input"], int | float):
            message = "is a number; text needs quotes here"
        elif isinstance(error["input"], str):
            nearest = words.nearest_value(path, error["input"])
        self.add(Broken(path, message, words.allowed(path)), nearest)

    def problems(self) -> list[ConfigProblem]:
        """In order of the file; what comes from an option or is missing altogether stands first."""
        paths = sorted(self._found, key=lambda path: (self.document.line(path), path_text(path)))
        return [problem for path in paths for problem in self._found[path].values()]

    def _option(self, path: KeyPath) -> str:
        sets = (self.options.get(path[:end], "") for end in range(len(path), 0, -1))
        return next((option for option in sets if option), "")

    def _shown(self, path: KeyPath, value: Any) -> str:
        if path in self.origins:
            return self.origins[path]
        if value is None or words.at(path).get("type", "object") == "object":
            return ""
        if words.is_secret(path):
            return "***"
        if isinstance(value, str):
            text = repr(mask_url(value))
            if len(text) > SHOWN_LENGTH:  # the end of a path says more than its beginning
                is_path = words.is_path(path)
                text = f"'...{text[-SHOWN_LENGTH:]}" if is_path else f"{text[:SHOWN_LENGTH]}...'"
            return text
        numbers = value if isinstance(value, list) else [value]
        if all(isinstance(number, int | float) for number in numbers):
            return f"{value}".lower()[:SHOWN_LENGTH]  # true and false as YAML has them
        return ""
