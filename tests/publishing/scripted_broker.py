"""A broker of a few bytes: says to each connection what its script says, for what no real broker
can be made to do on request."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

CONNACK_V5 = bytes([0x20, 3, 0, 0, 0])
CONNACK_V311 = bytes([0x20, 2, 0, 0])
CONNACK_UNSUPPORTED = bytes([0x20, 2, 0, 1])
"""What a broker of MQTT 3.1.1 answers to a CONNECT of MQTT 5."""

DISCONNECT_TAKEN_OVER = bytes([0xE0, 2, 142, 0])
Script = Callable[[int, bytes, socket.socket], None]


def protocol_of(connect: bytes) -> int:
    """Return the protocol level of a CONNECT packet."""
    return connect[connect.index(b"MQTT") + 4]


class ScriptedBroker:
    """Accepts connections; ``script(index, connect packet, socket)`` runs for each, then it is
    closed unless ``hold`` is set."""

    def __init__(self, script: Script, *, hold: bool = False) -> None:
        self._script = script
        self._hold = hold
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.connects: list[bytes] = []
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            with contextlib.suppress(OSError):
                connect = connection.recv(65536)
                if not connect:
                    continue
                self.connects.append(connect)
                self._script(len(self.connects) - 1, self.connects[-1], connection)
            if self._hold:
                self._held.append(connection)
            else:
                connection.close()

    def __enter__(self) -> ScriptedBroker:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._listener.close()
        with contextlib.suppress(OSError):  # wakes an accept that would not notice the close
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        for connection in self._held:
            connection.close()
