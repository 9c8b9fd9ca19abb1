"""Processes of Pitwatch that do not import anew what each of them needs.

A template is one process that has imported it; every process that a test asks for is a fork of it
and as alone from then on as one that was started: its own pid, environment, signals, files and exit
code. The template has no thread when it forks. It ends with the process that started it.

``forked_commands`` runs command lines, ``tests.support.running`` whole agents, and
``forked_children`` has ``agent.supervision`` fork what it would start.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any, NoReturn

from agent.supervision import child
from agent.supervision.bootstrap import PR_SET_NAME, die_with_parent

EACH_S = 60
MESSAGE_BYTES = 1 << 18
FIRST_SPARE_FD = 500
"""Above every number that a fork is given, so that none is overwritten before it was moved."""
TEMPLATE_NAME = "template"
CHILDREN = (
    "agent.ablation.pool.worker",
    "agent.capture.process",
    "agent.observability.http.process",
    "agent.publishing.embedded.process",
    "agent.supervision.bootstrap",
    "uvicorn.protocols.http.h11_impl",
)
WHOLE_AGENT = (
    *CHILDREN,
    "agent.ablation.pool.explainer",
    "agent.cli",
    "agent.pipeline.runner",
    "agent.simulator.source",
    "numpy.random",
)


class ForkedProcess:
    """A fork of a template, with what is used of ``subprocess.Popen``."""

    def __init__(self, template: Template, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: Any = None
        self._template = template
        self._ended = os.pidfd_open(pid)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Exit code; negative: the signal that killed it; None: it runs."""
        return self._reap(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._reap(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)  # not reaped yet, so the number still belongs to it

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _reap(self, timeout_s: float | None) -> int | None:
        ended = select.poll()
        ended.register(self._ended, select.POLLIN)
        # Without the lock: a thread that waits long must not hold up one that only asks.
        if self.returncode is None and ended.poll(None if timeout_s is None else timeout_s * 1000):
            with self._lock:
                if self.returncode is None:
                    status = self._template.ask({"reap": self.pid})["status"]
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def __del__(self) -> None:
        os.close(self._ended)


class Template:
    """The near end of a template, a child of this process: asks it for forks. Any thread may."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.pid = pid
        self._connection = connection
        self._lock = threading.Lock()

    def fork(
        self,
        target: str,
        *arguments: str,
        fds: Mapping[int, int],
        env: Mapping[str, str],
        own_group: bool = False,
    ) -> ForkedProcess:
        """Run ``package.module:function(*arguments)``; ``fds``: number there to number here."""
        order = {
            "fork": target,
            "arguments": arguments,
            "fds": list(fds),
            "env": dict(env),
            "cwd": str(Path.cwd()),
            "own_group": own_group,
        }
        return ForkedProcess(self, self.ask(order, list(fds.values()))["pid"])

    def close(self) -> None:
        """End it; its forks go on."""
        self._connection.close()
        os.waitpid(self.pid, 0)

    def ask(self, order: Mapping[str, object], fds: Sequence[int] = ()) -> Any:
        """Send one order and return what is answered."""
        with self._lock:
            socket.send_fds(self._connection, [json.dumps(order).encode()], list(fds))
            answer = self._connection.recv(MESSAGE_BYTES)
        assert answer, "the template has ended"
        return json.loads(answer)


@functools.cache
def template(*modules: str) -> Template:
    """The template of this process that has imported ``modules``; started when first asked for."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with far:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked", str(far.fileno()), *modules],
            pass_fds=[far.fileno()],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    found = Template(near, process.pid)
    atexit.register(found.close)
    found.ask({})  # it answers when it has imported them
    return found


# --- what is forked ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of a command, as of ``subprocess.run``."""

    returncode: int
    stdout: str
    stderr: str


def forked_commands(folder: Path, commands: Sequence[Sequence[str]]) -> list[Ended]:
    """Run ``pitwatch`` with the arguments of each of ``commands``, one after the other."""
    ended = []
    for i, arguments in enumerate(commands):
        paths = [folder / f"{i}.{name}" for name in ("out", "err")]
        with paths[0].open("wb") as out, paths[1].open("wb") as err:
            process = fork_pitwatch(arguments, out.fileno(), err.fileno())
        try:
            code = process.wait(EACH_S)
        finally:
            process.kill()
        ended.append(Ended(code, *(path.read_text() for path in paths)))
    return ended


