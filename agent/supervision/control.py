"""Words between the running agent and a command on the same computer, by a socket in a folder.

The folder is the agent's own ``state_dir``, and the socket's mode 0600: who may connect is decided
by the permissions of files, and who did is known from the kernel (SO_PEERCRED, unix(7)). One
request, a JSON object with its ``command``, and one answer, on a line each.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import pwd
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

NAME = "control.sock"
REQUEST_LIMIT_BYTES = 64 * 1024
ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
REQUEST_WITHIN_S = 2.0
CONNECT_WITHIN_S = 5.0
AT_A_TIME = 4
"""Requests under way; more are told to come again."""

Answer = Mapping[str, object]
Handler = Callable[[Mapping[str, Any], str], Answer]
"""Carries out one request; beside it, who asks: ``uid 1000 (name)``."""


class ControlError(Exception):
    """No agent answers at this folder, or not as one does; the text says why."""


class ControlServer:
    """Answers requests by the handlers of their commands, each in a thread of its own.

    ``OSError`` where the folder takes no socket. The agent's lock on the folder keeps others away,
    so a socket that is there was left by one that was killed.
    """

    def __init__(self, folder: Path, handlers: Mapping[str, Handler]) -> None:
        self._folder = folder
        self._handlers = dict(handlers)
        self._room = threading.BoundedSemaphore(AT_A_TIME)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with _short(folder) as place:
                Path(place).unlink(missing_ok=True)
                self._socket.bind(place)
                Path(place).chmod(0o600)
            self._socket.listen(AT_A_TIME)
        except OSError:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; does not wait for those under way."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # ends accept()
        self._socket.close()
        with contextlib.suppress(OSError), _short(self._folder) as place:
            Path(place).unlink()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED):
                    threading.Event().wait(0.5)
                    continue
                return
            threading.Thread(
                target=self._serve, args=(connection,), name="control-call", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(REQUEST_WITHIN_S)
            if not self._room.acquire(blocking=False):
                _send(connection, {"error": "other requests are under way; try again"})
                return
            try:
                _send(connection, self._answer(connection))
            finally:
                self._room.release()

    def _answer(self, connection: socket.socket) -> Answer:
        try:
            request = json.loads(_line(connection, REQUEST_LIMIT_BYTES))
            handler = self._handlers[request["command"]]
        except (ValueError, TypeError, RecursionError):
            return {"error": "this is no request"}
        except KeyError:
            return {"error": f"no such command; there are: {', '.join(sorted(self._handlers))}"}
        try:
            return handler(request, peer_of(connection))
        except Exception as error:  # the top of the thread: whoever asked must not wait for ever
            logger.exception("control_failed", extra={"fields": {"command": request["command"]}})
            return {"error": f"{type(error).__name__}: {error}"}


def ask(folder: Path, request: Mapping[str, object], timeout_s: float) -> dict[str, Any]:
    """Return the answer of the agent whose ``state_dir`` this is. ``ControlError``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.settimeout(CONNECT_WITHIN_S)
            with _short(folder) as place:
                connection.connect(place)
            connection.settimeout(timeout_s)
            _send(connection, request)
            found = json.loads(_line(connection, ANSWER_LIMIT_BYTES))
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise ControlError(f"no agent runs with state_dir {folder}") from error
        except TimeoutError as error:
            raise ControlError(f"the agent has not answered within {timeout_s:g} s") from error
        except PermissionError as error:
            raise ControlError(
                f"{folder / NAME}: {error.strerror}; ask as the agent's own user, or as root"
            ) from error
        except (OSError, ValueError) as error:
            raise ControlError(f"the agent gave no answer: {error}") from error
    if not isinstance(found, dict):
        raise ControlError("the agent gave no answer")
    return found


def peer_of(connection: socket.socket) -> str:
    """Return who is at the other end, as the kernel knows it."""
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    try:
        return f"uid {uid} ({pwd.getpwuid(uid).pw_name})"
    except KeyError:
        return f"uid {uid}"


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's name by a descriptor of its folder: an address holds 107 bytes, a path more."""
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def _line(connection: socket.socket, limit_bytes: int) -> bytes:
    """``ValueError`` for a line that is too long or ends too early."""
    found = bytearray()
    while not found.endswith(b"\n"):
        part = connection.recv(min(65536, limit_bytes - len(found) + 1))
        if not part:
            raise ValueError("it hung up")
        found += part
        if len(found) > limit_bytes:
            raise ValueError("too long")
    return bytes(found)


def _send(connection: socket.socket, message: Mapping[str, object]) -> None:
    connection.sendall(json.dumps(message, ensure_ascii=False).encode() + b"\n")
