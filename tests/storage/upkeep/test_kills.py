"""SIGKILL before each step of an upgrade, of a restore and of an adoption: everything that waited
is there, and the same once more comes to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.storage.file.migrations import VERSION

WAITING = 100 + 4  # events and pictures
STEPS_LEAST = {"upgrade": 12, "restore": 20, "adopt": 15}


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "between", "end"),
    [
        ("upgrade", {VERSION, VERSION + 1}, VERSION + 1),
        ("restore", {VERSION, VERSION + 1}, VERSION),
        ("adopt", {VERSION}, VERSION),
    ],
)
def test_killed_before_each_step(tmp_path: Path, what: str, between: set[int], end: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.upkeep.killed_at_each_step", what, str(tmp_path)],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > STEPS_LEAST[what]
    assert [row["died"] for row in rows] == [True] * (len(rows) - 1) + [False]
    for row in rows:
        assert row["schema"] in between, row
        # an adoption is whole or has not begun
        assert row["waiting"] in ({0, WAITING} if what == "adopt" else {WAITING}), row
        assert row["again"] == WAITING, row
        assert row["schema_again"] == end, row
        assert row["litter"] == [], row
