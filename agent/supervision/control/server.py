"""The agent's end of the control socket: a thread that listens, and one for each who asks."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.supervision.control.address import short_address
from agent.supervision.control.protocol import (
    REQUEST_LIMIT_BYTES,
    SOCKET,
    ControlError,
    Peer,
    RefusedError,
    decode_request,
    encode_error,
    encode_result,
)
from agent.supervision.waker import Waker
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, object], Peer], Mapping[str, object]]
"""Takes the arguments and who asks; returns JSON values. ``RefusedError`` is told word for word.
Runs in a thread of its own and may take its time."""

ASKING_MAX = 8
LOOK_S = 5.0
"""Between two looks at whether the socket still lies where it should; a cleaner may take it."""
TALK_S = 5.0
"""What who asks has to send its line, and to take the answer."""
UNKNOWN = "unknown"


class ControlServer:
    """Answers ``handlers`` by command, in ``folder``; None: there is no folder, and nobody asks.

    What the folder refuses costs the control socket alone: it is logged, and tried again.
    """

    def __init__(
        self, folder: Path | None, handlers: Mapping[str, Handler], telemetry: Telemetry
    ) -> None:
        self._folder = folder
        self._handlers = dict(handlers)
        self._telemetry = telemetry
        self._waker = Waker()
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._inode = 0
        self._refused = ""
        self._asking = threading.BoundedSemaphore(ASKING_MAX)
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Listen from now on; does not wait for the folder's disk."""
        if self._folder is not None:
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Take no more; who is being answered is not waited for."""
        self._stopping.set()
        self._waker.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        assert self._folder is not None
        while not self._stopping.is_set():
            try:
                self._keep(self._folder)
                self._told("")
            except OSError as error:
                self._told(str(error.strerror or error))
            listener = self._listener
            self._waker.wait(LOOK_S, listener.fileno() if listener else None)
            if listener is not None and not self._stopping.is_set():
                self._take(listener)
        self._close(self._folder)

    def _told(self, refused: str) -> None:
        if refused != self._refused:
            self._refused = refused
            level = logging.WARNING if refused else logging.INFO
            event = "control_refused" if refused else "control_back"
            log_event(logger, level, event, folder=str(self._folder), reason=refused)

    def _keep(self, folder: Path) -> None:
        """Listen where nobody does. ``OSError`` for what the folder refuses."""
        if self._listener is not None:
            with contextlib.suppress(FileNotFoundError):
                if (folder / SOCKET).stat().st_ino == self._inode:
                    return
            self._listener.close()
            self._listener = None
        self._listener = self._listen(folder)

    def _listen(self, folder: Path) -> socket.socket:
        """Bound under a name of its own, closed to others, and only then put in its place: so there
        is no moment at which another user could connect."""
        part = f"{SOCKET}.{os.getpid()}"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with short_address(folder, SOCKET) as address:
                _refuse_second(address)
            (folder / part).unlink(missing_ok=True)
            with short_address(folder, part) as address:
                listener.bind(address)
            (folder / part).chmod(0o600)
            listener.listen(ASKING_MAX)
            listener.setblocking(False)
            self._inode = (folder / part).stat().st_ino
            (folder / part).replace(folder / SOCKET)
        except BaseException:
            listener.close()
            raise
        return listener

    def _close(self, folder: Path) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            if (folder / SOCKET).stat().st_ino == self._inode:
                (folder / SOCKET).unlink()
        self._listener.close()
        self._listener = None

    def _take(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # nobody there any more, or no descriptor left: the next one is tried
            return
        if not self._asking.acquire(blocking=False):
            self._telemetry.count("control_requests", command=UNKNOWN, result="busy")
            connection.close()
            return
        threading.Thread(
            target=self._answer, args=(connection,), name="control-answer", daemon=True
        ).start()

    def _answer(self, connection: socket.socket) -> None:
        command, result = UNKNOWN, "failed"
        try:
            with connection:
                connection.settimeout(TALK_S)
                command, result, answer = self._work(connection)
                connection.settimeout(TALK_S)
                connection.sendall(answer)
        except OSError as error:  # who asked has gone, or does not read
            log_event(logger, logging.INFO, "control_unheard", command=command, error=str(error))
        finally:
            self._asking.release()
            self._telemetry.count("control_requests", command=command, result=result)

    def _work(self, connection: socket.socket) -> tuple[str, str, bytes]:
        """Command and result as they are counted, and the answer. ``OSError`` of the socket."""
        peer = peer_of(connection)
        if peer.uid not in (os.geteuid(), 0):
            log_event(logger, logging.WARNING, "control_denied", uid=peer.uid, pid=peer.pid)
            return UNKNOWN, "denied", encode_error("only the agent's own user and root may ask it")
        try:
            request = decode_request(_read_line(connection))
        except ControlError as error:
            return UNKNOWN, "invalid", encode_error(str(error))
        handler = self._handlers.get(request.command)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            words = f"{request.command[:40]!r} is no command of this agent; it knows {known}"
            return UNKNOWN, "invalid", encode_error(words)
        try:
            return request.command, "done", encode_result(handler(request.arguments, peer))
        except RefusedError as error:
            return request.command, "refused", encode_error(str(error))
        except Exception:  # a defect of one handler costs one answer
            logger.exception("control_failed")
            return request.command, "failed", encode_error("failed; the agent's log says how")


def peer_of(connection: socket.socket) -> Peer:
    """Who is at the other end (unix(7), SO_PEERCRED)."""
    size = struct.calcsize("3i")
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, _gid = struct.unpack("3i", found)
    return Peer(uid=uid, pid=pid)


def _refuse_second(address: str) -> None:
    """``OSError`` where another process answers at ``address``; a dead one's socket refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            return
    raise OSError(f"another agent answers at {SOCKET}")


def _read_line(connection: socket.socket) -> bytes:
    """One request. ``ControlError`` for one that is cut short, ``OSError`` of the socket."""
    line, deadline = bytearray(), time.monotonic() + TALK_S
    while not line.endswith(b"\n") and len(line) <= REQUEST_LIMIT_BYTES:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        chunk = connection.recv(REQUEST_LIMIT_BYTES)
        if not chunk:
            raise ControlError("the request ends before its line does")
        line += chunk
    return bytes(line)
