"""What operators do on the page. ``Access`` decides who may, the agent what may be done."""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.observability.http.access import ACTIONS
from agent.observability.http.app_state import Acted
from agent.observability.http.guard import peer_of
from agent.observability.http.page.in_time import in_time
from agent.observability.http.responses import REASON, json_response, read_json_body
from agent.observability.http.rpc import AgentClient
from agent.records import CommandOutcome

BODY_LIMIT_BYTES = 4096
"""As of a command on its topic."""
NAME_MAX = 40
STATUS = {
    CommandOutcome.DONE: 200,
    CommandOutcome.INVALID: 400,
    CommandOutcome.RETAINED: 400,
    CommandOutcome.NOT_ALLOWED: 403,
    CommandOutcome.UNKNOWN: 404,
    CommandOutcome.ALREADY: 409,
    CommandOutcome.STALE: 409,
    CommandOutcome.REFUSED: 409,
    CommandOutcome.EXPIRED: 409,
    CommandOutcome.RATE_LIMITED: 429,
}
UNANSWERED = "unanswered"
RETRY_S = "1"


class ActionRoutes:
    """``POST /api/v1/actions/{command}`` with the JSON object of that command."""

    def __init__(self, agent: AgentClient, acted: Callable[[], None]) -> None:
        """``acted`` is called after each command, whatever came of it."""
        self._agent = agent
        self._acted = acted

    def table(self) -> list[Route]:
        """Return the route."""
        return [Route(ACTIONS + "{command}", self.act, methods=["POST"])]

    async def act(self, request: Request) -> Response:
        """Carry out one command; the status is that of its outcome, 503 without one."""
        name = str(request.path_params["command"])[:NAME_MAX]
        body = await read_json_body(request, BODY_LIMIT_BYTES)
        acted: Acted = await in_time(self._agent.call("act", name, body, peer_of(request.scope)))
        self._acted()
        status = 503 if acted.outcome is None else STATUS[acted.outcome]
        outcome = UNANSWERED if acted.outcome is None else acted.outcome.value
        response = json_response(to_json({"outcome": outcome, "detail": acted.detail}), status)
        if status in (429, 503):
            response.headers["Retry-After"] = RETRY_S
        if status != 200:
            request.scope[REASON] = f"{outcome}: {acted.detail}"
        return response
