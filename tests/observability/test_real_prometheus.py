"""A real Prometheus scrapes the running server and answers queries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.telemetry import CATALOGUE, Kind
from tests.observability.conftest import FakeAgent
from tests.observability.http.served import Served
from tests.observability.support import touch_everything
from tests.support import require_tool
from tests.support.prometheus import RunPrometheus

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"


@pytest.mark.needs_prometheus
def test_prometheus_scrapes_the_agent_and_has_a_sample_of_every_metric(
    agent: FakeAgent, server: Served, prometheus: RunPrometheus
) -> None:
    touch_everything(agent.telemetry)
    there = prometheus(server.port)
    (up,) = there.wait_for('up{job="pitwatch"} == 1')
    assert up["value"][1] == "1"
    suffix = {Kind.COUNTER: "_total", Kind.GAUGE: "", Kind.HISTOGRAM: "_count"}
    for metric in CATALOGUE:
        name = f"pitwatch_{metric.name}{suffix[metric.kind]}"
        assert there.query(name), f"no sample of {name}"
    p95 = "histogram_quantile(0.95, sum by (le) (pitwatch_capture_to_mask_seconds_bucket))"
    (sample,) = there.query(p95)
    assert 0.02 < float(sample["value"][1]) <= 0.03
    (target,) = there.get("targets")["activeTargets"]
    assert target["lastError"] == ""


@pytest.mark.long
@pytest.mark.needs_prometheus
def test_prometheus_keeps_the_frame_id_of_a_latency(
    agent: FakeAgent, server: Served, prometheus: RunPrometheus
) -> None:
    agent.telemetry.observe(
        "capture_to_mask_seconds", 0.4, exemplar="cam1-7f-000042", camera="cam1"
    )
    there = prometheus(server.port)
    there.wait_for("pitwatch_capture_to_mask_seconds_count")
    exemplars = there.get(
        "query_exemplars",
        query="pitwatch_capture_to_mask_seconds_bucket",
        start="2020-01-01T00:00:00Z",
        end="2100-01-01T00:00:00Z",
    )
    assert {e["labels"]["frame_id"] for s in exemplars for e in s["exemplars"]} == {
        "cam1-7f-000042"
    }


@pytest.mark.needs_prometheus
def test_the_shipped_scrape_configuration_is_valid() -> None:
    require_tool("promtool")
    answer = subprocess.run(
        ["promtool", "check", "config", str(DEPLOY / "prometheus.yml")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
