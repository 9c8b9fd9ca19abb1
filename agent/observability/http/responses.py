"""Responses and refusals in one shape, and the reading of a bounded body."""

from __future__ import annotations

import asyncio

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.observability.health import Verdict
from agent.observability.pictures import Picture

BODY_LIMIT_S = 5.0
LASTING_S = 600
"""Long enough for a page that shows a picture; nobody comes back to it later."""
REASON = "refused"
"""Key of a request's scope: why it was refused, in words."""


class Refused(HTTPException):
    """An error response: status code and reason."""


async def read_json_body(request: Request, limit: int) -> bytes:
    """Return a JSON body of at most ``limit`` bytes that comes within ``BODY_LIMIT_S``."""
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        # A form can be posted by any web page without asking; this content type cannot.
        raise Refused(415, "Content-Type must be application/json")
    body = b""
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise Refused(413, f"longer than {limit} bytes", {"Connection": "close"})
    except TimeoutError as error:
        raise Refused(408, f"no full body within {BODY_LIMIT_S:g} s") from error
    return body


def json_response(data: bytes, status: int = 200) -> Response:
    """Return JSON that nobody keeps."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(data, status, headers=headers, media_type="application/json")


def verdict_response(verdict: Verdict, more: dict[str, object]) -> Response:
    """Return a verdict as 200 or 503."""
    answer = {"ok": verdict.ok, "reasons": verdict.reasons, **more}
    return json_response(to_json(answer), 200 if verdict.ok else 503)


def picture_response(request: Request, picture: Picture, *, lasting: bool = False) -> Response:
    """Return a picture, or 304 when the client has it already.

    ``lasting``: what its address names never changes, so that the client need not ask again.
    """
    caching = f"private, max-age={LASTING_S}, immutable" if lasting else "no-cache"
    headers = {"ETag": f'"{picture.picture_id}"', "Cache-Control": caching}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    headers["X-Content-Type-Options"] = "nosniff"
    return Response(picture.data, media_type=picture.content_type, headers=headers)


def refusal(status: int, reason: str, headers: dict[str, str] | None = None) -> Response:
    """Return ``{"error": reason}``."""
    response = json_response(to_json({"error": reason}), status)
    response.headers.update(headers or {})
    return response


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Turn an ``HTTPException`` into its refusal."""
    assert isinstance(error, HTTPException)
    request.scope[REASON] = error.detail
    return refusal(error.status_code, error.detail, dict(error.headers or {}))


async def on_disconnect(_request: Request, _error: Exception) -> Response:
    """Answer a client that is no longer there."""
    return refusal(400, "the client went away")


async def on_failure(_request: Request, _error: Exception) -> Response:
    """Answer for a mistake of our own; the server logs it, the client learns nothing of it."""
    return refusal(
        500, "internal error", {"Connection": "close"}
    )  # as uvicorn does after a failure
