"""Full rate for minutes: every frame accounted for, none dropped, explanations flowing."""

from __future__ import annotations

from pathlib import Path

from tests.soak.measure import Plan, Run, measure

CONFIG = "cameras: [{name: cam1, source: 'sim:?rate=280&seed=11'}]"
RATE_PER_S = 280 / 60


def endurance(folder: Path, seconds: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    run = measure(folder, Plan(CONFIG, seconds, warm_up_s=0.0))
    lines = [
        f"Full rate, {seconds:.0f} s, 280 fruit a minute, 256x256, input 192x192",
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _rows(run, seconds)),
        "",
    ]
    return lines, _missed(run, seconds)


def _rows(run: Run, seconds: float) -> list[tuple[str, str]]:
    books = run.books
    rows = [
        ("frames captured", str(books["captured"])),
        ("segmented", str(books["segmented"])),
        ("dropped", str(books["dropped"])),
        ("in flight at the end", str(books["in_flight"])),
        ("no-read", f"{books['no_read']} of {books['fruit']} fruit"),
        ("explanations", f"{run.explanations} ({60 * run.explanations / seconds:.1f} a minute)"),
        ("compute seconds of one explanation, mean", f"{run.explanation_s:.2f}"),
        ("worker restarts", str(run.worker_restarts)),
        (
            "capture to mask p50 / p95 / p99, ms",
            " / ".join(f"{run.quantile(q):.1f}" for q in (0.5, 0.95, 0.99)),
        ),
    ]
    for kind, series in sorted(run.memory_mib.items()):
        first, last = run.memory(kind)
        rows.append(
            (
                f"resident memory of {kind}, MiB",
                f"{first:.0f} first, {last:.0f} last, {max(series):.0f} most",
            )
        )
    return rows


def _missed(run: Run, seconds: float) -> list[str]:
    books = run.books
    checks = {
        "exit code 0": run.exit_code == 0,
        "captured = segmented + dropped": books["captured"]
        == books["segmented"] + books["dropped"],
        "no frame dropped": books["dropped"] == 0,
        "at least 95 % of the expected frames": books["captured"] >= 0.95 * RATE_PER_S * seconds,
        "at least 6 explanations a minute": run.explanations >= 6 * seconds / 60,
        "no worker restarted": run.worker_restarts == 0,
    }
    return [name for name, met in checks.items() if not met]
