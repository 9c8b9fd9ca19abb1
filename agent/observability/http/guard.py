"""What stands before the routes: who asks, whether it may, and a count of every request."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent import config
from agent.observability.http.access import (
    ACTIONS,
    OPEN_PATHS,
    Access,
    Denied,
    RequestFacts,
)
from agent.observability.http.forwarded import TrustedProxies
from agent.observability.http.limits import GUESSES, GUESSES_PER_S, AddressBuckets
from agent.observability.http.refusals import RefusalLog
from agent.observability.http.responses import REASON, refusal
from agent.observability.http.rpc import AgentClient
from agent.telemetry import Clock

HEADERS = {
    401: {"WWW-Authenticate": 'Basic realm="Pitwatch"'},
    429: {"Retry-After": "5"},
}
QUIET_401 = {"WWW-Authenticate": 'Bearer realm="Pitwatch"'}
"""For the page's own requests: at ``Basic`` the browser would ask for a password once a second."""
PAGE = "x-pitwatch-page"


class RequestCounter:
    """Counts every request by route template and status, never by what the client sent; one that
    was refused is logged with its peer."""

    def __init__(
        self, app: ASGIApp, routes: Sequence[Route], agent: AgentClient, refusals: RefusalLog
    ) -> None:
        self._app = app
        self._agent = agent
        self._refusals = refusals
        self._templates: dict[object, str] = {route.endpoint: route.path for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = self._templates.get(scope.get("endpoint"), "unmatched")
            self._agent.count("http_requests", route=route, status=str(status))
            if 400 <= status < 500:
                self._refusals.tell(peer_of(scope), status, scope.get(REASON, ""), scope["path"])


class ProxyHeaders:
    """Puts the client in the place of the proxy that it asked through, where that one is trusted;
    nobody else's word about addresses counts."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope["client"][0] if scope.get("client") else ""
        origin = self._trusted.origin(
            peer, _all(scope, b"x-forwarded-for"), _all(scope, b"x-forwarded-proto")
        )
        if origin.address != peer:
            scope["client"], scope["proxy"] = (origin.address, 0), peer
        scope["scheme"] = origin.scheme or scope["scheme"]
        await self._app(scope, receive, send)


class Guard:
    """Lets a request through, or answers why not.

    One that floods, or guesses tokens, is answered 429. Who shows what opens what it asks for is
    never refused for what others of the same address do: behind a router all of a plant have one.
    """

    def __init__(
        self, app: ASGIApp, access: Access, limits: config.HttpLimits, mono: Clock
    ) -> None:
        self._app = app
        self._access = access
        self._mono = mono
        self._buckets = AddressBuckets(limits.requests_per_s, limits.burst)
        self._guesses = AddressBuckets(GUESSES_PER_S, GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, mono, now = _facts(scope), self._mono(), time.time()
        free = request.path in OPEN_PATHS or self._access.proven(request, now)
        denied = self._access.denied(request, now)
        if not free and not self._buckets.take(request.address, mono):
            denied = Denied(429, "too many requests from this address")
        elif denied is not None and denied.guess and not self._guesses.take(request.address, mono):
            denied = Denied(429, "too many wrong tokens from this address")
        app: ASGIApp = self._app
        if denied is not None:
            scope[REASON] = denied.reason
            headers = HEADERS.get(denied.status)
            asks_itself = PAGE in request.headers or request.path.startswith(ACTIONS)
            if denied.status == 401 and asks_itself:
                headers = QUIET_401
            app = refusal(denied.status, denied.reason, headers)
        await app(scope, receive, send)


def peer_of(scope: Scope) -> str:
    """The client's address, and the proxy's that it asked through."""
    client = scope["client"][0] if scope.get("client") else ""
    return f"{client} via {scope['proxy']}" if "proxy" in scope else client


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _facts(scope: Scope) -> RequestFacts:
    client, own = scope.get("client"), scope.get("server")
    return RequestFacts(
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        address=client[0] if client else "",
        headers={name.decode("latin-1"): value.decode("latin-1")
                 for name, value in scope["headers"]},
        certified=bool(scope.get("state", {}).get("certified")),
        own_address=own[0] if own else "",
    )  # fmt: skip
