"""A stream of a real RTSP server into a real broker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.capture.test_rtsp import Serve, serve  # noqa: F401 - a fixture
from tests.support import free_port
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import forked_agent


@pytest.mark.needs_gstreamer
@pytest.mark.needs_mosquitto
def test_an_rtsp_stream_is_segmented_into_a_broker(
    tmp_path: Path,
    serve: Serve,  # noqa: F811
) -> None:
    port = free_port()
    serve(port)
    config = tmp_path / "rtsp.yaml"
    with mosquitto(tmp_path) as broker, Observer(broker.port) as seen:
        config.write_text(
            f"mqtt: {{broker: '{broker.url}'}}\n"
            f"cameras: [{{name: cam1, source: 'rtsp://127.0.0.1:{port}/cam', mode: triggered}}]\n"
        )
        with forked_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait_ready()
            readings = seen.wait("/fruit/cam1", 30, 60)
            code, _ = agent.stop()
    assert code == 0
    assert all("angle_deg" in json.loads(message.payload) for message in readings)
    books = agent.final_books()["cam1"]
    assert books["captured"] == books["segmented"] + books["dropped"]
    assert books["in_flight"] == 0
