"""What uvicorn's server and its HTTP/1.1 protocol lack against slow clients.

uvicorn ends an idle keep-alive connection, but waits without end for a request that never comes in
full, or for a client that does not read. Here every exchange has one time limit, and beyond a
number of connections the one that has waited longest makes room, so that a probe always gets in:
with uvicorn's own limits alone, six of the fourteen tests of bad clients fail.
The protocol sees a connection over TLS only after the handshake; that has a limit of its own.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from pydantic_core import to_json
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.observability.http.connection import BadRequestError, StrictConnection
from agent.observability.http.refusals import RefusalLog

EXCHANGE_LIMIT_S = 10.0
"""From the connection (or the end of the last response) to the end of the next response."""


HANDSHAKE_LIMIT_S = 5.0
"""For the TLS handshake, and for the client's part of closing; asyncio gives a minute to one and
half a minute to the other."""


class BoundedLoop(asyncio.SelectorEventLoop):
    """Sets the limits of TLS, which uvicorn has no option for, on every server that it makes."""

    async def create_server(self, *args: Any, **kwargs: Any) -> asyncio.Server:
        """As ``asyncio`` has it."""
        if kwargs.get("ssl") is not None:
            kwargs.setdefault("ssl_handshake_timeout", HANDSHAKE_LIMIT_S)
            kwargs.setdefault("ssl_shutdown_timeout", HANDSHAKE_LIMIT_S)
        return await super().create_server(*args, **kwargs)


class BoundedProtocol(H11Protocol):
    """One connection that cannot stay longer than its exchanges take, and takes only requests that
    everyone reads alike."""

    connections_max: int
    header_limit_bytes: int
    refusals: RefusalLog

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(self.header_limit_bytes)
        self.waiting_since = 0.0
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; make room for it when there are too many."""
        super().connection_made(transport)
        self._rearm()
        # Over TLS: what was shown has been checked against our authority before this call.
        self.app_state = {
            **self.app_state, "certified": bool(transport.get_extra_info("peercert")),
        }  # fmt: skip
        others = [c for c in self.connections if isinstance(c, BoundedProtocol) and c is not self]
        if len(others) >= self.connections_max:
            loser = min(others, key=_first_to_go)
            self.connections.discard(loser)  # now: many may be accepted in one turn of the loop
            loser.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take what has come; whatever is no request is answered, logged with its peer, and ends
        the connection: nobody knows where a next request would begin."""
        try:
            super().handle_events()
        except BadRequestError as error:
            self._refuse(error)

    def _refuse(self, error: BadRequestError) -> None:
        if self.cycle is not None:  # the body of a request that is being answered
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.refusals.tell(str(self.client[0]) if self.client else "", error.status, str(error))
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = to_json({"error": str(error)})
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            phrase = HTTPStatus(error.status).phrase
            parts: list[h11.Event] = [
                h11.Response(status_code=error.status, headers=headers, reason=phrase),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            self.transport.write(b"".join(self.conn.send(part) or b"" for part in parts))
        self.transport.close()

    def on_response_complete(self) -> None:
        """Begin the time limit of the next exchange."""
        super().on_response_complete()
        self._rearm()

    def in_exchange(self) -> bool:
        """Return whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _rearm(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        if self.transport.is_closing():
            return
        self.waiting_since = self.loop.time()
        self._limit = self.loop.call_later(EXCHANGE_LIMIT_S, self.transport.abort)


def _first_to_go(connection: BoundedProtocol) -> tuple[bool, float]:
    return connection.in_exchange(), connection.waiting_since


def bounded_protocol(connections: int, header_bytes: int, log: RefusalLog) -> type[BoundedProtocol]:
    """Return the protocol of a server that holds so many connections; uvicorn wants a class."""

    class Protocol(BoundedProtocol):
        connections_max = connections
        header_limit_bytes = header_bytes
        refusals = log

    return Protocol
