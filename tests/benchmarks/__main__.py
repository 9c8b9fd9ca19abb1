"""Pitwatch and its peers on the same cases in one interleaved run, equality first.

``python -m tests.benchmarks [--quick] [--out tests/benchmarks/RESULTS.md]``. A row is printed, and
written to ``--out``, as soon as it is known. Exit code 1: a row failed or the sides disagree.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FAITHFULNESS = "faithfulness"
INTRODUCTION = """Medians of several runs, the sides taking turns. Ratios are by the clock, and by
processor time in brackets: on a busy machine only those mean something. A peer's time for all
channels is taken from two smaller numbers of them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small networks only, once")
    parser.add_argument("--out", type=Path, help="write the tables there as well")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=15.0, help="begin no row after so many")
    parser.add_argument("--pictures", type=int, default=100, help="of faithfulness")
    parser.add_argument("--steps", type=int, default=400, help="of training, for faithfulness")
    parser.add_argument("--shipped", action="store_true", help="the shipped model alone")
    parser.add_argument("--size", type=int, default=96, help="px, of what it trains")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "pitwatch-faithfulness",
        help="of faithfulness: the trained network, and the pictures that were measured",
    )
    parser.add_argument(
        "tables",
        nargs="*",
        help="channels, patches, explanation, foreign; all of these when none is named; "
        "architectures, which takes twenty minutes, onnx, or faithfulness where it is named",
    )
    options = parser.parse_args()

    # Not for --help: together they take seconds.
    import torch

    from tests.benchmarks import architectures, channels, explanation, foreign, onnx_in, patches
    from tests.benchmarks.tables import run_tables

    torch.set_num_threads(options.threads)
    made = {
        "explanation": explanation.table,
        "channels": channels.table,
        "patches": patches.table,
        "foreign": foreign.table,
        "architectures": architectures.table,
        "onnx": onnx_in.table,
    }
    if unknown := set(options.tables) - {*made, FAITHFULNESS}:
        known = ", ".join((*made, FAITHFULNESS))
        parser.error(f"no table {', '.join(sorted(unknown))}; there are: {known}")
    if FAITHFULNESS in options.tables and (min(options.pictures, options.steps) < 1):
        parser.error("--pictures and --steps must be at least 1")
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        print(line, flush=True)
        if options.out is not None:
            text = "\n".join(lines)
            options.out.write_text(f"# Measured by `python -m tests.benchmarks`\n\n{text}\n")

    if options.tables == [FAITHFULNESS]:
        return _faithfulness(options, say)
    if FAITHFULNESS in options.tables:
        parser.error(f"{FAITHFULNESS} runs alone")
    say(f"{_machine(options.threads)}\n\n{INTRODUCTION}")
    wanted = [
        make(options.quick)
        for name, make in made.items()
        if name in (options.tables or set(made) - {"architectures", "onnx"})
    ]
    return 1 if run_tables(wanted, say, 60 * options.minutes) else 0


def _faithfulness(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    from tests.benchmarks.faithfulness.picture import FULL, QUICK
    from tests.benchmarks.faithfulness.run import Wanted, measured
    from tests.benchmarks.faithfulness.tables import notes, tables
    from tests.benchmarks.tables import run_tables

    protocol = QUICK if options.quick else FULL
    asked = Wanted(
        options.pictures,
        options.cache,
        60 * options.minutes,
        options.steps,
        options.size,
        protocol,
        options.shipped,
    )
    found = measured(asked, lambda line: print(line, file=sys.stderr, flush=True))
    made = [table for one in found for table in tables(one, ("suture", "stem"))]
    say(f"{_machine(1)}\n\n{notes(protocol)}")
    return 1 if run_tables(made, say, math.inf) else 0


def _machine(threads: int) -> str:
    import torch

    return (
        f"{platform.machine()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    )


if __name__ == "__main__":
    sys.exit(main())
