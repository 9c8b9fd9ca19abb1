"""The proof: a year of two faults at a time, in virtual time and in real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tests.soak.faults import Table, read_faults
from tests.soak.year.book import Book, Entry
from tests.soak.year.cycles import cycles
from tests.soak.year.lines import LEAST, lines, log_grows
from tests.soak.year.planted import Planted, planted

VIRTUAL, REAL = 1800, 200
FINDINGS_SHOWN = 60


def year(
    folder: Path, share: float, only: Sequence[str], seed: int, state: Path | None
) -> tuple[list[str], list[str]]:
    """Go on with the year, ``share`` of its cycles, and return the table's lines and what was
    missed. ``only``: ``virtual``, ``real``, or both where empty; ``state``: its book."""
    folder.mkdir(parents=True, exist_ok=True)
    file = state or folder / "year.jsonl"
    known = planted()
    parts = [part for part in ("virtual", "real") if not only or part in only]
    counts = {"virtual": max(2, round(VIRTUAL * share)), "real": max(2, round(REAL * share))}
    missed = []
    if "virtual" in parts:
        command = [sys.executable, "-m", "tests.soak.year.virtual", str(file)]
        command += ["--seed", str(seed), "--until", str(counts["virtual"])]
        if code := subprocess.run(command, check=False).returncode:
            missed.append(f"the virtual part ended with {code}")
    if "real" in parts:
        _real(folder / "plant", Book.open(file), counts["real"], seed)
    book = Book.open(file)
    rows = _planted_lines(known, read_faults())
    for part in parts:
        entries = book.of(part, seed)[: counts[part]]
        found, wrong = _part(part, entries, counts[part], seed)
        rows += found
        missed += wrong
    return rows, missed


def _real(folder: Path, book: Book, until: int, seed: int) -> None:
    from tests.soak.year.real.cycle import Run
    from tests.soak.year.real.faults import PLANTINGS
    from tests.soak.year.real.plant import WELL_S, standing

    first = book.next("real", seed)
    if first >= until:
        return
    with standing(folder) as plant:
        plant.wait(plant.well, WELL_S)
        run = Run(plant, read_faults(), PLANTINGS)
        for cycle in islice(cycles(list(PLANTINGS), until, seed), first, None):
            began = time.monotonic()
            findings = run.cycle(cycle)
            entry = Entry(
                part="real",
                seed=seed,
                number=cycle.number,
                first=cycle.first,
                second=cycle.second,
                wake=cycle.wake,
                findings=tuple(findings),
                reading=plant.reading(),
                virtual_s=time.monotonic() - began,
                alarms=tuple(sorted(plant.said.rang)),
            )
            book.add(entry)
            print(f"{cycle.number} {cycle.name}: {'; '.join(findings) or 'ok'}", flush=True)
        if code := plant.stop():
            raise AssertionError(f"exit code {code} at the end")


def _planted_lines(known: Planted, table: Table) -> list[str]:
    return [
        f"Of {len(table.faults)} faults of the table {len(known.virtual)} are planted in virtual "
        f"time, {len(known.real)} in real processes ({len(known.virtual & known.real)} of them in "
        f"both), {len(known.elsewhere)} in neither: each by its own test or proof, for these reasons:",
        "",
        "| why not here | faults |",
        "|---|---|",
        *(f"| {why} | {count} |" for why, count in Counter(known.elsewhere.values()).most_common()),
        "",
    ]


def _part(part: str, entries: list[Entry], asked: int, seed: int) -> tuple[list[str], list[str]]:
    """The lines of one part, and what was missed; ``asked``: cycles of this run."""
    whole = VIRTUAL if part == "virtual" else REAL
    if not entries:
        return [f"{part}: no cycle was made"], [f"{part}: no cycle"]
    wrong = [one for one in entries if one.findings]
    struck = {one for entry in entries for one in (entry.first, entry.second)}
    seconds = sum(one.virtual_s for one in entries)
    span = f"{seconds / 86400:.1f} days" if part == "virtual" else f"{seconds / 3600:.1f} hours"
    fitted = lines(entries)
    rows = [
        f"### {part}",
        "",
        f"{len(entries)} of {whole} cycles, seed {seed}, over {span}; {len(struck)} faults struck, "
        f"{sum(one.wake for one in entries)} pairs in the wake of each other, the rest together; "
        f"{len({one.reading.life for one in entries})} processes of the agent one after the other; "
        f"{len(wrong)} cycles with a finding",
        "",
        "| process | what | cycles | after the warm-up | at the end | growth by a fitted line |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one.life} | {one.name} | {one.cycles} | {one.first:.1f} | {one.last:.1f} | "
            f"{one.growth:+.2f} ± {one.error:.2f} |"
            for one in fitted
        ),
        "",
        *(
            f"- {one.number} {one.first} {'then' if one.wake else '+'} {one.second}: {what}"
            for one in wrong[:FINDINGS_SHOWN]
            for what in one.findings
        ),
        "",
    ]
    missed = [f"{part}: {len(wrong)} cycles with a finding"] if wrong else []
    missed += [
        f"{one.life}: {one.name} grows by {one.growth:.1f}" for one in fitted if not one.level
    ]
    missed += log_grows(entries)
    if len(entries) < asked:
        missed.append(f"{part}: {len(entries)} of {asked} cycles so far")
    if not fitted:
        rows += [
            f"No process has lived for {LEAST} cycles after its warm-up: no line is fitted.",
            "",
        ]
        if asked == whole:
            missed.append(f"{part}: no line")
    return rows, missed
