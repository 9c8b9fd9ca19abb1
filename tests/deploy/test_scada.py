"""The tag tables for SCADA integrators name what the agent really publishes."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.alarms.catalogue import DEFINITIONS
from agent.pipeline.gauges import describe
from agent.publishing.sparkplug.settings import FRUIT_TAGS
from agent.publishing.sparkplug.writes import WRITABLE
from agent.publishing.wire import payloads
from agent.publishing.wire.topics import ROUTES
from agent.records import Alarm, AlarmState
from tests.publishing import examples
from tests.support import require_tool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "scada"
README = (FOLDER / "README.md").read_text()
ROWS = re.findall(r"^\| (\w+) \| `B/([^`]+)` \| `(\w+)` \| (\w+) \|", README, re.MULTILINE)
SCHEMAS = {"cam": "cam_meta"}
TYPES = {"integer": "integer", "bool": "boolean", "float": "number", "text": "string"}


def schema(topic: str) -> dict[str, Any]:
    family = topic.split("/")[0]
    file = ROOT / "agent" / "publishing" / "schemas" / f"{SCHEMAS.get(family, family)}.json"
    properties = json.loads(file.read_text())["properties"]
    assert isinstance(properties, dict)
    return properties


@pytest.mark.parametrize(("tag", "topic", "key", "kind"), ROWS, ids=lambda each: str(each))
def test_each_tag_is_a_key_of_its_topic(tag: str, topic: str, key: str, kind: str) -> None:
    routes = [re.sub(r"\{\w+\}", "[^/]+", route.pattern) for route in ROUTES.values()]
    assert any(re.fullmatch(route, topic) for route in routes), tag
    described = schema(topic)[key]
    assert described.get("type", "string" if "enum" in described else "") == TYPES[kind]
    family, *levels = topic.split("/")
    if family == "metric":
        assert levels[1] in describe(("suture", "stem"))
    if family == "alarm":
        cause = levels[0].rpartition("-")[0]
        assert cause in {definition.cause.value for definition in DEFINITIONS}


def test_the_table_is_long_enough_to_be_one() -> None:
    assert len(ROWS) >= 18


def test_the_tags_of_sparkplug_are_those_of_the_edge_node() -> None:
    named = set(re.findall(r"`cam1/(Fruit/\w+)`", README))
    assert named
    assert named <= {name for name, _, _ in FRUIT_TAGS}
    assert set(re.findall(r"`Alarms/background_reliance-cam1/(\w+)`", README)) == {
        "active", "message", *WRITABLE,
    }  # fmt: skip
    every = (ROOT / "agent" / "publishing" / "sparkplug" / "README.md").read_text()
    assert {name for name, _, _ in FRUIT_TAGS} <= set(re.findall(r"`(Fruit/\w+)`", every))


def test_the_flow_for_node_red_is_wired_and_subscribes_to_topics_that_there_are() -> None:
    nodes = {node["id"]: node for node in json.loads((FOLDER / "node-red.json").read_text())}
    for node in nodes.values():
        for targets in node.get("wires", ()):
            assert set(targets) <= set(nodes)
        if node["type"] == "mqtt in":
            assert nodes[node["broker"]]["type"] == "mqtt-broker"
            family = node["topic"].removeprefix("pitwatch/v1/+/+/+/+/+/").split("/")[0]
            assert family in {route.pattern.split("/")[0] for route in ROUTES.values()}


RUNNER = """
const [code, messages] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const kept = {};
const context = {get: key => kept[key], set: (key, value) => { kept[key] = value; }};
const node = {status: () => {}};
const run = new Function("msg", "context", "node", code);
const told = messages.map(msg => run(msg, context, node)).map(
    msg => msg && [msg.event, msg.payload.message]
);
process.stdout.write(JSON.stringify(told));
"""
RINGS = examples.alarm()
SENTENCE = RINGS.message
NORMAL = examples.alarm(active=False, state=AlarmState.NORM, message="All is well.")


def told_by_node_red(*alarms: Alarm | None, topic: str = "alarm/camera_lost-cam1") -> list[Any]:
    """What the flow's own function makes of these states, one after the other; None is nothing."""
    require_tool("node")
    nodes = {node["id"]: node for node in json.loads((FOLDER / "node-red.json").read_text())}
    (function,) = (node for node in nodes.values() if node["type"] == "function")
    (alarms_in,) = (n for n in nodes.values() if n.get("topic", "").endswith("/alarm/+"))
    assert alarms_in["wires"] == [[function["id"]]]
    messages = [
        {"topic": topic, "payload": "" if alarm is None else payloads.alarm(alarm)}
        for alarm in alarms
    ]
    done = subprocess.run(
        ["node", "-e", RUNNER], input=json.dumps([function["func"], messages]),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert isinstance(told, list)
    return told


def test_node_red_shows_an_alarm_once_and_its_end() -> None:
    acked = replace(RINGS, state=AlarmState.ACKED, acked=True)
    told = told_by_node_red(NORMAL, RINGS, RINGS, acked, NORMAL, NORMAL)
    active, ended = ["active", SENTENCE], ["ended", "ended: All is well."]
    assert told == [None, active, None, None, ended, None]


@pytest.mark.parametrize(
    "hidden",
    [
        {"suppressed": True, "state": AlarmState.SUPPRESSED},
        {"shelved": True, "state": AlarmState.SHELVED},
        {"state": AlarmState.OUT_OF_SERVICE},
    ],
)
def test_node_red_hides_what_no_operator_is_to_see(hidden: dict[str, Any]) -> None:
    away = replace(RINGS, **hidden)
    told = told_by_node_red(away, RINGS, away, NORMAL, away, RINGS)
    assert [one and one[0] for one in told] == [None, "active", "hidden", None, None, "active"]


def test_node_red_tells_a_new_occurrence_and_a_cleared_topic() -> None:
    again = replace(RINGS, event_id="event-2")
    told = told_by_node_red(RINGS, again, None, None)
    assert [one and one[0] for one in told] == ["active", "active", "ended", None]
    assert told[2] == ["ended", f"ended: {SENTENCE}"]
