"""The book of a year: one line a cycle, so that a run that was cut goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reading:
    """What an agent holds after a cycle. ``life``: which process it was; numbers are compared
    within one. ``log_bytes``: written since its start."""

    life: str
    memory_mib: float
    descriptors: int
    threads: int
    segments: int
    database_kib: float
    log_bytes: int
    children: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One cycle that is over. ``skipped``: why it could not be made here."""

    part: str
    seed: int
    number: int
    first: str
    second: str
    wake: bool
    findings: tuple[str, ...]
    reading: Reading
    virtual_s: float = 0.0
    skipped: str = ""
    alarms: tuple[str, ...] = ()


@dataclass(slots=True)
class Book:
    """``file`` None: nothing is kept."""

    file: Path | None
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def open(cls, file: Path | None) -> Book:
        """Read what was done. A last line that was cut is forgotten."""
        book = cls(file)
        if file is None or not file.exists():
            return book
        whole = []
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                book.entries.append(_entry(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                continue
            whole.append(line)
        file.write_text("".join(line + "\n" for line in whole), encoding="utf-8")
        return book

    def add(self, entry: Entry) -> None:
        """Keep one more."""
        self.entries.append(entry)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry)) + "\n")

    def of(self, part: str, seed: int) -> list[Entry]:
        """The cycles of one part, in their order."""
        found = [one for one in self.entries if (one.part, one.seed) == (part, seed)]
        return sorted(found, key=lambda one: one.number)

    def next(self, part: str, seed: int) -> int:
        """The number of the first cycle that is not done."""
        done = self.of(part, seed)
        return done[-1].number + 1 if done else 0


def _entry(raw: Mapping[str, object]) -> Entry:
    lists: dict[str, tuple[str, ...]] = {name: tuple(raw[name]) for name in ("findings", "alarms")}  # type: ignore[arg-type]
    return Entry(**{**raw, **lists, "reading": Reading(**raw["reading"])})  # type: ignore[arg-type]
