"""How the commands look: flags without a type behind them, and characters that a terminal can show.

A terminal or a file whose encoding lacks a character (``PYTHONIOENCODING=ascii``) gets a plain one
in its place instead of the end of the command.
"""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata
from typing import Any

from typer.core import TyperCommand, TyperGroup

PLAIN = "pitwatch.plain"
"""Name of the error handler of codecs."""
_PLAIN_FOR = {
    "°": " ", "…": "~", "█": "#", "░": "-", "×": "x", "·": ".", "•": "*", "—": "-", "–": "-",
    "“": '"', "”": '"', "‘": "'", "’": "'", "→": ">", "←": "<", "≥": ">", "≤": "<", "±": "~",
}  # fmt: skip
"""One character for one, so that columns stay where they are."""


class Group(TyperGroup):
    """The program."""

    def get_params(self, ctx: Any) -> list[Any]:
        return bare(super().get_params(ctx))


class Command(TyperCommand):
    """One command."""

    def get_params(self, ctx: Any) -> list[Any]:
        return bare(super().get_params(ctx))


def bare(parameters: list[Any]) -> list[Any]:
    """The same, of which flags show no type: they take no value."""
    for one in parameters:
        if getattr(one, "is_flag", False) and one.metavar is None:
            one.metavar = ""
    return parameters


def plain(text: str) -> str:
    """``text`` in ASCII, as long as before: what is like a character, else ``?``.

    >>> plain("18.2° … è")
    '18.2  ~ e'
    """
    return "".join(char if char.isascii() else _plain_char(char) for char in text)


def _plain_char(char: str) -> str:
    if char in _PLAIN_FOR:
        return _PLAIN_FOR[char]
    if "BOX DRAWINGS" in (name := unicodedata.name(char, "")):
        across, down = "HORIZONTAL" in name, "VERTICAL" in name
        return "-" if across and not down else "|" if down and not across else "+"
    like = unicodedata.normalize("NFKD", char)[0]
    return like if like.isascii() else "?"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


def never_fail_on_a_character() -> None:
    """For the program's own output: what an encoding lacks is replaced (``plain``)."""
    codecs.register_error(PLAIN, _replaced)
    for stream in (sys.stdout, sys.stderr):
        # stderr's own way, backslashreplace, is readable, but columns would move
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors=PLAIN)
