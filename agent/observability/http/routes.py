"""The routes. Nothing of a request ever names a file: pictures come from memory by known names, or
from the database by the id of an event."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from agent import config
from agent.machine import MESSAGE_LIMIT_BYTES, MachineMessageError, parse_machine
from agent.observability.health import Verdict, livez, readyz
from agent.observability.http.access import Access
from agent.observability.http.forwarded import TrustedProxies
from agent.observability.http.guard import Guard, ProxyHeaders, RequestCounter
from agent.observability.http.negotiation import takes_gzip, takes_openmetrics
from agent.observability.http.page.actions import ActionRoutes
from agent.observability.http.page.history import HistoryRoutes
from agent.observability.http.page.in_time import in_time
from agent.observability.http.picture_cache import PictureCache
from agent.observability.http.refusals import RefusalLog
from agent.observability.http.responses import (
    Refused,
    json_response,
    on_disconnect,
    on_failure,
    on_http_exception,
    picture_response,
    read_json_body,
    verdict_response,
)
from agent.observability.http.rpc import AgentClient, AgentFailed, AgentUnavailable, Health
from agent.observability.page.document import load_page
from agent.observability.page.words import Words
from agent.observability.pictures import SIDE_MAX_PX, SMALL_PX, Picture, map_scale
from agent.telemetry import Clock, wall_clock_ms

NAME_MAX = 200
"""Longest class or event that is looked for: what is longer is none."""
PROBE_LIMIT_S = 2.0
SILENT = Verdict((f"the agent has not answered within {PROBE_LIMIT_S:g} s",))
STATUS_FRESH_S = 0.5
"""Pages ask once a second: an only one has it fresh, many together cost little more than two."""
GZIP_LEVEL = 4
"""A fifth of the size for a few milliseconds; the highest level saves a tenth of that more."""
IMAGE_SUFFIX = re.compile(r"\.(jpg|jpeg|png|webp)$")

OfClass = Callable[[str, str, str], Awaitable[Picture | None]]


class Routes:
    """The endpoints. What takes a while runs in ``executor``: a probe never waits for it."""

    def __init__(
        self,
        agent: AgentClient,
        lanes: Collection[str],
        loop_limit_s: float,
        executor: Executor,
        clock: Clock,
        words: Words,
    ) -> None:
        self._agent = agent
        self._lanes = frozenset(lanes)
        self._loop_limit_s = loop_limit_s
        self._clock = clock
        self._pictures = PictureCache(agent, executor)
        self._status: tuple[float, bytes] | None = None
        self._status_lock = asyncio.Lock()
        self._acted_mono = -math.inf
        self._calls: dict[tuple[object, ...], asyncio.Future[Any]] = {}
        self._page, self._page_policy = load_page(words, map_scale())

    def table(self) -> list[Route]:
        """Return every route; the paths are the templates that ``http_requests`` is labelled by."""
        return [
            Route("/", self.page),
            Route("/livez", self.livez),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/v1/status", self.status),
            Route("/api/v1/descriptions", self.descriptions),
            Route("/api/v1/frame/{camera}.jpg", self.frame),
            Route("/api/v1/cam/{camera}/{class}", self.cam),
            Route("/api/v1/cam/{camera}/{class}/map", self.heat_map),
            Route("/api/v1/cam/{camera}/{class}/mean", self.mean_map),
            Route("/api/v1/evidence/{event}", self.evidence),
            Route("/machine", self.machine, methods=["POST"]),
            *ActionRoutes(self._agent, self._forget_status).table(),
            *HistoryRoutes(self._agent, self._lanes).table(),
        ]

    async def page(self, request: Request) -> Response:
        """The page for people."""
        headers = {"Content-Security-Policy": self._page_policy, "Cache-Control": "no-cache"}
        return Response(self._page, media_type="text/html", headers=headers)

    async def livez(self, request: Request) -> Response:
        """200 while every loop moves, 503 with the names of those that do not."""
        health = await self._health()
        if health is None:
            return verdict_response(SILENT, {"loop_age_s": {}})
        ages_s = {loop: round(age_s, 3) for loop, age_s in health.loop_ages_s.items()}
        return verdict_response(livez(ages_s, self._loop_limit_s), {"loop_age_s": ages_s})

    async def readyz(self, request: Request) -> Response:
        """200 while fruit can be read, 503 with every reason why not."""
        health = await self._health()
        return verdict_response(SILENT if health is None else readyz(health.sources), {})

    async def metrics(self, request: Request) -> Response:
        """The registry as OpenMetrics or plain text; here and now, for a hung view must not hide
        the numbers that show it."""
        self._agent.flush()
        openmetrics = takes_openmetrics(_joined(request, "accept"))
        text, content_type = await in_time(self._together("metrics", openmetrics))
        headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if takes_gzip(_joined(request, "accept-encoding")):
            text = gzip.compress(text, GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return Response(text, headers=headers)

    async def status(self, request: Request) -> Response:
        """The snapshot as JSON; all clients share one for half a second, until somebody acts."""
        return json_response(await in_time(self._shared_status()))

    async def descriptions(self, request: Request) -> Response:
        """Metrics, signals, alarms and payloads of the topics, as JSON."""
        return json_response(await in_time(self._together("descriptions")))

    async def frame(self, request: Request) -> Response:
        """The newest frame of a camera with its mask outlined, or the one of ``?frame=ID``, then
        with ``&small=1`` as one of many on a page."""
        camera, frame_id = self._camera(request), _frame_id(request)
        side_px = SMALL_PX if request.query_params.get("small") == "1" else SIDE_MAX_PX
        if not frame_id:
            picture = await in_time(self._pictures.frame(camera))
        else:
            picture = await in_time(self._pictures.frame_of(camera, frame_id, side_px))
        if picture is None:
            raise Refused(404, _no_frame(camera, frame_id))
        return picture_response(request, picture, lasting=bool(frame_id))

    async def cam(self, request: Request) -> Response:
        """The newest Ablation-CAM of a class, with ``?frame=ID`` only if it explains that frame.

        The content type decides, not a suffix.
        """
        camera, frame_id = self._camera(request), _frame_id(request)
        name = _name(IMAGE_SUFFIX.sub("", request.path_params["class"]))
        overlay = await in_time(self._agent.call("overlay", camera, name, frame_id))
        if overlay is None:
            raise Refused(404, _no_map(camera, name, frame_id))
        digest = hashlib.sha256(overlay.data).hexdigest()[:16]
        picture = Picture(digest, overlay.content_type, overlay.data)
        return picture_response(request, picture, lasting=bool(frame_id))

    async def heat_map(self, request: Request) -> Response:
        """The newest heat map of a class as the page shows it: without words, on its own scale."""
        return await self._of_class(request, self._pictures.heat_map)

    async def mean_map(self, request: Request) -> Response:
        """The control beside a heat map: the mean of all activation maps."""
        return await self._of_class(request, self._pictures.mean_map)

    async def _of_class(self, request: Request, fetch: OfClass) -> Response:
        camera, name = self._camera(request), _name(request.path_params["class"])
        frame_id = _frame_id(request)
        picture = await in_time(fetch(camera, name, frame_id))
        if picture is None:
            raise Refused(404, _no_map(camera, name, frame_id))
        return picture_response(request, picture, lasting=bool(frame_id))

    async def evidence(self, request: Request) -> Response:
        """The picture behind one occurrence of an alarm."""
        event_id = _name(IMAGE_SUFFIX.sub("", request.path_params["event"]))
        kept = await in_time(self._agent.call("evidence", event_id))
        if kept is None:
            raise Refused(404, f"there is no picture of event {event_id[:60]!r}")
        return picture_response(request, Picture(event_id, *kept))

    async def machine(self, request: Request) -> Response:
        """Take the machine's state: 204; 200 with what was left out; or the reason why not."""
        arrived_mono = time.monotonic()
        try:
            body = await read_json_body(request, MESSAGE_LIMIT_BYTES)
            info = parse_machine(body, wall_clock_ms(), arrived_mono)
        except MachineMessageError as error:
            self._count_machine("invalid")
            raise Refused(400, str(error)) from error
        except Refused:
            self._count_machine("invalid")
            raise
        await in_time(self._agent.call("machine", info))
        if info.left_out:
            self._count_machine("incomplete")
            return PlainTextResponse("left out: " + "; ".join(info.left_out) + "\n")
        self._count_machine("accepted")
        return Response(status_code=204)

    def _count_machine(self, outcome: str) -> None:
        self._agent.count("machine_messages", transport="http", outcome=outcome)

    def _camera(self, request: Request) -> str:
        camera = str(request.path_params["camera"])
        if camera not in self._lanes:
            raise Refused(404, f"no camera is called {camera[:40]!r}")
        return camera

    async def _health(self) -> Health | None:
        """What the probes judge, None from an agent that does not answer."""
        try:
            async with asyncio.timeout(PROBE_LIMIT_S):
                health: Health = await self._together("health")
                return health
        except (TimeoutError, AgentUnavailable):
            return None

    async def _together(self, name: str, *args: object) -> Any:
        """Call, or wait with those who have made the same call and have no reply yet."""
        call = self._calls.get((name, *args))
        if call is None or call.done():
            call = self._calls[name, *args] = asyncio.ensure_future(self._agent.call(name, *args))
        return await asyncio.shield(call)

    def _forget_status(self) -> None:
        """Something was done that a page wants to see at once; one that is being made is older."""
        self._acted_mono = self._clock()

    async def _shared_status(self) -> bytes:
        async with self._status_lock:
            now = self._clock()
            oldest = max(now - STATUS_FRESH_S, self._acted_mono)
            if self._status is None or self._status[0] < oldest:
                self._status = (now, await self._agent.call("status"))
            return self._status[1]


