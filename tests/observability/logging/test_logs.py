"""The process's logging: one line per event, limited, redacted, and never in the way."""

from __future__ import annotations

import json
import logging
import re
import threading
import warnings
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from agent import config
from agent.observability.logging.log_format import parse_keyvalue
from agent.observability.logging.logs import LINES_MAX, EventHandler, Logs, configure_logging
from agent.observability.prometheus import PrometheusTelemetry
from agent.telemetry import log_event
from tests.observability.support import FakeClock
from tests.support import wait_until

logger = logging.getLogger("agent.capture.system")


class Lines:
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, level: int, line: str) -> None:
        self.lines.append(line)

    def wait(self, count: int) -> list[dict[str, str]]:
        wait_until(lambda: len(self.lines) >= count, 5, f"{count} lines, there are {self.lines}")
        return [parse_keyvalue(line) for line in self.lines]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def telemetry(clock: FakeClock) -> PrometheusTelemetry:
    return PrometheusTelemetry(CollectorRegistry(), clock, strict=True)


@pytest.fixture
def sink() -> Lines:
    return Lines()


@pytest.fixture
def logs(telemetry: PrometheusTelemetry, clock: FakeClock, sink: Lines) -> Iterator[Logs]:
    logs = configure_logging(config.Logging(repeat_max=2), telemetry, clock)
    logs.redirect(sink)
    yield logs
    logs.close()


def test_an_event_is_one_line_with_time_level_event_logger_and_fields(
    logs: Logs, sink: Lines
) -> None:
    log_event(logger, logging.WARNING, "camera_lost", camera="cam1", cause="no route\nto host")
    (line,) = sink.wait(1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "camera_lost",
        "logger": "capture.system",
        "camera": "cam1",
        "cause": "no route\nto host",
    }


def test_the_json_format_is_one_object_a_line(telemetry: PrometheusTelemetry, sink: Lines) -> None:
    logs = configure_logging(config.Logging(format="json"), telemetry)
    logs.redirect(sink)
    log_event(logger, logging.INFO, "pool_ready", workers=2, password="s3cret")
    logs.close()
    line = json.loads(sink.lines[0])
    assert (line["event"], line["workers"], line["password"]) == ("pool_ready", 2, "***")


def test_a_field_with_the_name_of_a_head_field_does_not_hide_it(logs: Logs, sink: Lines) -> None:
    log_event(logger, logging.INFO, "alarm", level="high", event="x")
    (line,) = sink.wait(1)
    assert (line["level"], line["level_"], line["event"], line["event_"]) == (
        "info", "high", "alarm", "x",
    )  # fmt: skip


def test_an_exception_is_one_line_without_the_secrets_in_it(logs: Logs, sink: Lines) -> None:
    def connect() -> None:
        raise ConnectionError("cannot open rtsp://admin:s3cret@10.0.0.7/x")

    try:
        connect()
    except ConnectionError:
        logger.exception("failed with token=%s", "s3cret")
    (line,) = sink.wait(1)
    assert "s3cret" not in sink.lines[0]
    assert line["event"] == "message"
    assert line["message"] == "failed with token=***"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ConnectionError: cannot open rtsp://***@10.0.0.7/x")


def test_repeats_are_counted_and_told_when_their_window_ends(
    logs: Logs, sink: Lines, clock: FakeClock, telemetry: PrometheusTelemetry
) -> None:
    for number in range(50):
        log_event(logger, logging.WARNING, "frame_dropped", camera="cam1", frame=number)
    log_event(logger, logging.WARNING, "frame_dropped", camera="cam2", frame=0)
    assert [line["camera"] for line in sink.wait(3)] == ["cam1", "cam1", "cam2"]
    clock.now += 10.0
    told = sink.wait(4)[-1]  # by the writer itself: nothing else is logged
    assert (told["event"], told["camera"], told["repeats"]) == ("frame_dropped", "cam1", "48")
    assert telemetry.total("log_events", level="warning") == 51
    assert telemetry.total("log_events_suppressed") == 48


