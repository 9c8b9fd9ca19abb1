"""What stands before the routes: who may ask, and a count of every request."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent import config
from agent.observability.http.access import OPEN_PATHS, Access, RequestFacts
from agent.observability.http.limits import GUESSES, GUESSES_PER_S, AddressBuckets
from agent.observability.http.responses import refusal
from agent.observability.http.rpc import AgentClient
from agent.telemetry import Clock


class RequestCounter:
    """Counts every request by route template and status, never by what the client sent."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route], agent: AgentClient) -> None:
        self._app = app
        self._agent = agent
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


class Guard:
    """Lets a request through, or answers why not; one that guesses or floods is answered 429."""

    def __init__(
        self, app: ASGIApp, access: Access, limits: config.HttpLimits, mono: Clock
    ) -> None:
        self._app = app
        self._access = access
        self._mono = mono
        self._buckets = AddressBuckets(limits.requests_per_s, limits.burst)
        self._guesses = AddressBuckets(GUESSES_PER_S, GUESSES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, mono = _facts(scope), self._mono()
        app: ASGIApp = self._app
        if request.path not in OPEN_PATHS and not self._may_ask(request.address, mono):
            app = refusal(429, "too many requests from this address", {"Retry-After": "5"})
        elif denied := self._access.denied(request, time.time()):
            if denied.guess:
                self._guesses.take(request.address, mono)
            challenge = (
                {"WWW-Authenticate": 'Basic realm="Pitwatch"'} if denied.status == 401 else {}
            )
            app = refusal(denied.status, denied.reason, challenge)
        await app(scope, receive, send)

    def _may_ask(self, address: str, mono: float) -> bool:
        return self._guesses.left(address, mono) >= 1.0 and self._buckets.take(address, mono)


def _facts(scope: Scope) -> RequestFacts:
    client = scope.get("client")
    return RequestFacts(
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        address=client[0] if client else "",
        headers={name.decode("latin-1"): value.decode("latin-1")
                 for name, value in scope["headers"]},
        certified=bool(scope.get("state", {}).get("certified")),
    )  # fmt: skip
