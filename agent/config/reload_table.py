"""``python -m agent.config.reload_table``: writes the table of ``config/README.md`` that says of
every key what takes over a change of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.config import words
from agent.config.reload import Part, part_of

FILE = Path(__file__).parents[2] / "config" / "README.md"
HEAD = "| key | what takes over a change of it |"


def keys() -> tuple[str, ...]:
    """Every key that holds a value, or a list of sections; not the sections themselves."""
    paths = words.all_paths()
    return tuple(path for path in paths if not any(other.startswith(f"{path}.") for other in paths))


def lines() -> Iterator[str]:
    """Yield the table in Markdown, one line per key."""
    yield HEAD
    yield "|---|---|"
    for key in keys():
        part = part_of(key)
        said = f"**{part}**" if part is Part.RESTART else part.value
        yield f"| `{key}` | {said} |"


def with_table(readme: str) -> str:
    """Return the text with its table replaced by the present one."""
    table = "\n".join(lines()) + "\n"
    return re.sub(rf"{re.escape(HEAD)}\n(?:\|.*\n)+", lambda _: table, readme)


if __name__ == "__main__":
    FILE.write_text(with_table(FILE.read_text("utf-8")), "utf-8")
