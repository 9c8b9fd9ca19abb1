"""RTSP against a real server that is killed, restarted and frozen."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from agent.records import CameraState, MachineInfo, MachineState
from tests.capture.conftest import Capture
from tests.capture.streams import require_rtsp_server, start_rtsp_server
from tests.capture.support import camera
from tests.support import free_port, wait_until

pytestmark = pytest.mark.needs_gstreamer

SCRIPT = Path(__file__).with_name("rtsp_server.py")
Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers; they are gone when the test is over."""
    require_rtsp_server()
    servers: list[subprocess.Popen[str]] = []

    def start(port: int, *options: str) -> subprocess.Popen[str]:
        servers.append(start_rtsp_server(SCRIPT, port, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def stream(port: int, **keys: object) -> dict[str, object]:
    url = f"rtsp://joe:secret@127.0.0.1:{port}/cam"
    return {"source": url, "fps": None, "open_timeout_s": 3.0, "read_timeout_s": 2.0, **keys}


def test_a_stream_that_is_killed_and_restarted_is_live_again(
    capture: Capture, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    port = free_port()
    server = serve(port)
    run = capture(camera(**stream(port)))
    run.wait_for_frames(20, timeout_s=40)
    assert run.frames[0].image.shape == (120, 160, 3)
    assert not np.array_equal(run.frames[0].image, run.frames[5].image)
    status = run.system.statuses()[0]
    assert (status.state, status.width_px, status.height_px) == (CameraState.LIVE, 160, 120)
    assert status.fps == 15.0

    server.kill()
    server.wait()
    run.wait_for("backoff", "read_failed", 20)
    run.wait_for("backoff", "open_failed", 20)
    serve(port)
    run.wait_for_frames(10, timeout_s=40)
    assert run.state() is CameraState.LIVE
    text = caplog.text + str(run.history) + str([r.__dict__ for r in caplog.records])
    assert "secret" not in text
    assert "rtsp://***@127.0.0.1" in text


@pytest.mark.long
def test_a_stream_that_freezes_is_stalled_within_the_bar_then_replaced(
    capture: Capture, serve: Serve
) -> None:
    port = free_port()
    server = serve(port, "h264")
    run = capture(camera(**stream(port)))
    run.wait_for_frames(20, timeout_s=40)
    os.kill(server.pid, signal.SIGSTOP)
    run.wait_for("stalled", "silence", 20)
    newest = max(frame.captured_mono for frame in run.frames)
    stalled = next(s for s in run.history if s.cause == "silence")
    assert 1.0 <= stalled.since_mono - newest < 4.0  # the bar is 1 s; other work shares the cores
    run.wait_for("backoff", "read_timeout", 20)
    # A picture that the decoder still held and gave out late would look like a live camera.
    assert [cause for _, cause in run.seen()] == ["start", "first_frame", "silence", "read_timeout"]
    run.wait_for("backoff", "open_timeout", 30)
    os.kill(server.pid, signal.SIGCONT)
    run.wait_for_frames(5, timeout_s=40)
    assert run.state() is CameraState.LIVE


@pytest.mark.long
def test_still_streams_are_frozen_while_the_machine_runs_and_no_fault_while_it_stands(
    capture: Capture, serve: Serve
) -> None:
    ports = {"jpeg": free_port(), "h264": free_port()}
    for codec, port in ports.items():
        serve(port, "still", codec)
    run = capture(
        *(camera(**stream(port), name=name, frozen_after_s=1.5) for name, port in ports.items())
    )
    run.system.set_machine(MachineInfo(state=MachineState.STOPPED))
    for name in ports:
        wait_until(lambda: run.count(name) >= 40, 40)  # noqa: B023 - called within this turn
        assert run.state(name) is CameraState.LIVE
    run.system.set_machine(MachineInfo(state=MachineState.RUNNING))
    for name in ports:
        wait_until(lambda: run.state(name) is CameraState.FROZEN, 20, str(run.history))  # noqa: B023
