"""What a fresh child runs first: tie its life to the parent's, then call the target.

Run as ``python -P -m agent.supervision.bootstrap CONTROL_FD PARENT_PID``. Kept free of heavy
imports, since every child pays for them.
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import logging
import os
import signal
import socket
import sys
import traceback
from pkgutil import resolve_name
from typing import Any

from agent.supervision.channel import Channel, Hello

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
HELLO_TIMEOUT_S = 60.0


class _LossyOutput(io.RawIOBase):
    """Writes to a pipe that nobody may be reading: what does not fit is dropped, never waited for.

    The pipe is non-blocking for native libraries too, so that their chatter cannot stop a child.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return os.write(self._fd, data)
        except OSError:
            return len(data)


class _LineFormatter(logging.Formatter):
    """``LEVEL event key=value``: the parent logs the line again, with the child's name."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        pairs = "".join(f" {key}={value}" for key, value in fields.items())
        return f"{record.levelname} {record.getMessage()}{pairs}{_mistake(record)}"


def _mistake(record: logging.LogRecord) -> str:
    """What was raised, and in which three places, newest first: it must fit one line."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return ""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-3:])
    places = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in frames)
    text = " ".join(str(error).split())
    return f" exception={type(error).__name__} at={places!r} text={text!r}"


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the parent's spawning thread ends, however it ends.

    A stopped process and one stuck in native code die of it too, which no thread in here could
    do. A parent that died before the call is noticed by its changed pid.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(0)


def set_priority(priority: str) -> None:
    """Lower this process: ``idle`` runs when nothing else wants the core, ``low`` is nice 10."""
    if priority == "idle":
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except OSError:  # a sandbox may forbid it; nice is always allowed downwards
            os.nice(19)
    elif priority == "low":
        os.nice(10)


def _prepare_output() -> None:
    sys.stdout = io.TextIOWrapper(_LossyOutput(1), write_through=True, errors="replace")
    sys.stderr = io.TextIOWrapper(_LossyOutput(2), write_through=True, errors="replace")
    faulthandler.enable(file=2)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _run(channel: Channel) -> int:
    hello = channel.receive(HELLO_TIMEOUT_S)
    if not isinstance(hello, Hello):
        raise TypeError(f"the first message was {type(hello).__name__}, not Hello")
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NAME, hello.name.encode()[:15], 0, 0, 0)
    set_priority(hello.priority)
    for fd in hello.fds.values():
        os.set_inheritable(fd, False)
    resolve_name(hello.target)(channel, hello.args, hello.fds)
    return 0


def main() -> None:
    """Entry point; never returns."""
    control_fd, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent_pid)
    # The parent alone decides when a child ends: a Ctrl-C, a terminal that closes or a SIGTERM to
    # the whole service reaches the parent, whose orderly stop needs its children a moment more.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    _prepare_output()
    os.set_inheritable(control_fd, False)
    code = 1
    try:
        code = _run(Channel(socket.socket(fileno=control_fd)))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the top of the process: said once, then the end
        traceback.print_exc()
    # Not sys.exit: handlers and native libraries have hung or crashed at interpreter shutdown.
    os._exit(code)


if __name__ == "__main__":
    main()
