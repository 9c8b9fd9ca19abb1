"""The HTTP server: a thread with an event loop of its own, on a socket bound before all else."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from agent import config
from agent.observability.app_state import AppState
from agent.observability.http_access import Access
from agent.observability.http_app import Routes, make_app
from agent.observability.http_protocol import BoundedLoop, bounded_protocol
from agent.observability.signing import Signer
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

LOOP = "http"
WORKERS = 2
HEADER_LIMIT_BYTES = 16 * 1024
KEEP_ALIVE_S = 5
START_LIMIT_S = 10.0
BEAT_S = 0.1


class HttpError(OSError):
    """The server cannot have its address; the text names the key and what to do."""


class HttpServer:
    """Serves the agent's own routes. The constructor binds and raises ``HttpError`` when it cannot.

    ``port`` is the real one, also where the settings ask for any free one (0).
    """

    def __init__(self, settings: config.Http, state: AppState) -> None:
        _check_tls(settings.tls)
        self._settings = settings
        self._state = state
        self._socket = bind(settings.host, settings.port, settings.limits.connections)
        address = self._socket.getsockname()
        self.host, self.port = str(address[0]), int(address[1])
        self.loopback = ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        secret = settings.token.get_secret_value() if settings.token else None
        self._signer = Signer(secret, settings.picture_link_s)
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="http-work")
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._started = threading.Event()

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._settings.tls.certificate else 'http'}://{host}:{self.port}"

    def signed(self, path: str) -> str:
        """Return the path of a picture as a link that opens it for a while, where one is needed."""
        if self.loopback and self._settings.token is None:
            return path
        return self._signer.signed(path, time.time())

    def start(self) -> None:
        """Serve from now on; ``HttpError`` when the server does not come up."""
        self._thread.start()
        end = time.monotonic() + START_LIMIT_S
        while not self._started.wait(0.05):
            if time.monotonic() > end or not self._thread.is_alive():
                raise HttpError(f"http: the server has not started on {self.url}")
        if not self.loopback:
            log_event(
                logger,
                logging.WARNING,
                "http_is_public",
                url=self.url,
                encrypted=bool(self._settings.tls.certificate),
                page=self._settings.page,
            )
        log_event(logger, logging.INFO, "http_started", url=self.url)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End within about ``timeout_s``; connections in an exchange get most of it to finish."""
        end = time.monotonic() + timeout_s
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(0.6 * timeout_s)
            self._server.force_exit = True
            self._thread.join(max(0.05, end - time.monotonic()))
        self._socket.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=BoundedLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        routes = Routes(self._state, self._settings.loop_limit_s, self._executor, time.monotonic)
        access = Access(self._settings, self._signer, loopback=self.loopback)
        limits = self._settings.limits
        app = make_app(routes, self._state, access, limits, time.monotonic)
        server = self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=bounded_protocol(limits.connections),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # Connections are capped by the protocol; this caps the tasks that outlive them.
                limit_concurrency=limits.connections + 16,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
                **_tls(self._settings.tls),
            )
        )
        beating = asyncio.create_task(self._beat(server))
        await server.serve(sockets=[self._socket])
        beating.cancel()
        for connection in list(server.server_state.connections):
            connection.transport.abort()  # what did not end in time

    async def _beat(self, server: uvicorn.Server) -> None:
        while True:
            self._state.telemetry.beat(LOOP)
            if server.started:
                self._started.set()
            await asyncio.sleep(BEAT_S)


def _check_tls(settings: config.HttpTls) -> None:
    """``HttpError`` for files that a server cannot be made of, before anything starts."""
    if settings.certificate is None:
        return
    password = settings.key_password.get_secret_value() if settings.key_password else ""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.key, password)
        if settings.client_ca:
            context.load_verify_locations(settings.client_ca)
    except OSError as error:  # of which ssl.SSLError is one
        raise HttpError(f"http.tls: certificate, key and client_ca do not fit: {error}") from error


def _tls(settings: config.HttpTls) -> dict[str, Any]:
    """Options of uvicorn; it loads the files when it starts."""
    if settings.certificate is None:
        return {}
    password = settings.key_password.get_secret_value() if settings.key_password else None
    return {
        "ssl_certfile": str(settings.certificate),
        "ssl_keyfile": str(settings.key),
        "ssl_keyfile_password": password,
        "ssl_ca_certs": str(settings.client_ca) if settings.client_ca else None,
        # Optional, since probes come without one; who needs it is decided per route.
        "ssl_cert_reqs": ssl.CERT_OPTIONAL if settings.client_ca else ssl.CERT_NONE,
    }


def bind(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket; ``HttpError`` names the key and the remedy."""
    where = f"http: {host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise HttpError(f"http.host: {host!r} is no address of this machine ({error})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise HttpError(f"{where} {_remedy(error)}") from error
    return listener


def _remedy(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is in use by another program; choose another with --http HOST:PORT, or port 0"
    if error.errno == errno.EACCES:
        return "needs a privilege that the agent lacks; choose a port from 1024"
    if error.errno == errno.EADDRNOTAVAIL:
        return "is not an address of this machine"
    return f"cannot be bound: {error.strerror or error}"
