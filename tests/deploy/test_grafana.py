"""The dashboards: every panel described, every query answered, every field known to Grafana."""

from __future__ import annotations

import http.server
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.config import Http
from agent.observability.prometheus import PrometheusTelemetry
from agent.telemetry import BY_NAME, Kind
from tests.deploy.test_prometheus_files import exported_series, metrics_in
from tests.observability.conftest import FakeAgent
from tests.observability.http.served import Served
from tests.observability.support import touch_everything
from tests.support import require_tool
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.running import PROMPT_WORKERS, RunningAgent, forked_agent

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "grafana"
NODE = ROOT / "tests" / "node"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
NAMES = ("line", "model", "agent")
FOREIGN_PANELS = {"GPU use", "GPU memory", "GPU temperature", "Ray actors"}
"""Fed by NVIDIA's exporter and by Ray, not by the agent; the test scrapes samples of theirs."""
INTERVAL = "60s"
"""What Grafana would put in for $__rate_interval at a scrape interval of 15 s."""


def dashboard(name: str) -> dict[str, Any]:
    content = json.loads((FOLDER / "dashboards" / f"{name}.json").read_text())
    assert isinstance(content, dict)
    return content


PANELS = [(name, panel) for name in NAMES for panel in dashboard(name)["panels"]]


def names_of(case: tuple[str, dict[str, Any]]) -> str:
    return f"{case[0]}: {case[1]['title']}"


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_its_source_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("grafana_make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "grafana_make", module)
    spec.loader.exec_module(module)
    written = (FOLDER / "dashboards" / f"{name}.json").read_text()
    assert written == module.text(name), "run python deploy/grafana/make.py"


@pytest.mark.parametrize("case", PANELS, ids=names_of)
def test_each_panel_says_what_it_shows(case: tuple[str, dict[str, Any]]) -> None:
    _, panel = case
    assert panel["title"]
    assert len(panel["description"]) > 15
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        for window in re.findall(r"\[([^\]]+)\]", target["expr"]):
            assert window in ("$__rate_interval", "1h")
        if panel["title"] not in FOREIGN_PANELS:
            assert 'job=~"$job", instance=~"$instance"' in target["expr"]


OTHERS = [panel for _, panel in PANELS if panel["title"] not in FOREIGN_PANELS]


def test_each_series_names_its_agent_and_leads_to_the_agents_page() -> None:
    for panel in OTHERS:
        if panel["type"] == "heatmap":  # its legend is the buckets; so there is one for each agent
            assert panel["repeat"] == "instance"
            continue
        for target in panel["targets"]:
            assert target["legendFormat"].startswith("{{instance}}"), panel["title"]
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        assert link["url"].startswith("${scheme}://${__field.labels.instance}/")
        if "pitwatch_alarm_active" in str(panel["targets"]):
            assert link["url"].endswith("#alarms")


def test_nothing_but_a_counter_is_drawn_as_0_where_it_is_not_known() -> None:
    zeroes = [t["expr"] for p in OTHERS for t in p["targets"] if " 0 * " in t["expr"]]
    assert len(zeroes) > 10
    for expression in zeroes:
        counted, _, _ = expression.partition(" or on ")
        assert metrics_in(counted), expression
        assert all(metric.endswith("_total") for metric in metrics_in(counted)), expression


def steps_of(title: str) -> list[tuple[str, float | None]]:
    (panel,) = (panel for _, panel in PANELS if panel["title"] == title)
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(step["color"], step["value"]) for step in steps]


@pytest.mark.parametrize("title", ["Up", "Clock and disk", "Cameras live"])
def test_what_is_bad_at_zero_is_red_at_zero(title: str) -> None:
    assert steps_of(title) == [("red", None), ("green", 1)]


def test_what_is_bad_when_it_rises_turns_red_and_what_is_neither_has_no_colour() -> None:
    assert steps_of("Active alarms") == [("green", None), ("red", 1)]
    assert steps_of("Fruit a minute") == [("text", None)], "a machine may stand"


