"""The live view in a terminal, or one summary line now and then where there is none."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.observability.logging.logs import Logs, Sink
from agent.observability.terminal.render import active_alarms, render
from agent.observability.view import AgentView
from agent.telemetry import log_event

__all__ = ["TerminalView", "render", "summary"]

logger = logging.getLogger(__name__)

SUMMARY_S = 10.0
LEVEL_STYLE = {logging.DEBUG: "dim", logging.WARNING: "yellow", logging.ERROR: "red"}


def summary(view: AgentView) -> dict[str, object]:
    """Return the fields of one summary line: totals over all cameras, the worst of latencies."""
    cameras = view.cameras
    live = sum(camera.state == "live" for camera in cameras)
    fruit = sum(camera.fruit for camera in cameras)
    unread = sum(camera.fruit_no_read for camera in cameras)
    slowest = max(
        (c.capture_to_mask.p95_s for c in cameras if c.capture_to_mask.count), default=0.0
    )
    fields: dict[str, object] = {
        "uptime_s": int(view.uptime_s),
        "cameras_live": f"{live}/{len(cameras)}",
        "frames": sum(camera.frames_captured for camera in cameras),
        "frames_dropped": sum(camera.frames_dropped for camera in cameras),
        "fruit": fruit,
        "read_percent": round(100 * (1 - unread / fruit), 1) if fruit else "unknown",
        "mask_p95_ms": round(1000 * slowest, 1),
        "explanations": view.explanations.completed,
        "explanations_dropped": view.explanations.dropped,
        "messages": view.messages.delivered,
        "messages_dropped": view.messages.dropped,
        "broker": "off" if view.link is None else "up" if view.link.connected else "away",
        "alarms": ",".join(alarm.alarm_id for alarm in active_alarms(view)) or "none",
        "memory_mib": sum(p.resident_bytes for p in view.processes) // (1024 * 1024),
    }
    return fields


class TerminalView:
    """Shows the snapshot about twice a second while it runs, in a thread of its own.

    On a terminal, log lines are printed above the view instead of through it. Anywhere else, on one
    that cannot move its cursor (``TERM=dumb``), and when drawing fails (a character that it cannot
    show), a summary line is logged every ten seconds.
    """

    def __init__(
        self,
        view_source: Callable[[], AgentView],
        console: Console,
        interval_s: float = 0.5,
        logs: Logs | None = None,
    ) -> None:
        self._view_source = view_source
        self._console = console
        self._interval_s = interval_s
        self._logs = logs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminal", daemon=True)

    def start(self) -> None:
        """Begin to show."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Draw once more, leave that on the screen, and give the terminal back."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def print_line(self, level: int, line: str) -> None:
        """Print a log line above the view; a sink for ``Logs.redirect``."""
        self._console.print(Text(line, LEVEL_STYLE.get(level, "")), soft_wrap=True)

    def _run(self) -> None:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            try:
                self._draw()
            except Exception as error:  # noqa: BLE001 - whatever a terminal does, the agent goes on
                log_event(logger, logging.ERROR, "terminal_failed", error=repr(error))
            else:
                return
        while not self._stopping.wait(SUMMARY_S):
            log_event(logger, logging.INFO, "summary", **summary(self._view_source()))

    def _draw(self) -> None:
        live = Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stderr=sys.stderr.isatty(),  # what goes to a file must not come to the screen
        )
        before: Sink | None = None
        try:
            with live:
                if self._logs is not None and sys.stderr.isatty():
                    before = self._logs.redirect(self.print_line)
                while True:
                    ending = self._stopping.is_set()
                    view = self._view_source()
                    live.update(render(view, self._console.width), refresh=True)
                    if ending:
                        return
                    self._stopping.wait(self._interval_s)
        finally:
            if self._logs is not None and before is not None:
                self._logs.redirect(before)
