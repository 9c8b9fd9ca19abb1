"""Logging of the whole process: one line per event, written by a thread of its own.

A stage that logs only formats a line and puts it into a bounded buffer: a pipe that nobody reads
cannot stop the live path. Lines that find the buffer full are counted, not written.
"""

from __future__ import annotations

import atexit
import logging
import math
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import NamedTuple

from agent import config
from agent.observability.logging.log_file import LogFile
from agent.observability.logging.log_format import Value, clean, format_json, format_keyvalue
from agent.observability.logging.repeats import RepeatLimiter
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

KEY_FIELDS = (
    "camera", "source", "alarm", "slot", "child", "loop", "topic_family", "reason", "key",
)  # fmt: skip
"""Fields that make two events of one name different ones when repeats are counted."""
LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "amqtt", "paho", "asyncio", "PIL")
LINES_MAX = 5000
FLUSH_S = 1.0

Sink = Callable[[int, str], None]
"""Writes one line of a level; may be slow, may raise OSError."""


class LineWriter:
    """A bounded buffer of lines and the thread that empties it into the sink."""

    def __init__(
        self,
        sink: Sink,
        on_tick: Callable[[], None],
        on_lost: Callable[[], None],
        file: LogFile | None = None,
    ) -> None:
        self._sink = sink
        self._file = file
        self._on_tick = on_tick
        self._on_lost = on_lost
        self._lines: deque[tuple[int, str]] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, level: int, line: str) -> None:
        """Hand over one line; never waits."""
        if len(self._lines) >= LINES_MAX:
            self._on_lost()
            return
        self._lines.append((level, line))
        self._wake.set()

    def redirect(self, sink: Sink) -> Sink:
        """Write to another sink from now on; returns the one before."""
        before, self._sink = self._sink, sink
        return before

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is buffered, at most for ``timeout_s``."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            self._on_tick()
            while self._lines:
                level, line = self._lines.popleft()
                if self._file is not None:
                    self._file.write(line)
                try:
                    self._sink(level, line)
                except (OSError, ValueError):  # the reader of the pipe went away
                    self._on_lost()
            if self._closing.is_set() and not self._lines:
                if self._file is not None:
                    self._file.close()
                return


class _RepeatKey(NamedTuple):
    level: int
    name: str
    event: str
    fields: tuple[tuple[str, str], ...]


class EventHandler(logging.Handler):
    """Turns records into lines: cleans, redacts, limits repeats, counts."""

    def __init__(self, settings: config.Logging, telemetry: Telemetry, clock: Clock) -> None:
        super().__init__()
        self._format = _format_of(settings)
        self._telemetry = telemetry
        self._clock = clock
        self._limiter = RepeatLimiter(settings.repeat_window_s, settings.repeat_max)
        self.file: LogFile | None = None
        if settings.file is not None:
            size, count = settings.file_limit_bytes, settings.file_count
            self.file = LogFile(settings.file, size, count, telemetry, clock)
        self.writer = LineWriter(write_stderr, self.flush_repeats, self._lost, self.file)

    def configure(self, settings: config.Logging) -> None:
        """Write by other settings from now on; repeats that were counted are written first."""
        self.acquire()
        try:
            self._write_repeats(self._limiter.ended(math.inf))
            self._format = _format_of(settings)
            self._limiter = RepeatLimiter(settings.repeat_window_s, settings.repeat_max)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count one record; called by logging under this handler's lock."""
        self._telemetry.count("log_events", level=record.levelname.lower())
        try:
            self._write_repeats(self._limiter.ended(self._clock()))
            event, fields = _event(record)
            key = _repeat_key(record, event, fields)
            if self._limiter.admit(key, self._clock()):
                self._put(record.created, record.levelno, record.name, event, fields)
            else:
                self._lost()
        except Exception as error:  # noqa: BLE001 - a value whose str() raises must not end who logs
            failed: dict[str, object] = {"of": str(record.msg), "error": type(error).__name__}
            self._put(record.created, logging.ERROR, record.name, "log_failed", failed)

    def flush_repeats(self) -> None:
        """Write the counts of the windows that have ended."""
        self.acquire()
        try:
            self._write_repeats(self._limiter.ended(self._clock()))
        finally:
            self.release()

    def close(self) -> None:
        """Write what is counted and buffered, then end the writer."""
        self.acquire()
        try:
            self._write_repeats(self._limiter.ended(math.inf))
        finally:
            self.release()
        self.writer.close()
        super().close()

    def _write_repeats(self, counts: list[tuple[Hashable, int]]) -> None:
        for key, repeats in counts:
            assert isinstance(key, _RepeatKey)
            fields: dict[str, object] = dict(key.fields)
            fields["repeats"] = repeats
            self._put(time.time(), key.level, key.name, key.event, fields)

    def _put(
        self, created: float, level: int, name: str, event: str, fields: dict[str, object]
    ) -> None:
        head: dict[str, object] = {
            "time": utc_text(created),
            "level": logging.getLevelName(level).lower(),
            "event": event,
            "logger": name.removeprefix("agent."),
        }
        line: dict[str, Value] = clean(head)
        for key, value in clean(fields).items():
            line[f"{key}_" if key in head else key] = value
        self.writer.put(level, self._format(line))

    def _lost(self) -> None:
        self._telemetry.count("log_events_suppressed")


