"""What was before: small, cacheable, asked for by each page once a minute."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.observability.http.negotiation import takes_gzip
from agent.observability.http.page.in_time import in_time
from agent.observability.http.responses import Refused
from agent.observability.http.rpc import AgentClient

GZIP_LEVEL = 4


class HistoryRoutes:
    """The last hours of a lane, and the newest alarms. Pages that ask at once share one answer."""

    def __init__(self, agent: AgentClient, lanes: Collection[str]) -> None:
        self._agent = agent
        self._lanes = lanes
        self._calls: dict[tuple[object, ...], asyncio.Future[Any]] = {}

    def table(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/v1/history/{camera}", self.history),
            Route("/api/v1/alarms", self.alarms),
        ]

    async def history(self, request: Request) -> Response:
        """The last 8 hours of a lane, a minute a row, as columns."""
        camera = str(request.path_params["camera"])
        if camera not in self._lanes:
            raise Refused(404, f"no camera is called {camera[:40]!r}")
        return _tagged(request, await in_time(self._together("history", camera)))

    async def alarms(self, request: Request) -> Response:
        """The newest 50 occurrences of alarms, those that are over included."""
        return _tagged(request, await in_time(self._together("past_alarms")))

    async def _together(self, *call: str) -> bytes:
        going = self._calls.get(call)
        if going is None or going.done():
            going = self._calls[call] = asyncio.ensure_future(self._agent.call(*call))
        data: bytes = await asyncio.shield(going)
        return data


def _tagged(request: Request, data: bytes) -> Response:
    """Return JSON that a client asks for again by its tag; 304 when it has that already."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    if takes_gzip(",".join(request.headers.getlist("accept-encoding"))):
        data = gzip.compress(data, GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(data, media_type="application/json", headers=headers)
