"""``python -m tests.soak.year.virtual BOOK``: cycles in virtual time, in a process of their own.

The clocks of the process are made before anything of the agent is imported.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import tempfile
from pathlib import Path

from tests.soak.year.book import Book, Entry, Reading
from tests.soak.year.virtual.clock import TRUE_MONO, MadeClock

NEW_YEAR_S = 1_767_225_600.0
"""The first of January 2026, 0 h UTC: when the year begins."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.year.virtual", description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1800, help="cycles of the whole year")
    parser.add_argument("--until", type=int, help="the cycle before which it ends")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of true time")
    parser.add_argument("--only", action="append", default=[], metavar="FAULT")
    options = parser.parse_args()
    book = Book.open(options.book)
    first = book.next("virtual", options.seed)
    from tests.soak.year.cycles import YEAR_S

    clock = MadeClock(NEW_YEAR_S + first * YEAR_S / options.count)
    with clock.ruling():
        return _run(options, book, first, clock)


def _run(options: argparse.Namespace, book: Book, first: int, clock: MadeClock) -> int:
    from tests.soak.faults import read_faults
    from tests.soak.year.cycles import cycles
    from tests.soak.year.virtual.cycle import Run
    from tests.soak.year.virtual.faults import PLANTINGS
    from tests.soak.year.virtual.plant import Plant

    end = TRUE_MONO() + options.seconds
    names = options.only or list(PLANTINGS)
    with tempfile.TemporaryDirectory() as folder:
        plant = Plant(Path(folder), clock, options.seed)
        with plant.standing():
            plant.run_until(plant.well, 60.0)
            run = Run(plant, read_faults(), PLANTINGS, options.count)
            for cycle in cycles(names, options.count, options.seed):
                if cycle.number < first:
                    continue
                if cycle.number == options.until or TRUE_MONO() >= end:
                    break
                began = clock.now
                findings, said = run.cycle(cycle)
                entry = Entry(
                    part="virtual",
                    seed=options.seed,
                    number=cycle.number,
                    first=cycle.first,
                    second=cycle.second,
                    wake=cycle.wake,
                    findings=tuple(findings),
                    reading=_reading(plant.folder),
                    virtual_s=clock.now - began,
                    alarms=tuple(sorted(said.rang)),
                )
                book.add(entry)
                print(f"{cycle.number} {cycle.name}: {'; '.join(findings) or 'ok'}", flush=True)
    return 0


def _reading(folder: Path) -> Reading:
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(list(Path("/proc/self/task").iterdir()))
    maps = Path("/proc/self/maps").read_text()
    return Reading(
        life=f"virtual {os.getpid()}",
        memory_mib=pages * 4096 / 2**20,
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threads,
        segments=maps.count("/memfd:"),
        database_kib=sum(
            one.stat().st_size for one in (folder / "state").iterdir() if one.is_file()
        )
        / 1024,
        log_bytes=sum(one.stat().st_size for one in folder.glob("agent.log*")),
    )


if __name__ == "__main__":
    sys.exit(main())