def fork_pitwatch(arguments: Sequence[str], out: int, err: int) -> ForkedProcess:
    """Run ``pitwatch`` with ``arguments``, its output in these descriptors."""
    with Path(os.devnull).open("rb") as nothing:
        return template(*WHOLE_AGENT).fork(
            "tests.support.forked:pitwatch",
            *arguments,
            fds={0: nothing.fileno(), 1: out, 2: err},
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def pitwatch(*arguments: str) -> None:
    """In the fork: the command, whose own children are forks of what it was itself."""
    from agent.cli import main

    sys.argv = ["pitwatch", *arguments]
    source = _template_of_its_own()
    try:
        with forked_children(source):
            main()
    finally:
        source.close()


def bootstrapped(control_fd: str) -> None:
    """In the fork: what ``python -m agent.supervision.bootstrap`` does. The life of the child is
    tied to that of the template, which is tied to whoever asked for it."""
    from agent.supervision import bootstrap

    sys.path[:] = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["bootstrap", control_fd, str(os.getppid())]
    bootstrap.main()


@contextmanager
def forked_children(source: Template) -> Iterator[None]:
    """Within it, ``agent.supervision.child.spawn`` forks ``source``."""

    def forked(
        command: Sequence[str],
        *,
        stdin: int,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int],
        process_group: int,
        env: Mapping[str, str],
    ) -> ForkedProcess:
        *_, module, control_fd, _parent = command
        assert (module, process_group) == ("agent.supervision.bootstrap", 0)
        with Path(os.devnull).open("rb") as nothing:
            fds = {0: nothing.fileno(), 1: stdout, 2: stderr, **{fd: fd for fd in pass_fds}}
            target = "tests.support.forked:bootstrapped"
            return source.fork(target, control_fd, fds=fds, env=env, own_group=True)

    before = child.subprocess
    instead = SimpleNamespace(**{**vars(before), "Popen": forked})
    setattr(child, "subprocess", instead)  # noqa: B010 - mypy knows it as a module
    try:
        yield
    finally:
        setattr(child, "subprocess", before)  # noqa: B010


# --- the template --------------------------------------------------------------------------------


def _template_of_its_own() -> Template:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine = os.getpid()
    pid = os.fork()
    if pid == 0:
        near.close()
        die_with_parent(mine)
        _serve(far)
    far.close()
    return Template(near, pid)


def _serve(connection: socket.socket) -> NoReturn:
    """Answer orders, one after the other, until the other end is closed."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, TEMPLATE_NAME.encode(), 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: whoever started it has it too
    gc.collect()
    gc.freeze()  # or the first collection of every fork would copy all of it
    while True:
        data, fds, _, _ = socket.recv_fds(connection, MESSAGE_BYTES, 32)
        if not data:
            os._exit(0)
        order = json.loads(data)
        answer = {}
        if "fork" in order:
            answer["pid"] = _fork(order, fds)
        elif "reap" in order:
            answer["status"] = os.waitpid(order["reap"], 0)[1]
        connection.send(json.dumps(answer).encode())


def _fork(order: Mapping[str, Any], fds: Sequence[int]) -> int:
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork would have what they held locked"
    pid = os.fork()
    if pid == 0:
        _become(order, fds)
    if order["own_group"]:
        with suppress(ProcessLookupError):  # it has ended already
            os.setpgid(pid, pid)  # as the fork does: whichever comes first
    for fd in fds:
        os.close(fd)
    return pid


def _become(order: Mapping[str, Any], fds: Sequence[int]) -> NoReturn:
    """In the fork: exactly the descriptors that were ordered, then the target."""
    code = 1
    try:
        if order["own_group"]:
            os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ctypes.CDLL(None).prctl(PR_SET_NAME, b"python", 0, 0, 0)
        spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_SPARE_FD) for fd in fds]
        os.closerange(0, FIRST_SPARE_FD)
        for fd, number in zip(spare, order["fds"], strict=True):
            os.dup2(fd, number)
        os.closerange(FIRST_SPARE_FD, FIRST_SPARE_FD + len(spare))
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        time.tzset()
        resolve_name(order["fork"])(*order["arguments"])
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the top of the process
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
