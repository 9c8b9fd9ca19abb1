"""Errors of the configuration as people read them: the place, the value, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import ErrorDetails

from agent.config.rules import Broken
from agent.config.values import get
from agent.config.words import Words, path_text
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
    """A configuration that cannot be used; ``problems`` holds every error, in order of the file."""

    def __init__(self, source: str, problems: Iterable[ConfigProblem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{source}: {count} error{'s' if count > 1 else ''}{lines}")


@dataclass(slots=True)
class ProblemBook:
    """Collects what is broken and knows how to say it.

    ``origins`` are the texts of references by path, ``options`` the command line's options by the
    path that they set.
    """

    words: Words
    document: Document
    origins: Mapping[KeyPath, str]
    options: dict[KeyPath, str] = field(default_factory=dict)
    _found: dict[tuple[KeyPath, str], ConfigProblem] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, broken: Broken, data: Mapping[str, Any], nearest: str = "") -> None:
        """Record one problem; ``data`` is where its value stands. The same one counts once."""
        option = self._option(broken.path)
        line = 0 if option else self.document.line(broken.path)
        value, message = get(data, broken.path), broken.message
        if broken.path in self.origins and isinstance(value, str):
            message = message.replace(value, self.origins[broken.path])
        self._found.setdefault(
            (broken.path, message),
            ConfigProblem(
                path=path_text(broken.path),
                message="".join(c if c.isprintable() else "?" for c in message),
                place=option or (f"line {line}" if line else ""),
                value=self._shown(broken.path, value),
                allowed=broken.allowed,
                nearest=nearest,
            ),
        )

    def add_unknown(self, path: KeyPath, data: Mapping[str, Any]) -> None:
        """Record a key that does not exist, with the one that was meant or those that exist."""
        nearest = self.words.nearest(path)
        known = "" if nearest else ", ".join(self.words.keys(path[:-1]))
        self.add(Broken(path, "is no key", known), data, nearest)

    def problems(self) -> list[ConfigProblem]:
        """In order of the file; what comes from an option or is missing altogether stands first."""
        ordered = sorted(
            self._found.items(),
            key=lambda item: (self.document.line(item[0][0]), item[1].path),
        )
        return [problem for _, problem in ordered]

    def _option(self, path: KeyPath) -> str:
        sets = (self.options.get(path[:end], "") for end in range(len(path), 0, -1))
        return next((option for option in sets if option), "")

    def _shown(self, path: KeyPath, value: Any) -> str:
        if path in self.origins:
            return self.origins[path]
        schema = self.words.at(path)
        if schema is None or schema.get("type") == "object" or value is None:
            return ""
        if self.words.is_secret(path):
            return "***"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int | float):
            return f"{value!r:.{SHOWN_LENGTH}}"
        if isinstance(value, str):
            text = repr(mask_url(value))
            return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}...'"
        if isinstance(value, list) and all(isinstance(item, int | float) for item in value):
            return f"{value!r:.{SHOWN_LENGTH}}"
        return ""


def from_pydantic(details: ErrorDetails, words: Words) -> Broken:
    """Say in our words what one type error of the models is, except for an unknown key."""
    path: KeyPath = tuple(details["loc"])
    while path and words.at(path) is None:  # pydantic adds steps of its own inside of unions
        path = path[:-1]
    allowed = words.allowed(path)
    if details["type"] == "missing":
        return Broken(path, "is missing", allowed)
    if details["input"] is None:
        return Broken(path, "null is not allowed", allowed)
    text_wanted = details["type"] in ("string_type", "literal_error")
    if text_wanted and isinstance(details["input"], int | float):
        return Broken(path, "is a number; text needs quotes here", allowed)
    return Broken(path, "is not allowed", allowed)
