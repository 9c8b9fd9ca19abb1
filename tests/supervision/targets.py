"""What the children of these tests run."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

from agent.supervision.channel import Channel
from agent.supervision.child import ChildSpec, spawn
from agent.supervision.live_priority import PauseForLive


def echo(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Sends every message back until it is asked to stop."""
    while not channel.stopping.is_set():
        message = channel.receive(0.05)
        if message is not None:
            channel.send(message)


def facts(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Reports what a child can know of itself."""
    channel.send(
        {
            "args": args,
            "pid": os.getpid(),
            "group": os.getpgid(0),
            "session": os.getsid(0),
            "stdin": sys.stdin.read(),
            "nice": os.nice(0),
            "scheduler": os.sched_getscheduler(0),
            "sigint_ignored": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            "environment": os.environ.get("PITWATCH_TEST"),
            "modules": len(sys.modules),
            "torch": "torch" in sys.modules,
            "numpy": "numpy" in sys.modules,
        }
    )


def write_fd(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    os.write(fds["pipe"], b"through the pipe")


def raises(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    raise ValueError("cannot open rtsp://joe:secret@camera/1")


def chatters(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Writes far more than a pipe holds, from Python and from below it, then says so."""
    for _ in range(20_000):
        print("chatter " * 8, file=sys.stderr)
    libc = ctypes.CDLL(None)
    for _ in range(20_000):
        libc.dprintf(2, b"native chatter native chatter native chatter\n")
    channel.send("done")
    channel.receive(60)


def floods(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Sends one message of the size asked for."""
    channel.send(bytes(int(str(args))))
    channel.receive(60)


def stuck_native(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Sleeps in native code that holds the interpreter: no Python thread of this process runs."""
    channel.send(os.getpid())
    time.sleep(0.1)
    ctypes.PyDLL(None).sleep(600)


def idle(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Never looks at its parent."""
    channel.send(os.getpid())
    threading.Event().wait(600)


def never_reads(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    threading.Event().wait(600)


def writes_frames(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Fills a ring without a pause; every pixel of picture i has the value i % 251."""
    import numpy as np

    from agent.supervision.ring import RingWriter
    from agent.supervision.ring_memory import FrameRing, RingShape

    ring = FrameRing.allocate(fds["ring"], RingShape(4, 64 * 64 * 3, 4, 8))
    writer = RingWriter(ring, fds["event"])
    channel.send("ready")
    index = 0
    while True:
        image = np.full((64, 64, 3), index % 251, np.uint8)
        aperture = np.full((64, 64), index % 2 == 0)
        index = 1 + writer.push(image, aperture, (index, float(index)), b"tagg", b"%d" % index)


def no_room(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Tries to make a ring where files may not grow, and reports the error."""
    import resource

    from agent.supervision.ring_memory import FrameRing, RingError, RingShape

    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
    try:
        FrameRing.allocate(fds["ring"], RingShape(4, 2_000_000))
    except RingError as error:
        channel.send(str(error))


def family(spec_targets: list[str]) -> None:
    """A parent for the tests that kill one: spawns children, prints their pids, waits."""
    children = [spawn(ChildSpec(f"c{i}", target)) for i, target in enumerate(spec_targets)]
    pids: list[object] = []
    while len(pids) < len(children):
        for child in children:
            pids += child.receive()
        time.sleep(0.01)
    print(" ".join(str(pid) for pid in pids), flush=True)
    time.sleep(600)


if __name__ == "__main__":
    family(sys.argv[1:])


def counts(channel: Channel, args: object, fds: Mapping[str, int]) -> None:
    """Counts in shared memory without a pause of its own, giving way to whoever goes first."""
    count = memoryview(mmap.mmap(fds["count"], 8)).cast("Q")
    with PauseForLive(fds["live"]).meanwhile():
        while True:
            count[0] += 1