def test_a_rate_by_the_second_says_so_in_its_unit() -> None:
    for _, panel in PANELS:
        if re.search(r"\ba second\b", panel["description"].lower()) and "rate(" in str(panel):
            unit = panel["fieldConfig"]["defaults"]["unit"]
            assert unit in ("cps", "hertz", "reqps", "s"), panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_each_dashboard_can_be_told_its_source_and_place(name: str) -> None:
    content = dashboard(name)
    assert content["uid"] == f"pitwatch-{name}"
    variables = {v["name"]: v for v in content["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance", "camera", "alarm", "scheme"]
    assert all(variables[v]["includeAll"] for v in ("job", "instance", "camera", "alarm"))


def test_every_metric_in_a_dashboard_is_exported() -> None:
    used = {m for _, p in PANELS for t in p["targets"] for m in metrics_in(t["expr"])}
    assert len(used) > 40
    assert used - exported_series() == set()


def test_provisioning_names_the_folder_of_the_dashboards() -> None:
    files = sorted((FOLDER / "provisioning").glob("*/*.yml"))
    assert [file.parent.name for file in files] == ["dashboards", "datasources"]
    providers = yaml.safe_load(files[0].read_text())["providers"]
    assert providers[0]["options"]["path"].endswith("dashboards")


# --- every query, asked of a real Prometheus -----------------------------------------------------


def filled_in(expression: str) -> str:
    for name, value in (("$__rate_interval", INTERVAL), ("$job", ".*"), ("$instance", ".*"),
                        ("$camera", ".*"), ("$alarm", ".*")):  # fmt: skip
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@contextmanager
def other_exporters() -> Iterator[int]:
    """Serves a scrape as NVIDIA's exporter and Ray give it."""
    samples = (Path(__file__).parent / name for name in ("gpu_scrape.txt", "ray_scrape.txt"))
    text = b"".join(sample.read_bytes() for sample in samples)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


CONFIGURATION = """
cameras: [{name: cam1, source: "sim:?rate=60"}]
mqtt: {broker: embedded, embedded_port: 0}
sampling: {period_s: 1, duty_cycle: 1.0, deadline_s: 60}
# Every reading is late: the one alarm that a healthy simulator can be made to raise.
alarms:
  limits: {latency_p95_s: 0.001, fruit_window: 10, no_explanation_s: 90, explanations_window: 2}
"""


Asked = dict[tuple[str, str], str]
"""Expressions by panel and by the agent of which a finite sample is wanted."""


def unanswered(there: Prometheus, queries: Asked) -> Asked:
    """Those of the queries that have no finite sample of their agent (of anybody: "")."""
    answers = {
        expression: {
            sample["metric"].get("instance", "")
            for sample in there.query(filled_in(expression))
            if math.isfinite(float(sample["value"][1]))
        }
        for expression in set(queries.values())
    }
    return {
        (name, agent): expression
        for (name, agent), expression in queries.items()
        if not (agent in answers[expression] if agent else answers[expression])
    }


NEED_MORE = {"Drift charts", "Charts held", "Window means", "Cluster"}
"""Empty of an agent without a reference or cluster; the second one of the test has all there is."""


def asked(real: str, second: str) -> Asked:
    wanted: Asked = {}
    for name, panel in PANELS:
        for target in panel["targets"]:
            legend = f"{name}: {panel['title']}: {target['legendFormat']}"
            if panel["title"] in FOREIGN_PANELS:
                wanted[legend, ""] = target["expr"]
                continue
            wanted[legend, second] = target["expr"]
            if panel["title"] not in NEED_MORE:
                wanted[legend, real] = target["expr"]
    return wanted


SELECTED = re.compile(r"pitwatch_(\w+)\{([^}]*)\}")
ONE = re.compile(r'(\w+)=~?"([^"$|]+)[^"$]*"')
"""A label that a query asks for by name, and the first of the values that it takes."""


def speak(telemetry: PrometheusTelemetry) -> None:
    """Use every metric once, gauges with each value of a label that a query asks for as well."""
    touch_everything(telemetry)
    for panel in OTHERS:
        for target in panel["targets"]:
            for name, labels in SELECTED.findall(target["expr"]):
                metric = BY_NAME.get(name)
                wanted = {key: value.replace(".+", "x") for key, value in ONE.findall(labels)}
                if metric is not None and metric.kind is Kind.GAUGE and wanted:
                    every = dict.fromkeys(metric.labels, "some") | {"camera": "cam1"} | wanted
                    telemetry.gauge(name, 1.0, **{key: every[key] for key in metric.labels})


@pytest.mark.long
@pytest.mark.needs_prometheus
@pytest.mark.timeout(420)
def test_every_query_of_every_panel_has_a_finite_answer_of_each_of_two_agents(
    tmp_path: Path,
) -> None:
    require_tool("prometheus")
    second = FakeAgent()
    server = Served(Http(port=0), second.state())
    server.start()
    file = tmp_path / "pitwatch.yaml"
    file.write_text(CONFIGURATION + PROMPT_WORKERS + f"state_dir: {tmp_path / 'state'}\n")
    with (
        forked_agent(tmp_path, "--config", str(file)) as agent,
        other_exporters() as others_port,
        running_prometheus(
            tmp_path / "prometheus",
            agent.port,
            (RULES,),
            {"others": others_port, "second": server.port},
        ) as there,
    ):
        agent.wait_ready(90)
        assert agent.post("/machine", b'{"state": "running"}') == 204
        left = asked(f"127.0.0.1:{agent.port}", f"127.0.0.1:{server.port}")
        end = time.monotonic() + 300
        while left and time.monotonic() < end:
            speak(second.telemetry)
            time.sleep(1)  # one scrape: more cannot be known before
            left = unanswered(there, left)
        assert left == {}
        assert_what_is_scraped_is_so(agent, there)
        for annotation in dashboard("line")["annotations"]["list"]:
            there.query(filled_in(annotation["expr"]))  # an error would raise
        (alarms,) = [a for a in dashboard("line")["annotations"]["list"] if a["name"] == "Alarms"]
        there.wait_for(filled_in(alarms["expr"]))  # the one that this agent was made to raise
    server.stop()


def assert_what_is_scraped_is_so(agent: RunningAgent, there: Prometheus) -> None:
    """The text is what Prometheus asks for, a histogram gives a latency, and the books balance."""
    require_tool("promtool")
    _, metrics = agent.get("/metrics")
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, capture_output=True, timeout=30
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")
    rates = 'sum by (le) (rate(pitwatch_capture_to_mask_seconds_bucket{job="pitwatch"}[10s]))'
    (sample,) = there.wait_for(f"histogram_quantile(0.95, {rates}) > 0", 60)
    assert 0 < float(sample["value"][1]) < 2.5
    (info,) = there.wait_for('pitwatch_info{job="pitwatch"}')
    assert info["metric"]["model_sha256"] == agent.status()["model_sha256"]
    balance = (
        'pitwatch_frames_captured_total{job="pitwatch"}'
        " - on(instance, camera) pitwatch_frames_segmented_total"
        " - on(instance, camera) (sum by (instance, camera) (pitwatch_frames_dropped_total)"
        " or on(instance, camera) pitwatch_frames_captured_total * 0)"
    )
    # More may be in flight for a moment, on a machine that is busy; never less than none.
    (balanced,) = there.wait_for(f"({balance}) <= 2", 60)
    assert float(balanced["value"][1]) >= 0


@pytest.mark.needs_prometheus
def test_a_dashboard_over_an_empty_prometheus_shows_nothing_and_fails_nowhere(
    tmp_path: Path,
) -> None:
    with running_prometheus(tmp_path, None) as there:
        for _, panel in PANELS:
            for target in panel["targets"]:
                assert there.query(filled_in(target["expr"])) == []  # an error would raise


# --- every field, asked of Grafana's own types ---------------------------------------------------


def type_errors(tmp_path: Path, contents: dict[str, dict[str, Any]]) -> str:
    """What the compiler says when each dashboard is declared to be one."""
    require_tool("node")
    if not (NODE / "node_modules").is_dir():
        reason = "needs the packages of tests/node: npm ci"
        if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    shutil.copy(NODE / "dashboard.ts", tmp_path)
    for name, content in contents.items():
        (tmp_path / f"{name}.ts").write_text(
            'import type { Checked } from "./dashboard";\n'
            f"export const it: Checked = {json.dumps(content, indent=1)};\n"
        )
    done = subprocess.run(
        [
            *("node", "node_modules/typescript/lib/tsc.js", "--noEmit", "--strict"),
            *("--skipLibCheck", "--moduleResolution", "node", "--target", "es2020"),
            *(f"{name}.ts" for name in contents),
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(done.stdout.strip()), done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.needs_node
def test_grafana_knows_every_field_and_finds_planted_errors(tmp_path: Path) -> None:
    wrong = dashboard("line")
    wrong["graphTooltip"] = 7
    wrong["panels"][0]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "relative"
    wrong["templating"]["list"][0]["refresh"] = "often"
    found = type_errors(tmp_path, {name: dashboard(name) for name in NAMES} | {"planted": wrong})
    lines = [line for line in found.splitlines() if " error " in line]
    assert [line for line in lines if not line.startswith("planted.ts")] == []
    assert len(lines) == 3, found
