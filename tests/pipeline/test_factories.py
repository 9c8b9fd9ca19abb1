"""What the stages are made with."""

from __future__ import annotations

import json

from agent.alarms.catalogue import Cause
from agent.config import Config
from agent.pipeline.factories import describe_topics, overlay_ranges
from agent.publishing.schemas import NAMES
from tests.alarms.references import reference


def test_one_colour_range_serves_all_varieties_of_a_line() -> None:
    golden = reference((), overlay_range={"suture": 2.0, "stem": 1.0})
    red = reference((), variety="red", overlay_range={"suture": 1.5, "stem": 4.0})
    assert overlay_ranges({"golden": golden, "red": red}) == {"suture": 2.0, "stem": 4.0}


def test_a_line_that_is_not_commissioned_has_none() -> None:
    assert overlay_ranges({}) is None


def test_metrics_alarms_and_payloads_are_described_for_those_who_read_the_topics() -> None:
    described = json.loads(json.dumps(describe_topics(Config())))
    assert described["metrics"]["fps"]["unit"] == "Hz"
    assert set(described["alarms"]) == set(Cause)
    assert set(described["schemas"]) == set(NAMES)
    assert described["signals"]