def test_what_was_counted_is_told_at_the_end(logs: Logs, sink: Lines) -> None:
    for _ in range(5):
        log_event(logger, logging.WARNING, "frame_dropped", camera="cam1")
    logs.close()
    assert parse_keyvalue(sink.lines[-1])["repeats"] == "3"


def test_libraries_are_quiet_and_their_warnings_are_events_too(logs: Logs, sink: Lines) -> None:
    for name in ("uvicorn.access", "uvicorn.error", "amqtt.broker", "paho.mqtt.client", "other"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("%s is wrong", name)
    warnings.warn("old way", UserWarning, stacklevel=1)
    lines = sink.wait(6)
    assert [line["level"] for line in lines] == ["warning"] * 6
    assert lines[2]["message"] == "amqtt.broker is wrong"
    assert "old way" in lines[5]["message"]


def test_the_level_is_that_of_the_configuration(
    telemetry: PrometheusTelemetry, sink: Lines
) -> None:
    logs = configure_logging(config.Logging(level="error"), telemetry)
    logs.redirect(sink)
    log_event(logger, logging.WARNING, "quiet")
    log_event(logger, logging.ERROR, "loud")
    logs.close()
    assert [parse_keyvalue(line)["event"] for line in sink.lines] == ["loud"]


def test_a_value_that_cannot_be_text_costs_its_line_and_not_the_caller(
    logs: Logs, sink: Lines
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    log_event(logger, logging.INFO, "odd", value=Broken())
    (line,) = sink.wait(1)
    assert (line["event"], line["of"], line["error"]) == ("log_failed", "odd", "RuntimeError")


def test_a_library_call_with_wrong_arguments_does_not_end_the_caller(
    logs: Logs, sink: Lines
) -> None:
    wrong = logging.LogRecord("other", logging.WARNING, "", 0, "%d items", ("many",), None)
    own = next(h for h in logging.getLogger().handlers if isinstance(h, EventHandler))
    own.handle(wrong)  # directly: pytest's own handler raises where a library's user would not
    (line,) = sink.wait(1)
    assert line["event"] == "log_failed"


def test_a_sink_that_nobody_reads_does_not_stop_who_logs(
    logs: Logs, telemetry: PrometheusTelemetry
) -> None:
    stuck = threading.Event()
    logs.redirect(lambda level, line: stuck.wait(30) and None)
    for number in range(LINES_MAX + 100):
        log_event(logger, logging.INFO, "event", reason=str(number))
    lost = telemetry.total("log_events_suppressed")
    stuck.set()
    assert 90 <= lost <= 100


def test_a_sink_whose_reader_went_away_does_not_stop_the_writer(logs: Logs, sink: Lines) -> None:
    def gone(level: int, line: str) -> None:
        raise BrokenPipeError

    logs.redirect(gone)
    log_event(logger, logging.INFO, "lost")
    wait_until(lambda: logs.redirect(gone) is gone)
    log_event(logger, logging.INFO, "lost_too")
    logs.redirect(sink)
    log_event(logger, logging.INFO, "there")
    wait_until(lambda: any("event=there" in line for line in sink.lines))


def test_a_thread_that_dies_is_told(logs: Logs, sink: Lines) -> None:
    def fail() -> None:
        raise ValueError("gone with password=s3cret")

    thread = threading.Thread(target=fail, name="desk")
    thread.start()
    thread.join()
    (line,) = sink.wait(1)
    assert (line["event"], line["level"], line["thread"]) == ("thread_died", "critical", "desk")
    assert "s3cret" not in line["exception"]


def test_lines_go_to_stderr_and_closing_restores_what_was(
    telemetry: PrometheusTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = logging.getLogger("agent")
    before = (logging.getLogger().handlers[:], threading.excepthook, agent.level)
    logs = configure_logging(config.Logging(level="debug"), telemetry)
    assert agent.level == logging.DEBUG
    log_event(logger, logging.INFO, "started")
    logs.close()
    logs.close()
    assert parse_keyvalue(capsys.readouterr().err.strip())["event"] == "started"
    assert (logging.getLogger().handlers, threading.excepthook, agent.level) == before
