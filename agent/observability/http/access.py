"""Who may see what: one pure decision per request.

| route | this machine only (loopback) | another address |
|---|---|---|
| probes, metrics | everyone | networks of ``http.allow`` |
| pictures | ``Host`` names this machine | token, certificate, or a signed link |
| all else | ``Host`` names this machine | token or certificate |

On loopback the ``Host`` must name this machine (or ``public_url``): without that, any web page
could reach the agent through a name that its owner points at 127.0.0.1. A token that is configured
is required on loopback too: a proxy on this machine lets others in.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent import config
from agent.observability.http.signing import Signer

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
PICTURES = ("/api/v1/frame/", "/api/v1/cam/", "/api/v1/evidence/")
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What a decision depends on. ``headers`` have lower-case names; ``certified``: the client
    showed a certificate that our authority signed."""

    path: str
    query: str
    address: str
    headers: dict[str, str]
    certified: bool = False


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
        self._token = settings.token.get_secret_value() if settings.token else None

    def denied(self, request: RequestFacts, now: float) -> Denied | None:
        """Return why not, or None."""
        if request.path in OPEN_PATHS:
            if self._loopback or self._is_allowed(request.address):
                return None
            return Denied(403, "this address is not in http.allow")
        if not self._settings.page:
            return Denied(403, "only /livez, /readyz and /metrics are served (http.page is false)")
        if request.path.startswith(PICTURES) and self._signer.holds(
            request.path, request.query, now
        ):
            return None
        if request.certified:
            return None
        if self._token is not None:
            return self._without_token(request)
        if not self._loopback:
            return Denied(403, "a client certificate is needed (http.tls.client_ca)")
        if _host(request.headers) not in self._names:
            return Denied(403, "the Host header does not name this machine")
        return None

    def _is_allowed(self, address: str) -> bool:
        try:
            client = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(client, "ipv4_mapped", None)
        client = mapped or client
        return client.is_loopback or any(
            client.version == network.version and client in network for network in self._allow
        )

    def _without_token(self, request: RequestFacts) -> Denied | None:
        given = _given(request.headers.get("authorization", ""))
        if given is None:
            return Denied(401, "a token is needed, as Bearer or as the password of Basic")
        assert self._token is not None
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        return Denied(401, "the token is wrong", guess=True)


def _given(header: str) -> str | None:
    """The token in an Authorization header: as Bearer, or as the password of Basic (browsers)."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None


def _host(headers: dict[str, str]) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
