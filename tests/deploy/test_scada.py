"""The tag tables for SCADA integrators name what the agent really publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.alarms.catalogue import DEFINITIONS
from agent.pipeline.gauges import describe
from agent.publishing.sparkplug.settings import FRUIT_TAGS
from agent.publishing.wire.topics import ROUTES

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


def test_the_flow_for_node_red_is_wired_and_subscribes_to_topics_that_there_are() -> None:
    nodes = {node["id"]: node for node in json.loads((FOLDER / "node-red.json").read_text())}
    for node in nodes.values():
        for targets in node.get("wires", ()):
            assert set(targets) <= set(nodes)
        if node["type"] == "mqtt in":
            assert nodes[node["broker"]]["type"] == "mqtt-broker"
            family = node["topic"].removeprefix("pitwatch/v1/+/+/+/+/+/").split("/")[0]
            assert family in {route.pattern.split("/")[0] for route in ROUTES.values()}
