"""Who may see what: one pure decision per request.

| route | this machine only (loopback) | another address |
|---|---|---|
| probes, metrics | everyone | networks of ``http.allow``, or as all else |
| pictures | ``Host`` names this machine | token, certificate, or a signed link |
| actions | as all else, and the token of ``http.actions`` in a header of its own | the same |
| all else | ``Host`` names this machine | token or certificate |

On loopback the ``Host`` must name this machine (or ``public_url``): without that, any web page
could reach the agent through a name that its owner points at 127.0.0.1. A token that is configured
is required on loopback too: a proxy on this machine lets others in. Where such a proxy is trusted
and names another address, that one counts for probes and metrics.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent import config
from agent.observability.http.forwarded import parsed, within
from agent.observability.http.signing import Signer

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
PICTURES = ("/api/v1/frame/", "/api/v1/cam/", "/api/v1/evidence/")
ACTIONS = "/api/v1/actions/"
ACTION_HEADER = "x-pitwatch-action"
"""Header of the token that permits acting. No form and no link can send it, and another site's
script only after a question (a CORS preflight) that is never answered; no browser adds it by
itself, as it does with passwords and cookies."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a decision depends on. ``headers`` have lower-case names; ``certified``: the client
    showed a certificate that our authority signed; ``own_address``: where it asked."""

    path: str
    query: str
    address: str
    headers: dict[str, str]
    certified: bool = False
    own_address: str = ""


@dataclass(frozen=True, slots=True)
class Denied:
    """The refusal. ``guess``: a wrong password was tried."""

    status: int
    reason: str
    guess: bool = False


class Access:
    """Decides by the settings; ``now`` is the Unix time in seconds."""

    def __init__(self, settings: config.Http, signer: Signer, *, loopback: bool) -> None:
        self._settings = settings
        self._signer = signer
        self._loopback = loopback
        self._allow = [ipaddress.ip_network(each, strict=False) for each in settings.allow]
        public = urlsplit(settings.public_url or "").hostname
        self._names = LOOPBACK_NAMES | ({public} if public else set())
        secret = settings.token.get_secret_value() if settings.token else None
        self._token = _digest(secret.encode()) if secret is not None else None
        secret = settings.actions.token.get_secret_value() if settings.actions.token else None
        self._action_token = _digest(secret.encode()) if secret is not None else None
        self._public = _place(settings.public_url or "")

    def proven(self, request: RequestFacts, now: float) -> bool:
        """Whether the client shows what opens what it asks for: token, certificate or link."""
        return request.certified or self._is_signed(request, now) or self._token_is_right(request)

    def denied(self, request: RequestFacts, now: float) -> Denied | None:
        """Return why not, or None."""
        denied = self._may_not_look(request, now)
        if denied is None and request.path.startswith(ACTIONS):
            return self._may_not_act(request.headers)
        return denied

    def _may_not_act(self, headers: dict[str, str]) -> Denied | None:
        if self._action_token is None:
            return Denied(403, "acting from the page is off (http.actions.token)")
        if not self._is_own_page(headers):
            return Denied(
                403, "the request comes from another page; behind a proxy set http.public_url"
            )
        given = headers.get(ACTION_HEADER)
        if given is None:
            return Denied(401, "acting needs the token of http.actions")
        if not hmac.compare_digest(_digest(given.strip().encode("latin-1")), self._action_token):
            return Denied(401, "the token does not permit acting", guess=True)
        return None

    def _is_own_page(self, headers: dict[str, str]) -> bool:
        """Whether a browser says that the page of this server asks; other clients say nothing.

        A browser says so itself over https and on this computer, whatever a proxy does to ``Host``.
        Else the page is known by where it came from.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = headers.get("origin")
        if origin is None:
            return True
        asked = _place(origin)
        own = _place(f"{origin.partition('://')[0]}://{headers.get('host', '')}")
        return asked is not None and asked in (own, self._public)

    def _may_not_look(self, request: RequestFacts, now: float) -> Denied | None:
        if request.path in OPEN_PATHS:
            if self._is_allowed(request) or self.proven(request, now):
                return None
            guess = _given(request.headers.get("authorization", "")) is not None
            return Denied(403, "this address is not in http.allow", guess)
        if not self._settings.page:
            return Denied(403, "only /livez, /readyz and /metrics are served (http.page is false)")
        if self.proven(request, now):
            return None
        if self._token is not None:
            if _given(request.headers.get("authorization", "")) is None:
                return Denied(401, "a token is needed, as Bearer or as the password of Basic")
            return Denied(401, "the token is wrong", guess=True)
        if not self._loopback:
            return Denied(403, "a client certificate is needed (http.tls.client_ca)")
        if _host(request.headers) not in self._names:
            return Denied(403, "the Host header does not name this machine")
        return None

    def _is_allowed(self, request: RequestFacts) -> bool:
        client = parsed(request.address)
        if client is None:
            return False
        # Who asks from the address that it asks for is on this machine, as the health check is.
        own = client.is_loopback or client == parsed(request.own_address)
        return own or within(client, self._allow)

    def _is_signed(self, request: RequestFacts, now: float) -> bool:
        return request.path.startswith(PICTURES) and self._signer.holds(
            request.path, request.query, now
        )

    def _token_is_right(self, request: RequestFacts) -> bool:
        given = _given(request.headers.get("authorization", ""))
        if given is None or self._token is None:
            return False
        # Digests are of one length: the time tells nothing of the token, not how long it is either.
        return hmac.compare_digest(_digest(given), self._token)


def _place(url: str) -> tuple[str, int] | None:
    """Host and port of a web address; None for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _given(header: str) -> bytes | None:
    """The token in an Authorization header: as Bearer, or as the password of Basic (browsers)."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip().encode("latin-1")  # the bytes as they came
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):  # ValueError: no ASCII
        return None


def _host(headers: dict[str, str]) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
