"""Pitwatch and its peers on the same cases in one interleaved run, equality first.

``python -m tests.benchmarks [--quick] [--out tests/benchmarks/RESULTS.md]``. A row is printed, and
written to ``--out``, as soon as it is known. Exit code 1: a row failed or the sides disagree.
"""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path

INTRODUCTION = """Medians of several runs, the sides taking turns. Ratios are by the clock, and by
processor time in brackets: on a busy machine only those mean something. A peer's time for all
channels is taken from two smaller numbers of them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small networks only, once")
    parser.add_argument("--out", type=Path, help="write the tables there as well")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=15.0, help="begin no row after so many")
    parser.add_argument(
        "tables",
        nargs="*",
        help="channels, patches, explanation, foreign, architectures; all but the last, which "
        "takes twenty minutes, when none is named",
    )
    options = parser.parse_args()

    # Not for --help: together they take seconds.
    import torch

    from tests.benchmarks import architectures, channels, explanation, foreign, patches
    from tests.benchmarks.tables import run_tables

    torch.set_num_threads(options.threads)
    made = {
        "explanation": explanation.table,
        "channels": channels.table,
        "patches": patches.table,
        "foreign": foreign.table,
        "architectures": architectures.table,
    }
    if unknown := set(options.tables) - set(made):
        parser.error(f"no table {', '.join(sorted(unknown))}; there are: {', '.join(made)}")
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)
        if options.out is not None:
            text = "\n".join(lines)
            options.out.write_text(f"# Measured by `python -m tests.benchmarks`\n\n{text}\n")

    say(f"{_machine(options.threads)}\n\n{INTRODUCTION}")
    wanted = [
        make(options.quick)
        for name, make in made.items()
        if name in (options.tables or set(made) - {"architectures"})
    ]
    return 1 if run_tables(wanted, say, 60 * options.minutes) else 0


def _machine(threads: int) -> str:
    import torch

    return (
        f"{platform.machine()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    )


if __name__ == "__main__":
    sys.exit(main())
