"""Scrape configuration, recording rules and alert rules: valid, proven to fire and to rest."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.observability.catalogue_table import exported_name
from agent.telemetry import CATALOGUE, Kind
from tests.support import require_tool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
NAME = re.compile(r"\bpitwatch_\w+")
"""Names of metrics; a recording rule has a colon in front and is not one."""


def groups(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text()
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


RULES = (*groups("alerts.yml"), *groups("rules.yml"))
ALERTS = [rule for rule in RULES if "alert" in rule]
TESTS = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]


def exported_series() -> set[str]:
    """Every series name that the agent can export."""
    names = set()
    for metric in CATALOGUE:
        name = exported_name(metric)
        endings = ("_bucket", "_count", "_sum") if metric.kind is Kind.HISTOGRAM else ("",)
        names |= {name + ending for ending in endings}
    return names


def metrics_in(expression: str) -> set[str]:
    return {m[0] for m in NAME.finditer(expression) if expression[m.start() - 1 : m.start()] != ":"}


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    "command",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml", "alerts.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_has_nothing_to_say(command: tuple[str, ...]) -> None:
    require_tool("promtool")
    done = subprocess.run(
        ["promtool", *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.needs_prometheus
def test_an_alert_that_would_not_fire_fails_its_test(tmp_path: Path) -> None:
    require_tool("promtool")
    for file in FOLDER.iterdir():
        text = file.read_text().replace("pitwatch_breaker_open == 1", "pitwatch_breaker_open == 2")
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        ["promtool", "test", "rules", "alerts.test.yml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "PitwatchBreakerOpen" in done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_how_bad_what_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert "{{ $labels.instance }}" in alert["annotations"]["summary"]
    address, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert address == '{{ or $externalLabels.runbook "deploy/RUNBOOK.md" }}'
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text()
    headings = re.findall(r"^#+ (.+)$", runbook, re.MULTILINE)
    assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_is_shown_to_fire_and_to_rest(alert: dict[str, Any]) -> None:
    cases = [c for t in TESTS for c in t["alert_rule_test"] if c["alertname"] == alert["alert"]]
    assert any(case["exp_alerts"] for case in cases)
    assert any(not case["exp_alerts"] for case in cases)
    fired = [a["exp_labels"]["instance"] for case in cases for a in case["exp_alerts"]]
    assert set(fired) == {"sick:9464"}, "the agent that is well has the same series and is silent"


def test_every_metric_in_a_rule_is_exported() -> None:
    used = {
        name
        for rule in RULES
        for name in metrics_in(rule["expr"])
    }  # fmt: skip
    assert used
    assert used - exported_series() == set()


def test_every_recording_rule_that_is_used_exists() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    text = "".join(rule["expr"] for rule in RULES)
    used = set(re.findall(r"\binstance(?:_camera)?:[\w:]+", text))
    assert used - recorded == set()


def test_the_runbook_says_of_every_metric_what_is_healthy() -> None:
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text()
    rows = re.findall(r"^\| `(pitwatch_\w+)` \| [^|]+ \|", runbook, re.MULTILINE)
    named = {exported_name(metric) for metric in CATALOGUE}
    assert named - set(rows) == set(), "add a row to the table of metrics in deploy/RUNBOOK.md"
    assert set(rows) - named == set()
    pointed_at = set(re.findall(r"\bPitwatch[A-Z]\w+", runbook))
    assert pointed_at <= {alert["alert"] for alert in ALERTS}
