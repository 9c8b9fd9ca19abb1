"""One table: Pitwatch and its peers on the same cases in one interleaved run, equality first.

``python -m tests.benchmarks [--quick] [--out tests/benchmarks/RESULTS.md]``. Times are medians of
``REPEATS`` runs, the sides taking turns. A peer's time is a + b n for n channels or windows: it is
measured for two n and stated for all of them; where all are few, all are run.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks import foreign, ours, theirs, whole
from tests.benchmarks.cases import Bench, bench, plain_drops

REPEATS = 3
FEW, MORE = 4, 12
"""Channels of a peer's two runs."""
CASES = ((8, 192), (8, 256), (32, 192), (32, 256))


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    arguments.add_argument("--quick", action="store_true", help="8 features, 192 px only, once")
    arguments.add_argument("--out", type=Path, help="write the tables there as well")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 1 if options.quick else REPEATS
    lines = [_machine(options.threads), "", *_ablation(options.quick, repeats)]
    for part in (whole.table, foreign.table):
        gc.collect()
        lines += ["", *part(options.quick)]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out is not None:
        options.out.write_text(f"# Measured by `python -m tests.benchmarks`\n\n{text}")


def _machine(threads: int) -> str:
    return (
        f"{platform.machine()}, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, {threads} threads"
    )


def _ablation(quick: bool, repeats: int) -> list[str]:
    out = [
        "Ablation-CAM of every channel, score the sum of logits over a thin region (6 %):",
        "",
        "| case | pytorch-grad-cam s | its setting | captum s | Pitwatch s | ratio | to captum | "
        "error: grad-cam | plain float32 | Pitwatch | MiB added |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for features, size in CASES[:1] if quick else CASES:
        found = bench(features, size)
        out.append(_row(found, 1 if features > 8 else repeats))
        print(out[-1], flush=True)
    return out


def _row(found: Bench, repeats: int) -> str:
    made = ours.engine(found)
    some = list(range(0, found.depth, found.depth // 8))[:8]
    exact = plain_drops(found, some, torch.float64)
    scale = float(np.abs(exact).max())
    added, deltas = _memory_added(lambda: ours.channels(made, found))
    errors = [
        _error(theirs.grad_cam(found, some, 8, False), exact),
        _error(plain_drops(found, some, torch.float32), exact),
        _error(deltas[some], exact),
    ]
    if not errors[2] <= 2e-4 or not errors[0] <= 1e-2:
        raise SystemExit(f"{found.name}: the sides disagree: {errors} of {scale:.3g}")
    settings = [
        (batch, last)
        for batch in ((8,) if found.features > 8 else (8, 16))
        for last in (False, True)
    ]
    trials = {
        s: _slope(lambda n, s=s: theirs.grad_cam(found, list(range(n)), *s), found.depth)
        for s in settings
    }
    best = min(trials, key=trials.__getitem__)
    times: dict[str, list[float]] = {"grad-cam": [trials[best]], "captum": [], "ours": []}
    for _ in range(repeats):
        times["ours"].append(_seconds(lambda: ours.channels(made, found)))
        peer = _slope(lambda n: theirs.grad_cam(found, list(range(n)), *best), found.depth)
        times["grad-cam"].append(peer)
        if not times["captum"]:
            run = _slope(lambda n: theirs.feature_ablation(found, list(range(n)), 8), found.depth)
            times["captum"].append(run)
    peer, other, own = (statistics.median(times[k]) for k in ("grad-cam", "captum", "ours"))
    setting = f"batch {best[0]}{', channels last' if best[1] else ''}"
    return (
        f"| {found.name}, {found.depth} channels | {peer:.1f} | {setting} | {other:.1f} | "
        f"{own:.2f} | **{peer / own:.1f}** | {other / own:.1f} | {errors[0]:.1e} | "
        f"{errors[1]:.1e} | {errors[2]:.1e} | {added:.0f} |"
    )


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _slope(run: Callable[[int], object], wanted: int) -> float:
    """Seconds for ``wanted`` channels from two smaller numbers of them."""
    few, more = _seconds(lambda: run(FEW)), _seconds(lambda: run(MORE))
    each = (more - few) / (MORE - FEW)
    return few + each * (wanted - FEW)


def _memory_added(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """MiB by which the first run's highest memory exceeds what the process had before it."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    out = run()
    return (_status("VmHWM") - before) / 1024, out


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)


if __name__ == "__main__":
    main()