class Logs:
    """The configured logging of the process; ``close`` puts everything back."""

    def __init__(self, handler: EventHandler, level: int) -> None:
        self._handler = handler
        self._root = logging.getLogger()
        self._before = (list(self._root.handlers), threading.excepthook)
        named = [self._root, *map(logging.getLogger, ("agent", *LIBRARIES))]
        self._levels = [(logger, logger.level) for logger in named]
        self._root.handlers = [handler]
        self._root.setLevel(logging.WARNING)
        for name in LIBRARIES:
            library = logging.getLogger(name)
            library.handlers.clear()
            library.propagate = True
        _set_level(level)
        logging.captureWarnings(capture=True)
        threading.excepthook = _log_dead_thread
        atexit.register(self.close)

    def redirect(self, sink: Sink) -> Sink:
        """Send the lines elsewhere, such as above a live terminal view; returns the sink before."""
        return self._handler.writer.redirect(sink)

    def configure(self, settings: config.Logging) -> None:
        """Write by other settings from now on."""
        self._handler.configure(settings)
        _set_level(_level_of(settings))

    def reopen(self) -> None:
        """Open the log file anew, after logrotate has taken it away; safe in a signal handler."""
        if self._handler.file is not None:
            self._handler.file.reopen()

    def close(self) -> None:
        """Write everything and take the handler off; a second call does nothing."""
        if self._handler not in self._root.handlers:
            return
        self._root.handlers, threading.excepthook = self._before
        for logger, level in self._levels:
            logger.setLevel(level)
        logging.captureWarnings(capture=False)
        atexit.unregister(self.close)
        self._handler.close()


def configure_logging(
    settings: config.Logging, telemetry: Telemetry, clock: Clock = time.monotonic
) -> Logs:
    """Send every event of the process to stderr as one line, and to the file that is configured,
    from now until ``close``."""
    return Logs(EventHandler(settings, telemetry, clock), _level_of(settings))


def _level_of(settings: config.Logging) -> int:
    return logging.getLevelNamesMapping()[settings.level.upper()]


def _set_level(level: int) -> None:
    logging.getLogger("agent").setLevel(level)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _format_of(settings: config.Logging) -> Callable[[dict[str, Value]], str]:
    return format_json if settings.format == "json" else format_keyvalue


def write_stderr(_level: int, line: str) -> None:
    """Write one line to the stderr of this moment; ``OSError`` when there is none."""
    if sys.stderr is None:  # a process may be started without one
        raise OSError("no stderr")
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def utc_text(created: float) -> str:
    """Return a Unix time as ``2026-01-31T23:59:59.123Z``."""
    text = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _event(record: logging.LogRecord) -> tuple[str, dict[str, object]]:
    """Return the event and its fields; a library's record becomes ``message`` with its text."""
    fields = dict(getattr(record, "fields", {}))
    event = record.msg if isinstance(record.msg, str) and hasattr(record, "fields") else "message"
    if event == "message":
        fields["message"] = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        fields["exception"] = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    return event, fields


def _repeat_key(record: logging.LogRecord, event: str, fields: dict[str, object]) -> _RepeatKey:
    kept = [(name, str(fields[name])) for name in KEY_FIELDS if name in fields]
    if event == "message":
        kept.append(("message", str(record.msg)))
    return _RepeatKey(record.levelno, record.name, event, tuple(kept))


def _log_dead_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "unknown"
    error = args.exc_value
    trace = "".join(traceback.format_exception(error)).rstrip() if error else str(args.exc_type)
    log_event(logger, logging.CRITICAL, "thread_died", thread=name, exception=trace)
