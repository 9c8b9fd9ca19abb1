"""``python -m tests.soak``: run the long proofs, print their tables, keep them in RESULTS.md."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

import torch

from tests.soak.audits import audits
from tests.soak.brokers import brokers
from tests.soak.cameras import cameras
from tests.soak.delivery import delivery
from tests.soak.endurance import endurance
from tests.soak.every import every
from tests.soak.isolation import isolation
from tests.soak.leaks import leaks
from tests.soak.matrix import matrix
from tests.soak.ordinary import ordinary
from tests.soak.pages import pages
from tests.soak.pairing import pairing
from tests.soak.plausibility import plausibility
from tests.soak.storage import storage
from tests.soak.streams import streams

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "proof",
        nargs="*",
        help="endurance, isolation, pages, cameras, streams, leaks, delivery, audits, ordinary, every, "
        "plausibility, pairing, brokers, matrix, storage; all when none is named",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="of a run: 1800 ordinary, 600 endurance, 300 every, 120 each case of pairing, 40 else",
    )
    parser.add_argument("--reference", type=Path, help="of ordinary; it calibrates without")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs")
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the counts of delivery, leaks, audits, plausibility, matrix and storage",
    )
    parser.add_argument(
        "--pictures", action="append", default=[], metavar="KIND=FOLDER", help="of plausibility"
    )
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="WORD", help="names of its peaches"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TROUBLE", help="pairs of matrix with it"
    )
    parser.add_argument("--no-record", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    wanted = options.proof or [
        "endurance",
        "isolation",
        "pages",
        "cameras",
        "streams",
        "leaks",
        "delivery",
        "audits",
        "ordinary",
        "every",
        "plausibility",
        "pairing",
        "brokers",
        "matrix",
        "storage",
    ]
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            where = Path(folder) / name
            if name == "endurance":
                lines, failures = endurance(where, options.seconds or 600.0)
            elif name == "delivery":
                lines, failures = delivery(where, options.share)
            elif name == "storage":
                lines, failures = storage(where, options.share)
            elif name == "leaks":
                lines, failures = leaks(where, options.share)
            elif name == "plausibility":
                lines, failures = plausibility(options.share, options.pictures, options.leave_out)
            elif name == "audits":
                lines, failures = audits(where, options.share)
            elif name == "pairing":
                lines, failures = pairing(where, options.seconds or 120.0)
            elif name == "matrix":
                lines, failures = matrix(where, options.share, options.only)
            elif name == "brokers":
                lines, failures = brokers(where)
            elif name == "every":
                lines, failures = every(where, options.seconds or 300.0)
            elif name == "ordinary":
                lines, failures = ordinary(where, options.seconds or 1800.0, options.reference)
            else:
                proof = {
                    "isolation": isolation,
                    "pages": pages,
                    "cameras": cameras,
                    "streams": streams,
                }[name]
                lines, failures = proof(where, options.rounds, options.seconds or 40.0)
            lines.append("Missed: " + "; ".join(failures) if failures else "All bars met.")
            print("\n".join(lines), flush=True)
            missed += failures
            if not options.no_record:
                _record(name, lines)
    return 1 if missed else 0


def _record(name: str, lines: list[str]) -> None:
    """Replace the section of this proof, keeping the others."""
    text = RESULTS.read_text() if RESULTS.exists() else "# Results of the long proofs\n"
    head = f"\n## {name}\n"
    before, _, rest = text.partition(head)
    _, mark, after = rest.partition("\n## ")
    today = datetime.datetime.now(datetime.UTC).date()
    where = f"{today}, {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"
    section = f"{head}\n{where}\n\n" + "\n".join(lines) + "\n"
    RESULTS.write_text(before.rstrip("\n") + "\n" + section + (mark + after if mark else ""))


if __name__ == "__main__":
    sys.exit(main())
