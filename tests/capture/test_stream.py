"""The age, the size and the refusals of network streams, against a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from agent.capture.source import Source, SourceError
from agent.capture.sources.rtsp import RtspSource
from agent.config.url import check_stream
from tests.capture.conftest import Capture
from tests.capture.streams import (
    CounterServer,
    StallingNetwork,
    Watcher,
    number_in,
    require_rtsp_server,
)
from tests.capture.support import camera
from tests.support import free_port, wait_until

pytestmark = pytest.mark.needs_gstreamer
MARGIN_S = 0.2


@pytest.fixture(autouse=True)
def _server() -> None:
    require_rtsp_server()


def opened(url: str, **keys: object) -> Source:
    source = RtspSource(camera(url, **{"fps": None, "read_timeout_s": 6.0, **keys}))
    source.open()
    return source


@pytest.mark.long
@pytest.mark.parametrize("codec", ["slices", "jpeg"])
def test_a_picture_is_as_old_as_its_stamp_says_and_none_is_left_inside(codec: str) -> None:
    fps = 5
    with (
        CounterServer(codec=codec, fps=fps) as server,
        Watcher(opened(server.url), server) as watcher,
    ):
        watcher.wait_for(8)
        server.toggle()
        newest = max(server.made)
        wait_until(lambda: watcher.seen[-1].number == newest, 2.5, "the last picture came out")
        numbers = [seen.number for seen in watcher.seen]
        assert numbers == list(range(numbers[0], newest + 1))
        assert max(seen.hidden_s for seen in watcher.seen) <= 1 / fps + MARGIN_S
        assert watcher.errors == []


@pytest.mark.long
def test_after_a_stall_pictures_show_their_age_and_the_old_ones_are_dropped(
    capture: Capture,
) -> None:
    with CounterServer(codec="h264", fps=10) as server, StallingNetwork(server.port) as network:
        run = capture(camera(network.url, fps=None, max_age_s=1.0, read_timeout_s=20.0))
        run.wait_for_frames(15, timeout_s=40)
        network.pause(3.0)
        run.wait_for_frames(20, timeout_s=40)
        wait_until(lambda: run.dropped()["stale"] >= 15, 10, str(run.dropped()))
        hidden = [frame.captured_mono - server.made[number_in(frame.image)] for frame in run.frames]
        assert max(hidden) <= 1 / 10 + MARGIN_S
        states = [state for state, _ in run.seen()]
        assert "backoff" not in states
        assert run.seen()[-1] == ("live", "frames_resumed"), "the stall was told of"


@pytest.mark.long
def test_the_queue_at_a_connect_is_not_new(capture: Capture) -> None:
    """A network that was stalled while the stream began hands out what was sent meanwhile."""
    with CounterServer(codec="jpeg", fps=10) as server, StallingNetwork(server.port) as network:
        source = RtspSource(camera(network.url, fps=None, read_timeout_s=10.0))
        opening = threading.Thread(target=source.open)
        opening.start()
        wait_until(lambda: len(server.made) >= 2, 20, "the stream has begun")
        network.pause(1.5)
        opening.join(20)
        with Watcher(source, server) as watcher:
            watcher.wait_for(20)
            assert max(seen.hidden_s for seen in watcher.seen) <= 1 / 10 + MARGIN_S


@pytest.mark.long
def test_a_stream_that_changes_its_size_is_opened_anew_and_told_of(
    capture: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    with CounterServer(codec="jpeg", fps=10, size="320x240", then="240x240", at=15) as server:
        run = capture(camera(server.url, fps=None))
        run.wait_for("backoff", "size_changed", 40)
        wait_until(lambda: run.frames[-1].image.shape == (240, 240, 3), 40, "the new size")
        assert {frame.image.shape[:2] for frame in run.frames} == {(240, 320), (240, 240)}
        told = [r.fields for r in caplog.records if r.message == "camera_differs"]
        assert [(t["what"], t["requested"], t["reported"]) for t in told] == [
            ("width_px", 320, 240)
        ]


@pytest.mark.long
def test_lanes_are_not_cut_from_a_stream_of_another_size_than_before(capture: Capture) -> None:
    lanes = ({"name": "cam1", "region": (0, 0, 120, 240)},)
    with CounterServer(codec="h264", fps=10, size="320x240", then="240x240", at=15) as server:
        run = capture(camera(server.url, fps=None, lanes=lanes))
        wait_until(lambda: run.seen().count(("backoff", "size_changed")) >= 3, 40, "it stays away")
        details = [s.detail for s in run.history if s.cause == "size_changed"]
        assert all("240 x 240" in detail and "320 x 240" in detail for detail in details)
        assert {frame.image.shape for frame in run.frames} == {(240, 120, 3)}
        assert run.count() <= 15


@pytest.mark.parametrize(
    ("path", "user", "reason"),
    [
        ("cam", "joe:wrong", "unauthorised"),
        ("cam", "", "unauthorised"),
        ("other", "joe:p%23%2F%3F%40%25", "not_found"),
    ],
)
def test_a_refusal_says_what_was_refused(
    protected: CounterServer, path: str, user: str, reason: str
) -> None:
    host = f"127.0.0.1:{protected.port}"
    with pytest.raises(SourceError) as caught:
        opened(f"rtsp://{user}@{host}/{path}" if user else f"rtsp://{host}/{path}")
    assert caught.value.reason == reason
    assert not caught.value.permanent, "somebody may mend the camera"
    assert "joe" not in str(caught.value)


def test_a_password_with_signs_of_its_own_is_written_encoded(protected: CounterServer) -> None:
    url = f"rtsp://joe:p%23%2F%3F%40%25@127.0.0.1:{protected.port}/cam"
    check_stream(url)
    opened(url).close()


@pytest.fixture(scope="module")
def protected() -> Iterator[CounterServer]:
    require_rtsp_server()
    with CounterServer(codec="jpeg", fps=5, user="joe", password="p#/?@%") as server:
        yield server


def opened_at_last(url: str, transport: str) -> Source:
    """A server that clears up after the client before answers 503 for a moment."""
    for _ in range(50):
        try:
            return opened(url, transport=transport)
        except SourceError as error:
            if "503" not in str(error):
                raise
            time.sleep(0.2)
    return opened(url, transport=transport)


def test_a_stream_over_udp_and_what_offers_no_other() -> None:
    with CounterServer(codec="jpeg", fps=10, protocols="udp") as server:
        with pytest.raises(SourceError, match=r"open_failed.*transport tcp"):
            opened(server.url)
        for transport in ("udp", "auto"):
            source = opened_at_last(server.url, transport)
            with Watcher(source, server) as watcher:
                watcher.wait_for(5)


def test_nobody_there_is_told_as_such() -> None:
    with pytest.raises(SourceError, match=r"open_failed.*nothing listens"):
        opened(f"rtsp://127.0.0.1:{free_port()}/cam")
