"""Kill -9 of the agent's process leaves no child and no shared memory."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.capture.support import write_pictures
from tests.support import wait_until

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time, random
from agent.capture.feed import CaptureContext
from agent.capture.system import CaptureSystem
from agent.telemetry import NullTelemetry
from tests.capture.sources import OPENERS
from tests.capture.support import camera
folder, once = sys.argv[1:]
system = CaptureSystem(
    [camera(folder, name="a"), camera("test:hangs?once=" + once, name="b", read_timeout_s=60),
     camera(name="c")],
    CaptureContext(NullTelemetry(), time.monotonic, "s", OPENERS, random.Random(1)))
system.start()
count = 0
while count < 60:
    count += len(system.take(8, 1.0))
print(*system.pids().values(), flush=True)
time.sleep(600)
"""


def segments() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def test_kill_9_of_the_parent_leaves_no_child_and_no_segment(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures", 3)
    before = segments()
    command = [sys.executable, "-c", PARENT, str(tmp_path / "pictures"), str(tmp_path / "once")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    try:
        assert select.select([parent.stdout], [], [], 60)[0]
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        os.kill(pids[2], signal.SIGSTOP)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()

    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(lambda: all(gone(pid) for pid in pids), 10, "orphans")
    assert not {name for name in segments() - before if "pitwatch" in name}
