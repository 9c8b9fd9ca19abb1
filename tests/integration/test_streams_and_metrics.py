"""A stream of a real RTSP server into a real broker; a real Prometheus at a running agent."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.capture.test_rtsp import Serve, serve  # noqa: F401 - a fixture
from tests.support import free_port, require_tool
from tests.support.mosquitto import Observer, mosquitto
from tests.support.prometheus import running_prometheus
from tests.support.running import PROMPT_WORKERS, running_agent


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
        with running_agent(tmp_path, "--config", str(config)) as agent:
            agent.wait_ready()
            readings = seen.wait("/fruit/cam1", 30, 60)
            code, _ = agent.stop()
    assert code == 0
    assert all("angle_deg" in json.loads(message.payload) for message in readings)
    books = agent.final_books()["cam1"]
    assert books["captured"] == books["segmented"] + books["dropped"]
    assert books["in_flight"] == 0


@pytest.mark.needs_prometheus
def test_a_real_prometheus_scrapes_a_running_agent(tmp_path: Path) -> None:
    require_tool("promtool")
    config = tmp_path / "pitwatch.yaml"
    config.write_text(PROMPT_WORKERS)
    arguments = ("--config", str(config), "--broker", "none", "--source", "sim:?seed=9")
    with (
        running_agent(tmp_path, *arguments) as agent,
        running_prometheus(tmp_path / "prometheus", agent.port) as prometheus,
    ):
        agent.wait_ready()
        agent.wait(lambda: agent.total("pitwatch_jobs_completed_total") >= 1, 90, "explained")
        _, metrics = agent.get("/metrics")
        check = subprocess.run(
            ["promtool", "check", "metrics"], input=metrics, capture_output=True, timeout=30
        )
        assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
        p95 = (
            "histogram_quantile(0.95, sum by (le) "
            "(rate(pitwatch_capture_to_mask_seconds_bucket[10s])))"
        )
        (sample,) = prometheus.wait_for(f"{p95} > 0", 60)
        assert 0 < float(sample["value"][1]) < 2.5
        (info,) = prometheus.wait_for("pitwatch_info")
        assert info["metric"]["model_sha256"] == agent.status()["model_sha256"]
        balance = (
            "pitwatch_frames_captured_total - on(camera) pitwatch_frames_segmented_total"
            " - on(camera) (sum by (camera) (pitwatch_frames_dropped_total)"
            " or on(camera) pitwatch_frames_captured_total * 0)"
        )
        # More may be in flight for a moment, on a machine that is busy; never less than none.
        (left,) = prometheus.wait_for(f"({balance}) <= 2", 60)
        assert float(left["value"][1]) >= 0
