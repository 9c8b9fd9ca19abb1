"""``pitwatch run``: build the agent, wait for a reason to stop, stop it in order."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType

import cv2
import torch
from prometheus_client import CollectorRegistry
from rich.console import Console

from agent.ablation.pool.placement import SlotError
from agent.alarms.charts.reference import ReferenceFileError
from agent.config import Config
from agent.config.load import Loaded
from agent.models.errors import ModelError
from agent.observability.http.listener import HttpError
from agent.observability.logging.logs import Logs, configure_logging
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.terminal.terminal import TerminalView
from agent.pipeline.agent import Agent
from agent.pipeline.reload.context import ConfigSource
from agent.publishing.connection.tls import TlsError
from agent.publishing.embedded.broker import BrokerError
from agent.storage.errors import StateDirError, StorageError
from agent.supervision.notify import Notifier, Watchdog
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NOT_KEPT = 74
EXIT_CONFIG = 78
EXIT_FORCED = 130
WAIT_S = 0.2
SIGHUP = "SIGHUP"
"""Who asked for a reload, where that is all that is known."""
NOT_KEPT = "what waited could not be kept: the disk of state_dir does not take it"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line says beside the configuration."""

    duration_s: float | None = None
    plain: bool = False
    config_hash: str = ""
    read_again: Callable[[Config], Loaded] | None = None  # the file; None: there is none


def run(config: Config, options: RunOptions) -> int:
    """Run the agent until a signal, the end of ``duration_s``, or the end of every source.

    Returns the exit code: 0 done, 78 for an error of configuration, 1 for what this machine
    refuses (a port in use) and where a camera failed for good, 74 where the end was in order but
    what should have survived it is not on the disk. An error is the last line on stderr, and
    nothing is left running.
    """
    torch.set_num_threads(config.model.threads)
    cv2.setNumThreads(1)  # threads that OpenCV would start compete with the workers
    telemetry = PrometheusTelemetry(CollectorRegistry(), time.monotonic)
    logs = configure_logging(config.logging, telemetry)  # before anybody has something to say
    try:
        source = ConfigSource(options.read_again, logs)
        with _reopening(logs), _loading() as asked:
            agent = Agent(config, options.config_hash, telemetry, source)
            if asked:
                agent.reloads.ask(SIGHUP)
            failed = _run(agent, options, logs)
        if not failed and agent.kept:
            return EXIT_OK
        refusal, code = NOT_KEPT, EXIT_NOT_KEPT
        if failed:
            told = "; ".join(f"camera {name} failed: {why}" for name, why in failed.items())
            refusal, code = told, EXIT_FAILED
    except (ModelError, ReferenceFileError, SlotError, StateDirError, TlsError) as error:
        refusal, code = str(error), EXIT_CONFIG
    except (HttpError, BrokerError, StorageError) as error:
        refusal, code = str(error), EXIT_FAILED
    finally:
        logs.close()
    sys.stderr.write(f"pitwatch: {refusal}\n")
    return code


def _run(agent: Agent, options: RunOptions, logs: Logs) -> dict[str, str]:
    """Run to the end; which cameras ended in failure, and why."""
    stop = threading.Event()
    notifier = Notifier(os.environ)
    watchdog = Watchdog(notifier, agent.stalled)
    failed: dict[str, str] = {}
    # Asked now: of a terminal that has closed nothing can be asked any more.
    reload = None if has_terminal() else partial(agent.reloads.ask, SIGHUP)
    with _signals(stop, reload):
        try:
            agent.start()
            notifier.ready("started")
            with _terminal(agent, options, logs):
                _wait(agent, stop, options.duration_s, watchdog)
            failed = agent.failures()
        finally:
            notifier.stopping()
            agent.stop()
    return failed


def _wait(
    agent: Agent, stop: threading.Event, duration_s: float | None, watchdog: Watchdog
) -> None:
    end = time.monotonic() + duration_s if duration_s is not None else float("inf")
    while not stop.wait(WAIT_S):
        watchdog.tick(time.monotonic())
        if time.monotonic() >= end:
            log_event(logger, logging.INFO, "stopping", reason="duration")
            return
        if agent.finished():
            log_event(logger, logging.INFO, "stopping", reason="sources_ended")
            return
    log_event(logger, logging.INFO, "stopping", reason="signal")


@contextmanager
def _signals(stop: threading.Event, reload: Callable[[], None] | None = None) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks for an orderly end; a second one ends at once.

    SIGHUP has two meanings. With ``reload`` it asks for that, as of any service. Without, it is of
    a terminal that closes, and asks for an orderly end; it is never the second signal, since such a
    terminal sends it twice, as kernel and as shell. Where it is ignored from the start (nohup), it
    stays so.

    ``os._exit`` skips every cleanup on purpose: children die with their parent by the kernel's
    parent-death signal, and their shared memory has no name that could stay behind.
    """

    asked = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if number == signal.SIGHUP and reload is not None:
            reload()
            return
        if number != signal.SIGHUP:
            if asked:
                os._exit(EXIT_FORCED)
            asked = True
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def has_terminal() -> bool:
    """Whether this process has a controlling terminal, whose end SIGHUP would tell (tty(4)); a
    service has none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextmanager
def _loading() -> Iterator[list[int]]:
    """Keep the SIGHUP that asks for a reload while the model is loaded, instead of ending by it."""
    asked: list[int] = []
    if has_terminal() or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        yield asked
        return
    signal.signal(signal.SIGHUP, lambda number, _frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def _reopening(logs: Logs) -> Iterator[None]:
    """SIGUSR1 has the log file opened anew, as logrotate wants it; without one it does nothing."""
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: logs.reopen())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def _terminal(agent: Agent, options: RunOptions, logs: Logs) -> Iterator[None]:
    """Show the live view on a terminal; log lines go above it."""
    if options.plain:
        yield
        return
    view = TerminalView(agent.view, Console(), logs=logs)
    view.start()
    try:
        yield
    finally:
        view.stop()
