"""What uvicorn's server and its HTTP/1.1 protocol lack against slow clients.

uvicorn ends an idle keep-alive connection, but waits without end for a request that never comes in
full, or for a client that does not read. Here every exchange has one time limit, and beyond a
number of connections the one that has waited longest makes room, so that a probe always gets in:
with uvicorn's own limits alone, six of the fourteen tests of bad clients fail.
The protocol sees a connection over TLS only after the handshake; that has a limit of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

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
    """One connection that cannot stay longer than its exchanges take."""

    connections_max: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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


def bounded_protocol(limit: int) -> type[BoundedProtocol]:
    """Return the protocol of a server that holds ``limit`` connections; uvicorn wants a class."""

    class Protocol(BoundedProtocol):
        connections_max = limit

    return Protocol
