"""``python -m tests.soak``: run the long proofs, print their tables, keep them in RESULTS.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("RESULTS.md")

PROOFS: dict[str, Callable[[Path, argparse.Namespace], tuple[Any, ...]]] = {
    "endurance": lambda where, o: (where, o.seconds or 600.0, o.camera),
    "isolation": lambda where, o: (where, o.rounds, o.seconds or 40.0),
    "promote": lambda where, o: (where, o.rounds, o.share),
    "pages": lambda where, o: (where, o.rounds, o.seconds or 40.0),
    "one_fruit": lambda where, o: (where, round(200 * o.share)),
    "cameras": lambda where, o: (where, o.rounds, o.seconds or 40.0),
    "streams": lambda where, o: (where, o.rounds, o.seconds or 40.0),
    "leaks": lambda where, o: (where, o.share),
    "delivery": lambda where, o: (where, o.share),
    "audits": lambda where, o: (where, o.share),
    "ordinary": lambda where, o: (where, o.seconds or 1800.0, o.reference),
    "every": lambda where, o: (where, o.seconds or 300.0),
    "plausibility": lambda where, o: (o.share, o.pictures, o.leave_out),
    "pairing": lambda where, o: (where, o.seconds or 120.0),
    "brokers": lambda where, o: (where,),
    "matrix": lambda where, o: (where, o.share, o.only),
    "storage": lambda where, o: (where, o.share),
    "genicam": lambda where, o: (where, o.seconds or 600.0, o.share),
    "ray": lambda where, o: (where, o.rounds, o.share),
    "reload": lambda where, o: (where, o.reloads),
    "recording": lambda where, o: (where, o.rounds, o.seconds or 40.0, o.share),
    "labels": lambda where, o: (where,),
    "offline": lambda where, o: (where,),
    "year": lambda where, o: (where, o.share, o.only, o.seed, o.state),
}
"""In the order in which all are run: what each function, named as its module, is given. A proof is
imported when it is run: ``--help`` waits for none."""
BY_NAME_ALONE = ("year",)
"""Proofs that take longer than all others together."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "proof",
        nargs="*",
        help=f"{', '.join(PROOFS)}; all but {', '.join(BY_NAME_ALONE)} when none is named",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="of a run: 1800 ordinary, 600 endurance and genicam, 300 every, 120 each case of pairing, 40 else",
    )
    parser.add_argument("--reference", type=Path, help="of ordinary; it calibrates without")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the counts of one_fruit, delivery, leaks, audits, plausibility, matrix, storage, genicam, promote, ray, recording and year",
    )
    parser.add_argument(
        "--pictures", action="append", default=[], metavar="KIND=FOLDER", help="of plausibility"
    )
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="WORD", help="names of its peaches"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TROUBLE",
        help="pairs of matrix with it; virtual or real: that part of year",
    )
    parser.add_argument("--seed", type=int, default=0, help="of year: which faults meet")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="of year: its book, by which a cut run goes on"
    )
    parser.add_argument(
        "--camera", choices=("sim", "genicam"), default="sim", help="of endurance: what it runs on"
    )
    parser.add_argument("--reloads", type=int, default=200, help="of reload, beside every key once")
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    wanted = options.proof or [name for name in PROOFS if name not in BY_NAME_ALONE]
    if unknown := sorted(set(wanted) - set(PROOFS)):
        parser.error(f"no proof {unknown[0]!r}; there are: {', '.join(PROOFS)}")
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            where = Path(folder) / name
            proof = getattr(import_module(f"tests.soak.{name}"), name)
            lines, failures = proof(*PROOFS[name](where, options))
            lines.append("Missed: " + "; ".join(failures) if failures else "All bars met.")
            print("\n".join(lines), flush=True)
            missed += failures
            if not options.no_record:
                over = options.camera if name == "endurance" else "sim"
                _record(name if over == "sim" else f"{name} over {over}", lines)
    return 1 if missed else 0


def _record(name: str, lines: list[str]) -> None:
    """Replace the section of this proof, keeping the others."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Results of the long proofs\n"
    head = f"\n## {name}\n"
    before, _, rest = text.partition(head)
    _, mark, after = rest.partition("\n## ")
    today = datetime.datetime.now(datetime.UTC).date()
    where = f"{today}, {os.cpu_count()} cores, {platform.machine()}, torch {version('torch')}"
    section = f"{head}\n{where}\n\n" + "\n".join(lines) + "\n"
    RESULTS.write_text(before.rstrip("\n") + "\n" + section + (mark + after if mark else ""))


if __name__ == "__main__":
    sys.exit(main())
