"""Full rate for minutes: every frame accounted for, none dropped, explanations flowing."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.capture.genicam.networks import HERE, THERE, FarSide, in_own_network
from tests.soak.fruit_camera import OPTIONS
from tests.soak.measure import Plan, Run, measure

RATE_PER_S = 280 / 60
SEEN = f"genicam://ip/{THERE}?{OPTIONS}"
ROUND = "round_aperture: true"  # as the simulator's pictures are, which say it themselves
CONFIGS = {
    "sim": "cameras: [{name: cam1, source: 'sim:?rate=280&seed=11'}]",
    "genicam": f"cameras: [{{name: cam1, source: '{SEEN}', fps: {RATE_PER_S:.4f}, {ROUND}}}]",
}
"""By the camera: the simulator's fruit, in the process or over a cable as a GigE camera sends it."""


def endurance(folder: Path, seconds: float, camera: str) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    plan = Plan(CONFIGS[camera], seconds, warm_up_s=0.0)
    run = measure(folder, plan) if camera == "sim" else _over_a_cable(folder, plan)
    what = "280 fruit a minute" if camera == "sim" else "280 fruit a minute over a GigE camera"
    lines = [
        f"Full rate, {seconds:.0f} s, {what}, 256x256, input 192x192",
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in _rows(run, seconds)),
        "",
    ]
    return lines, _missed(run, seconds)


def _over_a_cable(folder: Path, plan: Plan) -> Run:
    """The same with a GigE camera that sees this fruit, in a network of its own."""
    runs: list[Run] = []

    def body() -> None:
        with FarSide() as far:
            far.power_on()
            with far.running(sys.executable, "-m", "tests.soak.fruit_camera", THERE, HERE):
                runs.append(measure(folder, plan))

    in_own_network(body)
    return runs[0]


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
