"""A bundle of this checkout, installed and run where there is no network."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from tests.deploy.offline.support import OFFLINE, keys, module

REFUSED = 65


def offline(folder: Path) -> tuple[list[str], list[str]]:
    """Make, install, run and remove a bundle; the table's lines and the bars that were missed."""
    make = module("make")
    folder.mkdir(parents=True)
    private, public = keys(folder)
    made = _timed(
        [
            sys.executable,
            OFFLINE / "make",
            "--key",
            private,
            "--out",
            folder,
            "--work",
            folder / "w",
        ]
    )
    (archive,) = folder.glob("*.tar")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "unpacked", filter="data")
    (bundle,) = (folder / "unpacked").iterdir()
    about = json.loads((bundle / "bundle.json").read_text())
    root = folder / "machine"
    release = [sys.executable, bundle / "pitwatch-release", "--root", root]
    started = time.monotonic()
    make.without_network([*release, "install", bundle, "--key", public], folder)
    installed_s = time.monotonic() - started
    books = make.run_main_job(root / "opt/pitwatch/current/bin/pitwatch", folder)
    rows = {
        "bundle": f"{about['build'].upper()} build, {about['wheels']} wheels, {about['python']},"
        f" {about['system']} on {about['machine']}, glibc {about['glibc']}",
        "archive, MiB": f"{archive.stat().st_size / 2**20:.0f}",
        "installed, MiB": f"{about['proved']['installed_bytes'] / 2**20:.0f}",
        "made with its proof, s": f"{made:.0f}",
        "installed without a network, s": f"{installed_s:.0f}",
        f"books of {make.PROOF_S} s": ", ".join(f"{name} {n}" for name, n in books.items()),
        "components of the bill of materials": str(_components(bundle)),
    }
    failures = _refused(release, bundle, public)
    done = subprocess.run([*map(str, release), "uninstall", "--purge", "--yes"], check=False)
    if done.returncode or (root / "opt/pitwatch").exists():
        failures.append("uninstalling left something")
    table = [f"| {what} | {value} |" for what, value in rows.items()]
    return ["| what | value |", "|---|---|", *table, ""], failures


def _timed(command: list[object]) -> float:
    started = time.monotonic()
    subprocess.run([str(one) for one in command], check=True)
    return time.monotonic() - started


def _components(bundle: Path) -> int:
    said = json.loads((bundle / "sbom.cdx.json").read_text())
    return len(said["components"]) + 1


def _refused(release: list[object], bundle: Path, public: Path) -> list[str]:
    """Exchange one byte of a wheel; what was missed."""
    wheel = max(bundle.glob("wheels/*.whl"), key=lambda one: one.stat().st_size)
    with wheel.open("r+b") as file:
        file.seek(wheel.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    done = subprocess.run(
        [str(one) for one in (*release, "install", bundle, "--key", public)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    named = wheel.name in done.stderr
    return [] if done.returncode == REFUSED and named else ["an exchanged byte was not refused"]
