"""What the terminal shows: everything that matters, within its width, and never torn."""

from __future__ import annotations

import io
import logging
import math
import sys
import threading
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from agent import config
from agent.observability.logging.logs import configure_logging
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.terminal import terminal
from agent.observability.terminal.render import COLUMNS, duration, number, short
from agent.observability.terminal.terminal import TerminalView, render, summary
from agent.observability.view import (
    AgentView,
    CameraView,
    ClassView,
    ExplanationsView,
    ExplanationView,
    LevelView,
    MessagesView,
    Percentiles,
    ProcessView,
    ReadingView,
)
from agent.records import LinkStatus, MachineInfo, MachineState, PoolStatus
from agent.telemetry import log_event
from tests.observability.samples import alarm
from tests.observability.support import FakeClock
from tests.support import wait_until

MIB = 1024 * 1024


def camera(name: str = "cam1", **changes: object) -> CameraView:
    whole = CameraView(
        name=name, source="sim:", state="live", fps=4.7, frames_captured=1234,
        frames_segmented=1230, frames_dropped=4, drops={"capture/expired": 4}, fruit=1200,
        fruit_no_read=24, fruit_per_minute=280.0,
        reading=ReadingView("f", 0, 0.1, True, 12.5, "none", 0.97),
        levels={"no_read_rate": LevelView(0.02, 0.2, 280, judged=True)},
        capture_to_mask=Percentiles(0.035, 0.049, 0.05, 280),
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


def agent_view(*cameras: CameraView, **changes: object) -> AgentView:
    seen = (0.82, 0.11, 0.12)
    classes = (
        ClassView("suture", True, "", 0.5, 0.5, 0.5, *seen),
        ClassView("stem", False, "absent"),
    )
    newest = ExplanationView(
        "cam1", "f", 0, 1.0, "periodic", "exact", "ablation-cam", "decoder1", 0.84, classes
    )
    whole = AgentView(
        agent_id="line-1", version="0.1.0", session="7f", utc_ms=1_700_000_100_000,
        uptime_s=3723.0, config_hash="c0ffee", model_name="default", model_sha256="ab" * 32,
        layer="decoder1", broker_url="mqtt://127.0.0.1:18883", http_url="http://127.0.0.1:9464",
        machine=MachineInfo(MachineState.RUNNING), cameras=cameras or (camera(),),
        explanations=ExplanationsView(
            selected=40, completed=38, dropped=1, in_flight=1, per_minute=24.0,
            compute=Percentiles(0.84, 1.0, 1.1, 24), newest=(newest,),
        ),
        workers=PoolStatus(workers=2, ready=1, busy=1, restarts=3, breaker_open=False),
        link=LinkStatus(connected=True, protocol="5", reason="", since_mono=0.0),
        messages=MessagesView(500, 495, 3, 2, {"metric/offline": 3}),
        processes=(ProcessView("agent", 1, 400 * MIB), ProcessView("worker", 2, 700 * MIB)),
    )  # fmt: skip
    return replace(whole, **changes)  # type: ignore[arg-type]


def drawn(view: AgentView, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None, force_terminal=False)
    console.print(render(view, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_that_an_operator_asks_for_is_there(width: int) -> None:
    text = drawn(agent_view(alarms=(alarm(),)), width)
    for shown in (
        "line-1", "1:02:03", "machine running", "http://127.0.0.1:9464",
        "broker mqtt://127.0.0.1:18883  connected (MQTT 5)", "live", "4.7", "1234", "1200", "98%",
        "12.5°", "97%", "35/49/50", "! HIGH Camera cam2 delivers no picture", "0:01:40",
        "38 done", "24/min", "0.84 s each", "1 dropped", "exact, periodic, decoder1",
        "82%", "11%", "12%", "absent", "1 of 2 ready", "3 restarts", "495 delivered",
        "3 dropped (metric/offline 3)", "1100 MiB", "worker x2 700",
    ):  # fmt: skip
        assert shown in text, f"{shown!r} is not in\n{text}"


@pytest.mark.parametrize("width", [24, 32, 40, 50, 60, 79])
def test_a_narrow_terminal_shows_whole_numbers_or_none(width: int) -> None:
    """``1200`` was shown as ``12``."""
    lanes = camera("cam1"), camera("lane2")
    lines = drawn(agent_view(*lanes, alarms=(alarm(),)), width).splitlines()
    title = next(line for line in lines if line.startswith("camera"))
    (first, second) = (line for line in lines if " live " in f"{line} ")
    assert first.startswith("cam1")
    assert second.startswith("lane2")
    whole = {"live", "4.7", "1234", "1200", "98%", "12.5°", "97%", "35/49/50", "4"}
    assert set(first.split()[1:]) <= whole
    shown = title.replace("p50/95/99 ms", "p50").split()
    assert len(shown) == len(first.split())
    assert set(shown) <= {"camera", *(name.split("/")[0] for name, _ in COLUMNS)}


@pytest.mark.parametrize("width", [24, 60, 80, 100, 104, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    cameras = [camera("a-lane-with-quite-a-long-name-of-its-own", frames_captured=10**9)] * 3
    view = agent_view(*cameras, alarms=(alarm(),), broker_url="mqtt://" + "x" * 100)
    assert max(len(line) for line in drawn(view, width).splitlines()) <= width


def test_a_small_terminal_of_24_lines_holds_two_cameras() -> None:
    text = drawn(agent_view(camera("cam1"), camera("cam2"), alarms=(alarm(),)), 80)
    assert len(text.splitlines()) <= 24


def test_what_is_not_known_is_a_dash_and_never_a_zero_or_nan() -> None:
    empty = CameraView(name="cam1", source="sim:", state="", cause="")
    text = drawn(agent_view(empty, explanations=ExplanationsView(), workers=None, link=None), 120)
    assert "nan" not in text
    assert "starting" in text
    assert "-/-/-" in text
    assert "broker off" in text
    assert "none: frames are not explained" in text


def test_alarms_come_with_the_most_severe_first_and_hidden_ones_not_at_all() -> None:
    low, high = alarm("a", severity=300), replace(alarm("b"), message="Stop the line.")
    hidden = replace(alarm("c"), suppressed=True, message="hidden")
    text = drawn(agent_view(alarms=(low, hidden, alarm("d", active=False), high)), 80)
    assert text.index("Stop the line.") < text.index("! LOW")
    assert "hidden" not in text
    assert "No alarm" in drawn(agent_view(), 80)
    many = tuple(alarm(f"alarm{n}") for n in range(9))
    assert "and 4 more" in drawn(agent_view(alarms=many), 80)


def test_an_alarm_sentence_wraps_and_is_never_cut() -> None:
    words = "Cut the power of the pitter and call the engineer before the next lot runs " * 3
    text = drawn(agent_view(alarms=(replace(alarm(), message=words.strip()),)), 80)
    assert " ".join(words.split()) in " ".join(text.split())


def test_a_broker_that_is_away_and_workers_that_are_off_say_why() -> None:
    text = drawn(
        agent_view(
            link=LinkStatus(False, "", "connection refused", 0.0),
            workers=PoolStatus(2, 0, 0, 6, True, "6 restarts in 300 s"),
        ),
        80,
    )
    assert "away: connection refused" in text
    assert "switched off: 6 restarts in 300 s" in text


def test_numbers_stay_short() -> None:
    assert [short(n) for n in (0, 9999, 12345, 99949, 123456, 12_345_678, 999_999_999)] == [
        "0", "9999", "12.3k", "99.9k", "123k", "12.3M", "1000M",
    ]  # fmt: skip
    assert duration(90061) == "1d 1:01:01"
    assert (duration(math.nan), number(math.nan)) == ("-", "-")


# --- the thread ----------------------------------------------------------------------------------


class Tty(io.StringIO):
    """A terminal that remembers."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen() -> Tty:
    return Tty()


def test_on_a_terminal_the_view_is_drawn_again_and_again_until_it_stops(screen: Tty) -> None:
    drawings = []

    def source() -> AgentView:
        drawings.append(1)
        return agent_view(uptime_s=float(len(drawings)))

    shown = TerminalView(source, Console(file=screen, force_terminal=True, width=80), 0.01)
    shown.start()
    wait_until(lambda: len(drawings) >= 3)
    shown.stop()
    assert f"up 0:00:{len(drawings):02d}" in screen.getvalue()  # the last snapshot stays


def test_log_lines_are_printed_whole_above_the_view(
    screen: Tty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    telemetry = PrometheusTelemetry(CollectorRegistry(), FakeClock())
    logs = configure_logging(config.Logging(), telemetry)
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    shown = TerminalView(agent_view, console, 0.01, logs)
    shown.start()
    wait_until(lambda: "Pitwatch" in screen.getvalue())
    log_event(logging.getLogger("agent.x"), logging.WARNING, "camera_lost", cause="c" * 200)
    wait_until(lambda: "camera_lost" in screen.getvalue())
    shown.stop()
    logs.close()
    assert f"cause={'c' * 200}\n" in screen.getvalue()


def test_elsewhere_a_summary_line_is_logged_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(terminal, "SUMMARY_S", 0.01)
    caplog.set_level(logging.INFO)
    output = io.StringIO()
    shown = TerminalView(agent_view, Console(file=output))
    shown.start()
    wait_until(lambda: len(caplog.records) >= 2)
    shown.stop()
    fields = caplog.records[0].fields  # type: ignore[attr-defined]
    assert caplog.records[0].message == "summary"
    assert (fields["frames"], fields["read_percent"], fields["mask_p95_ms"]) == (1234, 98.0, 49.0)
    assert output.getvalue() == ""


@pytest.mark.parametrize(
    "cameras", [(), (CameraView(name="cam1", source="sim:", state="connecting"),)]
)
def test_a_summary_of_an_agent_that_has_just_started_has_no_nan(
    cameras: tuple[CameraView, ...],
) -> None:
    fields = summary(replace(agent_view(), cameras=cameras))
    assert fields["read_percent"] == "unknown"
    assert not any(isinstance(v, float) and math.isnan(v) for v in fields.values())


def test_a_terminal_that_cannot_move_its_cursor_gets_summary_lines(
    screen: Tty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(terminal, "SUMMARY_S", 0.01)
    caplog.set_level(logging.INFO)
    dumb = Console(file=screen, force_terminal=True, _environ={"TERM": "dumb"})
    shown = TerminalView(agent_view, dumb)
    shown.start()
    wait_until(lambda: "summary" in caplog.messages)
    shown.stop()
    assert set(caplog.messages) == {"summary"}
    assert screen.getvalue() == ""


def test_a_terminal_that_cannot_show_a_character_gets_summary_lines(
    screen: Tty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(terminal, "SUMMARY_S", 0.01)
    caplog.set_level(logging.INFO)

    class Ascii(Tty):
        def write(self, text: str) -> int:
            text.encode("ascii")
            return super().write(text)

    shown = TerminalView(agent_view, Console(file=Ascii(), force_terminal=True), 0.01)
    shown.start()
    wait_until(lambda: "summary" in caplog.messages)
    shown.stop()
    assert caplog.messages[0] == "terminal_failed"


def test_a_view_that_hangs_does_not_hold_the_end_up(screen: Tty) -> None:
    held = threading.Event()

    def source() -> AgentView:
        held.wait(30)
        return agent_view()

    shown = TerminalView(source, Console(file=screen, force_terminal=True))
    shown.start()
    shown.stop(timeout_s=0.05)
    held.set()
