"""What stands before the routes: who may ask, and a count of every request."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.observability.http_answers import refusal
from agent.telemetry import Telemetry

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
"""Reachable from other machines too; everything else is for this one."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Counted:
    """Counts every request by route template and status, never by what the client sent."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route], telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry
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
            self._telemetry.count("http_requests", route=route, status=str(status))


class Guard:
    """Keeps strangers out: all but the probes and metrics are for this machine only.

    On loopback the ``Host`` must be a name of it (or of ``public_url``): without that, any web page
    could reach the agent through a name that its owner points at 127.0.0.1.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool, public_url: str | None) -> None:
        self._app = app
        self._loopback = loopback
        public = urlsplit(public_url or "").hostname
        self._names = LOOPBACK_NAMES | ({public} if public else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["path"] not in OPEN_PATHS:
            if not self._loopback:
                app = refusal(403, "only /livez, /readyz and /metrics are served off this machine")
            elif _host(scope) not in self._names:
                app = refusal(403, "the Host header does not name this machine")
        await app(scope, receive, send)


def _host(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"host":
            try:
                return urlsplit(f"//{value.decode('latin-1')}").hostname or ""
            except ValueError:
                return ""
    return ""
