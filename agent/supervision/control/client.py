"""Asks the running agent. Imports nothing heavy: commands of a terminal use it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path

from agent.supervision.control.address import short_address
from agent.supervision.control.protocol import (
    ANSWER_LIMIT_BYTES,
    SOCKET,
    ControlError,
    NotRunningError,
    Request,
    decode_answer,
    encode_request,
)

CHUNK_BYTES = 65536


def ask(
    state_dir: Path,
    command: str,
    arguments: Mapping[str, object] | None = None,
    timeout_s: float = 30.0,
) -> dict[str, object]:
    """Ask the agent whose ``state_dir`` this is, and return its result.

    ``NotRunningError`` where nobody listens; ``RefusedError`` with the agent's own words;
    ``ControlError`` for everything else: no permission, no answer within ``timeout_s``, one that
    cannot be read.
    """
    request = encode_request(Request(command, arguments or {}))
    deadline = time.monotonic() + timeout_s
    path = state_dir / SOCKET
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(timeout_s)
        try:
            with short_address(state_dir, SOCKET) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NotRunningError(f"{path}: no agent runs with this state_dir") from error
        except PermissionError as error:
            raise ControlError(f"{path}: only the agent's own user and root may ask it") from error
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
        try:
            connection.sendall(request)
            line = _line(connection, deadline)
        except TimeoutError as error:
            raise ControlError(f"{path}: no answer to {command} in {timeout_s:g} s") from error
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
    if not line.endswith(b"\n"):
        raise ControlError(f"{path}: the agent ended without an answer to {command}")
    return decode_answer(line)


def _line(connection: socket.socket, deadline: float) -> bytes:
    """Up to the first newline or the end. ``TimeoutError`` at the deadline, however slowly it
    comes."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) <= ANSWER_LIMIT_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(CHUNK_BYTES)
        if not chunk:
            break
        line += chunk
    return bytes(line)
