"""The HTTP server itself, and the process that it lives in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from agent import config
from agent.observability.http.access import Access
from agent.observability.http.listener import ServerSpec
from agent.observability.http.protocol import BoundedLoop, bounded_protocol
from agent.observability.http.routes import Routes, make_app
from agent.observability.http.rpc import (
    PROBES,
    AgentClient,
    AgentFailed,
    AgentUnavailable,
    Call,
    Counts,
    Reply,
)
from agent.supervision.channel import Channel

WORKERS = 2
HEADER_LIMIT_BYTES = 16 * 1024
KEEP_ALIVE_S = 5
HEARTBEAT_S = 0.25
"""How often the server sends a heartbeat."""
FINISH_S = 0.35
"""What connections in an exchange get at the end, within the second that the agent waits."""
OPEN_MAX = 64
"""Calls that may wait, probes not counted; a call outlives the connection that made it."""


class WebServer:
    """uvicorn with the routes; ``serve`` runs until ``end`` is called."""

    def __init__(self, spec: ServerSpec, agent: AgentClient) -> None:
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="http-work")
        settings = spec.settings
        routes = Routes(agent, spec.lanes, settings.loop_limit_s, self._executor, time.monotonic)
        access = Access(settings, spec.signer, loopback=spec.loopback)
        self._server = _Server(
            uvicorn.Config(
                make_app(routes, agent, access, settings.limits, time.monotonic),
                http=bounded_protocol(settings.limits.connections),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # Connections are capped by the protocol; this caps the tasks that outlive them.
                limit_concurrency=settings.limits.connections + 16,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADER_LIMIT_BYTES,
                **_tls(settings.tls),
            )
        )

    @property
    def started(self) -> bool:
        """Whether connections are taken."""
        return self._server.started

    async def serve(self, listener: socket.socket) -> None:
        """Serve until the end; what did not finish by then is cut off."""
        await self._server.serve(sockets=[listener])
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def end(self) -> None:
        """Take no more; connections in an exchange get a moment."""
        self._server.should_exit = True
        await asyncio.sleep(FINISH_S)
        self._server.force_exit = True


class _Server(uvicorn.Server):
    """One that leaves signals alone: the agent decides when its children end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RpcClient:
    """``AgentClient`` over the control channel."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._numbers = itertools.count()
        self._open: dict[int, asyncio.Future[Reply]] = {}
        self._counted: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        threading.Thread(target=self._listen, name="answers", daemon=True).start()

    async def call(self, name: str, *args: object) -> Any:
        """As ``AgentClient`` has it."""
        full = name not in PROBES and len(self._open) >= OPEN_MAX
        if full or not self._channel.has_room():  # a full socket would stop this loop
            raise AgentUnavailable
        number = next(self._numbers)
        # Whoever called may have given up; the call stays open until it is answered.
        future = self._open[number] = self._loop.create_future()
        self._channel.send(Call(number, name, args, time.monotonic()))
        reply = await asyncio.shield(future)
        if reply.failed:
            raise AgentFailed(name)
        return reply.value

    def count(self, name: str, **labels: str) -> None:
        """As ``AgentClient`` has it."""
        self._counted[name, tuple(labels.items())] += 1

    def flush(self) -> None:
        """As ``AgentClient`` has it; also the heartbeat."""
        if not self._channel.has_room():
            return
        counted = tuple((*key, number) for key, number in self._counted.items())
        self._counted.clear()
        self._channel.send(Counts(counted))

    def _listen(self) -> None:
        while True:
            reply = self._channel.receive(60.0)
            if isinstance(reply, Reply):
                self._loop.call_soon_threadsafe(self._settle, reply)

    def _settle(self, reply: Reply) -> None:
        future = self._open.pop(reply.number)
        if not future.done():
            future.set_result(reply)


def main(channel: Channel, spec: ServerSpec, fds: Mapping[str, int]) -> None:
    """Target of the child process."""
    listener = socket.socket(fileno=fds["listener"])
    with asyncio.Runner(loop_factory=BoundedLoop) as runner:
        runner.run(_live(channel, spec, listener))


async def _live(channel: Channel, spec: ServerSpec, listener: socket.socket) -> None:
    agent = RpcClient(channel, asyncio.get_running_loop())
    server = WebServer(spec, agent)
    serving = asyncio.create_task(server.serve(listener))
    ending = None
    while not serving.done():
        if channel.stopping.is_set() and ending is None:
            ending = asyncio.create_task(server.end())
        if server.started:
            agent.flush()
        await asyncio.wait([serving], timeout=HEARTBEAT_S if ending is None else 0.02)
    await serving


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
