"""The server in a thread of the test's own process: what it serves, without the time that a process
takes to start, and with all that a test may change in it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agent import config
from agent.observability.http.app_state import AppState
from agent.observability.http.listener import Listener, ServerSpec
from agent.observability.http.process import WebServer
from agent.observability.http.protocol import BoundedLoop
from agent.observability.http.rpc import PROBES, AgentClient, AgentService
from agent.observability.http.server import LOOP
from tests.support import wait_until

BEAT_S = 0.1


class Direct(AgentClient):
    """Calls the agent without a process in between."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._service = AgentService(state)
        self.executor = ThreadPoolExecutor(2)

    async def call(self, name: str, *args: object) -> Any:
        if name in PROBES:
            return self._service.call(name, args)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, self._service.call, name, args)

    def count(self, name: str, **labels: str) -> None:
        self._state.telemetry.count(name, **labels)

    def flush(self) -> None:
        """Nothing is kept back."""


class Served(Listener):
    """Serves as ``HttpServer`` does."""

    def __init__(self, settings: config.Http, state: AppState) -> None:
        super().__init__(settings)
        self._state = state
        self._spec = ServerSpec(
            settings, state.newest.lanes, self.signer, self.loopback, state.words
        )
        self._stopping = threading.Event()
        self._web: WebServer | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._web is not None and self._web.started, 30, "the server serves")

    def stop(self) -> bool:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        self.socket.close()
        return not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=BoundedLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        direct = Direct(self._state)
        self._web = WebServer(self._spec, direct)
        serving = asyncio.create_task(self._web.serve([self.socket]))
        while not self._stopping.is_set():
            self._state.telemetry.beat(LOOP)
            await asyncio.wait([serving], timeout=BEAT_S)
        await self._web.end()
        await serving
        direct.executor.shutdown(wait=False, cancel_futures=True)