def _name(text: str) -> str:
    """The name of a class or an event; 404 for what is too long to be one."""
    if len(text) > NAME_MAX:
        raise Refused(404, f"nothing has a name of {len(text)} characters")
    return text


def _frame_id(request: Request) -> str:
    """Which frame the picture has to be of; empty: the newest."""
    return _name(request.query_params.get("frame", ""))


def _no_frame(camera: str, frame_id: str) -> str:
    if frame_id:
        return f"frame {frame_id[:60]!r} of camera {camera} is not kept (any more)"
    return f"camera {camera} has no frame yet"


def _no_map(camera: str, name: str, frame_id: str) -> str:
    if frame_id:
        return f"the newest map of {name[:40]!r} on {camera} is not that of frame {frame_id[:60]!r}"
    return f"camera {camera} has no explanation of {name[:40]!r} yet"


def _joined(request: Request, header: str) -> str:
    """All headers of one name as the one list that they mean."""
    return ",".join(request.headers.getlist(header))


def make_app(
    routes: Routes,
    agent: AgentClient,
    access: Access,
    settings: config.Http,
    refusals: RefusalLog,
) -> ASGIApp:
    """Return the whole application: who asks is told, counted, guarded, then routed."""
    table = routes.table()
    app = Starlette(
        routes=table,
        exception_handlers={
            HTTPException: on_http_exception,
            ClientDisconnect: on_disconnect,
            AgentFailed: on_failure,
            Exception: on_failure,
        },
    )
    app.router.redirect_slashes = False
    guard = Guard(app, access, settings.limits, time.monotonic)
    counter = RequestCounter(guard, table, agent, refusals)
    return ProxyHeaders(counter, TrustedProxies(settings.trusted_proxies))
