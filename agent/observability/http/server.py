"""The agent's end of its HTTP server, which lives in a process of its own.

The listening socket stays with the agent, so that a server that was replaced has the same port for
certain, and clients that come meanwhile wait instead of being refused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from agent import config
from agent.observability.http.app_state import AppState
from agent.observability.http.listener import HttpError, Listener, ServerSpec
from agent.observability.http.rpc import BEGIN_WITHIN_S, PROBES, AgentService, Call, Counts, Reply
from agent.observability.page.words import Words
from agent.supervision.child import Child, ChildSpec
from agent.supervision.supervised import SupervisedChild
from agent.supervision.waker import Waker
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

LOOP = "http"
TARGET = "agent.observability.http.process:main"
WORKERS = 3
"""An operator's action waits in one for the thread of the alarms; two are left for all else."""
TURN_S = 0.1
RENEW_S = 1.0
"""For the exchanges under way, when a server with other settings takes over."""
START_LIMIT_S = 90.0
"""Less than a service manager waits for the agent (120 s in deploy)."""
SILENT_AFTER_S = 5.0
"""A server that sends nothing for this long is killed and replaced."""
MEMORY_LIMIT_BYTES = 512 * 1024 * 1024


class HttpServer(Listener):
    """Serves the agent's own routes; ``HttpError`` when it cannot have its address.

    One thread of its own answers the server's calls, and replaces it when it dies, hangs or grows
    too large.
    """

    def __init__(
        self, settings: config.Http, state: AppState, clock: Clock = time.monotonic
    ) -> None:
        super().__init__(settings)
        self._telemetry = state.telemetry
        self._clock = clock
        self._state = state
        self._service = AgentService(state)
        self._spec = self._made_spec()
        self._renew = threading.Event()
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="http-work")
        self._done: deque[tuple[Child, Reply]] = deque()
        self._waker = Waker()
        self._supervised = SupervisedChild(
            LOOP, "http_lost", "http_restarts", state.telemetry, clock
        )
        self._patience_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=LOOP, daemon=True)

    @property
    def pid(self) -> int:
        """Process id of the server; 0 while there is none."""
        return self._supervised.pid

    def configure(
        self, settings: config.Http, words: Words, descriptions: Mapping[str, object]
    ) -> None:
        """Serve by other settings, words and lanes: a new process takes the port over, which stays
        open. Host and port stay what they are. ``HttpError`` for TLS files that do not fit, before
        anything is changed."""
        self.adopt(settings)
        self._state = replace(self._state, words=words, descriptions=descriptions)
        self._service = AgentService(self._state)
        self._spec = self._made_spec()
        self._renew.set()
        self._waker.wake()

    def _made_spec(self) -> ServerSpec:
        state = self._state
        return ServerSpec(
            self.settings, state.newest.lanes, self.signer, self.loopback, state.words
        )

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._thread.start()

    def wait_started(self) -> None:
        """Return when the server serves; ``HttpError`` when it does not come up."""
        if not self._supervised.serving.wait(START_LIMIT_S):
            raise HttpError(
                f"http: the server has not started on {self.url} within {START_LIMIT_S:g} s: "
                f"{self._supervised.failure or 'it said nothing'}"
            )
        if not self.loopback:
            log_event(
                logger,
                logging.WARNING,
                "http_is_public",
                url=self.url,
                encrypted=bool(self.settings.tls.certificate),
                page=self.settings.page,
            )
        log_event(logger, logging.INFO, "http_started", url=self.url)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """End within about ``timeout_s``; connections in an exchange get most of it to finish."""
        self._patience_s = timeout_s
        self._stopping.set()
        if self._thread.ident is not None:
            self._waker.wake()
            self._thread.join(timeout_s + 1.0)
        self.socket.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        return not self._thread.is_alive()

    # --- the thread that owns the child ---

    def _run(self) -> None:
        self._supervised.keep(self._child_spec, self._turn, self._stopping)
        if self._supervised.child is not None:
            self._end(self._supervised.child, self._patience_s)

    def _child_spec(self) -> ChildSpec:
        fds = {"listener": self.socket.fileno()}
        return ChildSpec("http", TARGET, self._spec, fds, priority="low")

    def _turn(self, child: Child) -> str:
        """Answer the calls; return why the child must be replaced, or nothing."""
        if self._renew.is_set():
            self._renew.clear()
            self._end(child, RENEW_S)
            self._supervised.serving.clear()  # the next one may take as long as the first
            return ""
        self._waker.wait(TURN_S, child.fileno(), writing=not child.flush())
        for message in self._supervised.receive(child):
            self._take(child, message)
        self._send_done(child)
        return self._supervised.judged(child, SILENT_AFTER_S, MEMORY_LIMIT_BYTES)

    def _take(self, child: Child, message: object) -> None:
        if isinstance(message, Counts):
            self._supervised.serving.set()
            for name, labels, number in message.counted:
                self._telemetry.count(name, number, **dict(labels))
        elif isinstance(message, Call):
            if message.name in PROBES:
                child.send(self._reply(message))
            else:
                self._executor.submit(self._work, child, message)

    def _work(self, child: Child, call: Call) -> None:
        late = self._clock() - call.called_mono > BEGIN_WITHIN_S
        if child is self._supervised.child:
            reply = Reply(call.number, failed=True) if late else self._reply(call)
            self._done.append((child, reply))
        self._waker.wake()

    def _reply(self, call: Call) -> Reply:
        try:
            return Reply(call.number, self._service.call(call.name, call.args))
        except Exception:  # a mistake of one answer: logged, the rest goes on
            logger.exception("http_answer_failed")
            return Reply(call.number, failed=True)

    def _send_done(self, child: Child) -> None:
        while self._done and child.flush():  # large pictures wait here, not as copies in the outbox
            caller, reply = self._done.popleft()
            if caller is child:
                child.send(reply)

    def _end(self, child: Child, patience_s: float) -> None:
        """Let the child finish what it is at, answers included, then make sure of its end."""
        child.ask_to_stop()
        end = self._clock() + 0.8 * patience_s
        turn = partial(self._turn, child)
        while self._clock() < end and not self._supervised.attempt(turn):
            pass
        self._supervised.end()
