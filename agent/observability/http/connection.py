"""What h11 lets pass and a server must not: each request is looked at before it is answered.

h11 reads a body by ``Transfer-Encoding`` where there is a ``Content-Length`` too, and keeps the
connection: a proxy before the agent that goes by the other one takes the rest for a request of the
next client (RFC 9112, section 6.1). It measures headers only while they are incomplete, so that
one large piece passes. And it hands on ``GET http://host/livez``, as proxies ask, unchanged.
"""

from __future__ import annotations

import re
from typing import Any

import h11

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]*)(.*)", re.DOTALL)


class BadRequestError(Exception):
    """A request that is answered with ``status``, after which the connection is closed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class StrictConnection(h11.Connection):
    """The server's end of one connection. Raises ``BadRequestError`` for all that is no request.

    ``header_limit_bytes`` holds for the request line with its headers, however they come, and for
    what a chunked body has before and after its data.
    """

    def __init__(self, header_limit_bytes: int) -> None:
        super().__init__(h11.SERVER, header_limit_bytes)
        self._header_limit_bytes = header_limit_bytes
        self._buffered = 0

    def receive_data(self, data: bytes) -> None:
        """As h11 has it; what waits is counted."""
        self._buffered += len(data)
        super().receive_data(data)

    def next_event(self) -> Any:
        """As h11 has it, but for what is refused, and for the target of a request."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            # What the client wrote comes after the colon, and may be a secret with a typing error.
            reason = str(error).partition(": ")[0]
            raise BadRequestError(error.error_status_hint, reason) from error
        if event in (h11.NEED_DATA, h11.PAUSED):
            return event
        before, self._buffered = self._buffered, len(self.trailing_data[0])
        content = len(event.data) if isinstance(event, h11.Data) else 0
        if before - self._buffered - content > self._header_limit_bytes:
            what = "what stands before a chunk is" if content else "headers"
            raise BadRequestError(431, f"{what} longer than {self._header_limit_bytes} bytes")
        return checked(event) if isinstance(event, h11.Request) else event


def checked(request: h11.Request) -> h11.Request:
    """Return the request with its target as a path; ``BadRequestError`` for one that is unclear."""
    names = {name for name, _ in request.headers}
    if {b"content-length", b"transfer-encoding"} <= names:
        raise BadRequestError(400, "Content-Length and Transfer-Encoding in one request")
    if request.target.startswith(b"/") or request.target == b"*":
        return request
    absolute = _ABSOLUTE.fullmatch(request.target)
    if absolute is None or not absolute[1] or b"@" in absolute[1]:
        raise BadRequestError(400, "the target of the request is neither a path nor an http URL")
    host, rest = absolute[1], absolute[2].partition(b"#")[0]
    # What the URL names counts, whatever Host says (RFC 9112, section 3.2.2).
    headers = [(name, value) for name, value in request.headers if name != b"host"]
    return h11.Request(
        method=request.method,
        target=rest if rest.startswith(b"/") else b"/" + rest,
        headers=[(b"host", host), *headers],
        http_version=request.http_version,
    )
