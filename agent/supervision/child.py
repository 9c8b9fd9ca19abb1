"""A child process that its parent can always talk to, kill and count on to die with it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agent.supervision.channel import READ_BYTES, Control, Hello
from agent.supervision.framing import Decoder, FramingError, encode
from agent.supervision.output import OutputTail
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

OUTBOX_BYTES = 16 * 1024 * 1024
READS_PER_CALL = 64
KILL_WAIT_S = 2.0
LEVELS = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "CRITICAL": logging.ERROR}
"""First words of a line as the bootstrap's formatter writes it."""
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class ChildGone(Exception):  # noqa: N818 - an event in a child's life, not a mistake of the caller
    """The child closed its end: it has exited, was killed, or is about to be reaped."""


class ChildBusy(Exception):  # noqa: N818
    """The child has not read for so long that the outbox is full; nothing was sent."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What to run in a child.

    ``target`` names ``function(channel: Channel, args, fds: Mapping[str, int]) -> None`` as
    ``package.module:function``; ``args`` is any picklable object; ``fds`` are descriptors of this
    process that the child gets under the same numbers (the caller keeps and closes its own).
    """

    name: str
    target: str
    args: object = None
    fds: Mapping[str, int] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    priority: Literal["normal", "low", "idle"] = "normal"


class Child:
    """One running child. No method waits for it, except ``kill`` and ``stop``, which are bounded.

    Not for several threads at once; use it from the thread that spawned it.
    """

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], control: socket.socket):
        self.name = spec.name
        self.pid = process.pid
        self._process = process
        self._control = control
        self._decoder = Decoder()
        self._outbox = bytearray()
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._output = OutputTail(process.stdout.fileno())
        self._closed = False

    def fileno(self) -> int:
        """Descriptor to select on: readable when a message came or the child is gone."""
        return self._control.fileno()

    def send(self, message: object) -> None:
        """Send a picklable message without waiting; ``ChildGone`` or ``ChildBusy``.

        What the socket does not take at once (more than about 200 kB unread) leaves with the next
        ``send``, ``flush`` or ``receive``.
        """
        data = encode(message)
        if self._outbox and len(self._outbox) + len(data) > OUTBOX_BYTES:
            raise ChildBusy(f"{self.name}: {len(self._outbox)} bytes unread")
        self._outbox += data
        self.flush()

    def flush(self) -> bool:
        """Hand waiting bytes to the socket; true when none are left. ``ChildGone`` at its end."""
        while self._outbox:
            try:
                sent = self._control.send(self._outbox)
            except BlockingIOError:
                return False
            except OSError as error:
                raise ChildGone(f"{self.name}: {error.strerror}") from error
            del self._outbox[:sent]
        return True

    def receive(self) -> list[object]:
        """Return the messages that are there, in order, without waiting.

        Also logs new lines of the child's output. Raises ``ChildGone`` at the end of the stream,
        after every message before it was returned.
        """
        self._log_output()
        messages: list[object] = []
        for _ in range(READS_PER_CALL):
            try:
                data = self._control.recv(READ_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if messages:
                    return messages
                raise ChildGone(f"{self.name}: {error.strerror}") from error
            if not data:
                if messages:
                    return messages
                self._log_output()
                raise ChildGone(f"{self.name}: control socket closed")
            try:
                messages += self._decoder.feed(data)
            except FramingError as error:
                raise ChildGone(f"{self.name}: {error}") from error
        with contextlib.suppress(ChildGone):  # its last messages come first
            self.flush()
        return messages

    def alive(self) -> bool:
        """Whether the process still runs (or is stopped); reaps it when it does not."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that killed it."""
        return self._process.poll()

    def describe_exit(self) -> str:
        """One line for a log: how it ended, and the last line that it wrote."""
        code = self.exit_code
        if code is None:
            return "still running"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-code).name}"
        self._log_output()
        last = self._output.tail()[-1:]
        return f"exit code {code}" + "".join(f": {line}" for line in last)

    def output_tail(self) -> list[str]:
        """The last lines of its stdout and stderr, credentials in URLs masked."""
        return self._output.tail()

    def rss_bytes(self) -> int:
        """Resident memory, shared pages included; 0 when the process is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 and self.alive() else 0

    def kill(self, wait_s: float = KILL_WAIT_S) -> bool:
        """Kill the child and all that it started, and reap it; false when it is not dead in time.

        A process in an uninterruptible system call (a broken driver, a lost network disk) dies only
        when that call returns. It is then reaped by a later ``alive`` or ``kill``, or by Python
        when the next child is started.
        """
        if self.alive():
            self._log_output()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # Not reaped yet, so the number still belongs to it.
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)  # before setpgid there is no such group
        self._close()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            log_event(logger, logging.WARNING, "child_does_not_die", child=self.name, pid=self.pid)
            return False
        return True

    def ask_to_stop(self) -> None:
        """Set ``Channel.stopping`` in the child; it should then end by itself."""
        with contextlib.suppress(ChildGone, ChildBusy):
            self.send(Control.STOP)

    def stop(self, timeout_s: float) -> bool:
        """Ask for an orderly end (``Channel.stopping``), then kill; true when it ended itself."""
        self.ask_to_stop()
        try:
            self._process.wait(timeout_s)
            orderly = True
        except subprocess.TimeoutExpired:
            orderly = False
        self.kill()
        return orderly

    def _log_output(self) -> None:
        if self._closed:
            return
        for line in self._output.poll():
            level = LEVELS.get(line.partition(" ")[0], logging.INFO)
            log_event(logger, level, "child_output", child=self.name, line=line)

    def _close(self) -> None:
        if not self._closed:
            self._log_output()
            self._closed = True
            self._control.close()
            assert self._process.stdout is not None
            self._process.stdout.close()


def _python_path() -> str:
    """The parent's module path, so that a child imports what the parent would."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)


def spawn(spec: ChildSpec) -> Child:
    """Start a child.

    The kernel kills it when the THREAD that called this ends (the parent-death signal follows the
    thread), so spawn from one that lives at least as long as the child should. The child has its
    own process group, so a Ctrl-C in the terminal reaches only the parent; it stays in the
    parent's session, because with automatic task groups a session of its own would be scheduled
    as the parent's equal whatever its priority. ``OSError`` when there is no process to be had.
    """
    parent_end, child_end = socket.socketpair()
    output_read, output_write = os.pipe()
    os.set_blocking(output_write, False)
    parent_end.setblocking(False)
    # -P and an explicit path: "-m" alone would let files of the working directory shadow modules.
    command = [sys.executable, "-P", "-m", "agent.supervision.bootstrap"]
    env = {**os.environ, "PYTHONPATH": _python_path(), **spec.env}
    try:
        process = subprocess.Popen(
            [*command, str(child_end.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            pass_fds=[child_end.fileno(), *spec.fds.values()],
            process_group=0,
            env=env,
        )
    except OSError:
        parent_end.close()
        os.close(output_read)
        raise
    finally:
        child_end.close()
        os.close(output_write)
    process.stdout = os.fdopen(output_read, "rb", buffering=0)
    child = Child(spec, process, parent_end)
    try:
        child.send(Hello(spec.name, spec.target, spec.args, dict(spec.fds), spec.priority))
    except ChildGone as error:  # killed before it was told what to do
        child.kill()
        raise ChildProcessError(str(error)) from error
    return child
