"""What the stages are made with."""

from __future__ import annotations

import json
import socket

import pytest

from agent.alarms.catalogue import Cause
from agent.config import Config, Http
from agent.observability.http.listener import HttpError
from agent.pipeline.factories import check_ports, describe_topics, overlay_ranges
from agent.publishing.embedded.broker import BrokerError
from agent.publishing.schemas import NAMES
from tests.alarms.references import reference


def test_one_colour_range_serves_all_varieties_of_a_line() -> None:
    golden = reference((), overlay_range={"suture": 2.0, "stem": 1.0})
    red = reference((), variety="red", overlay_range={"suture": 1.5, "stem": 4.0})
    assert overlay_ranges({"golden": golden, "red": red}) == {"suture": 2.0, "stem": 4.0}


def test_a_line_that_is_not_commissioned_has_none() -> None:
    assert overlay_ranges({}) is None


def test_both_ports_in_use_are_named_at_once_and_free_ones_stay_free() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as http,
        socket.create_server(("127.0.0.1", 0)) as broker,
    ):
        ports = http.getsockname()[1], broker.getsockname()[1]
        config = Config(
            http={"port": ports[0]}, mqtt={"broker": "embedded", "embedded_port": ports[1]}
        )
        with pytest.raises(HttpError) as caught:
            check_ports(config)
        assert f"http.port: 127.0.0.1:{ports[0]} is in use" in str(caught.value)
        assert f"mqtt.embedded_port: 127.0.0.1:{ports[1]}" in str(caught.value)
        unused = config.model_copy(update={"http": Http(enabled=False, port=ports[0])})
        with pytest.raises(BrokerError, match="embedded_port"):
            check_ports(unused)
        elsewhere = config.mqtt.model_copy(update={"broker": "none"})
        check_ports(unused.model_copy(update={"mqtt": elsewhere}))
    check_ports(config)
    with socket.create_server(("127.0.0.1", ports[0])):
        pass


def test_metrics_alarms_and_payloads_are_described_for_those_who_read_the_topics() -> None:
    described = json.loads(json.dumps(describe_topics(Config())))
    assert described["metrics"]["fps"]["unit"] == "Hz"
    assert set(described["alarms"]) == set(Cause)
    assert set(described["schemas"]) == set(NAMES)
    assert described["signals"]
