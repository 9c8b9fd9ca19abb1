"""Where the HTTP server listens, and how its pictures are linked to: bound before all else."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from dataclasses import dataclass

from agent import config
from agent.observability.http.signing import Signer
from agent.observability.http.tls import server_context
from agent.observability.page.words import Words

REMEDIES: dict[int | None, str] = {
    errno.EADDRINUSE: (
        "is in use by another program; choose another with --http HOST:PORT, or port 0"
    ),
    errno.EACCES: "needs a privilege that the agent lacks; choose a port from 1024",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}
"""What an address that cannot be had is told with."""


class HttpError(OSError):
    """The server cannot have its address; the text names the key and what to do."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What the server needs to know; ``loopback``: it listens on this machine only."""

    settings: config.Http
    lanes: tuple[str, ...]
    signer: Signer
    loopback: bool
    words: Words  # of the page


class Listener:
    """A listening socket. The constructor binds and raises ``HttpError`` when it cannot.

    ``port`` is the real one, also where the settings ask for any free one (0).
    """

    def __init__(self, settings: config.Http) -> None:
        check_tls(settings.tls)
        self.settings = settings
        self.socket = bind(settings.host, settings.port, settings.limits.connections)
        address = self.socket.getsockname()
        self.host, self.port = str(address[0]), int(address[1])
        self.loopback = ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        secret = settings.token.get_secret_value() if settings.token else None
        self.signer = Signer(secret, settings.picture_link_s)

    def adopt(self, settings: config.Http) -> None:
        """Take over other settings; the socket stays. ``HttpError`` for TLS files that do not fit.

        Links that were signed hold on, unless the token is another one.
        """
        check_tls(settings.tls)
        self.settings = settings
        secret = settings.token.get_secret_value() if settings.token else None
        self.signer = self.signer.renewed(secret, settings.picture_link_s)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.settings.tls.certificate else 'http'}://{host}:{self.port}"

    def signed(self, path: str) -> str:
        """Return the path of a picture as a link that opens it for a while, where one is needed."""
        if self.loopback and self.settings.token is None:
            return path
        return self.signer.signed(path, time.time())


def check_tls(settings: config.HttpTls) -> None:
    """``HttpError`` for files that a server cannot be made of, before anything starts."""
    if settings.certificate is None:
        return
    try:
        server_context(settings)
    except OSError as error:  # of which ssl.SSLError is one
        raise HttpError(f"http.tls: certificate, key and client_ca do not fit: {error}") from error


def bind(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket; ``HttpError`` names the key and the remedy."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise HttpError(f"http.host: {host!r} is no address of this machine ({error})") from error
    both = family == socket.AF_INET6  # ``::`` takes clients of IPv4 too
    try:
        return socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=both)
    except OSError as error:
        said = REMEDIES.get(error.errno, f"cannot be bound: {error.strerror or error}")
        key = "http.host" if error.errno == errno.EADDRNOTAVAIL else "http.port"
        raise HttpError(f"{key}: {host}:{port} {said}") from error


def check_address(settings: config.Http) -> None:
    """``HttpError`` where the address cannot be had now; nothing listens there afterwards."""
    bind(settings.host, settings.port, backlog=1).close()
