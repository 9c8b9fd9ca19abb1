"""The HTTP server itself, and the process that it lives in."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import uvicorn

from agent.observability.http.access import Access
from agent.observability.http.listener import ServerSpec
from agent.observability.http.protocol import BoundedLoop, bounded_protocol
from agent.observability.http.refusals import RefusalLog
from agent.observability.http.routes import Routes, make_app
from agent.observability.http.rpc import AgentClient
from agent.observability.http.tls import ServerTls
from agent.supervision.channel import Channel

WORKERS = 2
HEADER_LIMIT_BYTES = 16 * 1024
KEEP_ALIVE_S = 5
HEARTBEAT_S = 0.25
"""How often the server sends a heartbeat."""
FINISH_S = 0.35
"""What connections in an exchange get at the end, within the second that the agent waits."""


class WebServer(uvicorn.Server):
    """uvicorn with the routes; ``serve`` runs until ``end`` is called.

    Signals are left alone: the agent decides when its children end.
    """

    def __init__(self, spec: ServerSpec, agent: AgentClient) -> None:
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="http-work")
        settings = spec.settings
        self._tls = ServerTls(settings.tls) if settings.tls.certificate else None
        routes = Routes(
            agent,
            spec.lanes,
            settings.loop_limit_s,
            self._executor,
            time.monotonic,
            spec.words,
        )
        access = Access(settings, spec.signer, loopback=spec.loopback)
        refusals = RefusalLog(time.monotonic)
        super().__init__(
            uvicorn.Config(
                make_app(routes, agent, access, settings, refusals),
                http=bounded_protocol(settings.limits.connections, HEADER_LIMIT_BYTES, refusals),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # the guard reads them, for who may ask depends on them
                # Connections are capped by the protocol; this caps the tasks that outlive them.
                limit_concurrency=settings.limits.connections + 16,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until the end; what did not finish by then is cut off."""
        self.config.load()
        if self._tls is not None:
            self.config.ssl = self._tls.context  # uvicorn would read the files once
            self._tls.start()
        await super().serve(sockets)
        if self._tls is not None:
            self._tls.stop()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def end(self) -> None:
        """Take no more; connections in an exchange get a moment."""
        self.should_exit = True
        await asyncio.sleep(FINISH_S)
        self.force_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(channel: Channel, spec: ServerSpec, fds: Mapping[str, int]) -> None:
    """Target of the child process."""
    listener = socket.socket(fileno=fds["listener"])
    with asyncio.Runner(loop_factory=BoundedLoop) as runner:
        runner.run(_live(channel, spec, listener))


async def _live(channel: Channel, spec: ServerSpec, listener: socket.socket) -> None:
    agent = AgentClient(channel, asyncio.get_running_loop())
    server = WebServer(spec, agent)
    serving = asyncio.create_task(server.serve([listener]))
    ending = None
    while not serving.done():
        if channel.stopping.is_set() and ending is None:
            ending = asyncio.create_task(server.end())
        if server.started:
            agent.flush()
        await asyncio.wait([serving], timeout=HEARTBEAT_S if ending is None else 0.02)
    await serving
