"""The child's end of the control socket."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from agent.supervision.framing import Decoder, encode

INBOX_MESSAGES = 1024
READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message to a child: what it is to run."""

    name: str
    target: str
    args: object
    fds: Mapping[str, int]
    priority: str


class Control(Enum):
    """Messages of the supervision itself, beside those of its users."""

    STOP = "stop"


class Channel:
    """How a child talks to its parent.

    A thread reads the socket at all times, so that the end of the parent (end of file) ends the
    child at once, whatever its main thread does. A full inbox makes that thread wait: the parent's
    outbox has the cap and the error.
    """

    def __init__(self, control: socket.socket) -> None:
        self._socket = control
        self._inbox: queue.Queue[object] = queue.Queue(INBOX_MESSAGES)
        self._sending = threading.Lock()
        self.stopping = threading.Event()
        """Set when the parent wishes an orderly end; the target should return soon."""
        threading.Thread(target=self._watch, name="control", daemon=True).start()

    def send(self, message: object) -> None:
        """Send a picklable message; waits while the parent's side is full. Any thread may call."""
        data = encode(message)
        with self._sending:
            self._socket.sendall(data)

    def has_room(self) -> bool:
        """Whether a small message would be taken at once; without it the parent does not read."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(0))

    def receive(self, timeout_s: float) -> object | None:
        """Return the next message, or None when none came in time."""
        try:
            return self._inbox.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def _watch(self) -> None:
        decoder = Decoder()
        try:
            while data := self._socket.recv(READ_BYTES):
                for message in decoder.feed(data):
                    if message is Control.STOP:
                        self.stopping.set()
                    else:
                        self._inbox.put(message)
        except OSError:
            pass
        # No clean exit: nobody would read its output, and handlers at exit may hang in native code.
        os._exit(0)
