"""What the agent publishes, read by others' clients in another language: mqtt.js, and the
Sparkplug decoder of Eclipse Tahu."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.publishing.sparkplug.codec import (
    DataType,
    Metric,
    Payload,
    encode,
    value_of,
)
from agent.records import CameraState, Quality
from tests.publishing import examples
from tests.publishing.examples import BASE
from tests.publishing.rig import running
from tests.publishing.sparkplug.rig import NCMD, sparkplug
from tests.publishing.sparkplug.test_codec import read_by_oracle
from tests.support.decoders import NodeListener, require_decoders
from tests.support.mosquitto import Mosquitto, mosquitto

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.needs_node]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path) as running_broker:
        yield running_broker


def of(lines: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [line for line in lines if f"/{kind}/" in line.get("topic", "")]


def metrics(line: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in line["payload"]["metrics"]}


@pytest.mark.long
@pytest.mark.parametrize("datatype_in_data", [False, True])
def test_tahus_decoder_reads_births_data_deaths_and_a_rebirth_without_error(
    broker: Mosquitto, datatype_in_data: bool
) -> None:
    keys = {"datatype_in_data": datatype_in_data}
    with (
        NodeListener(broker.url, "spBv1.0/#") as node,
        sparkplug(broker.url, sparkplug=keys) as rig,
    ):
        rig.publisher.alarm(examples.alarm())
        lines = node.wait(
            lambda seen: any(
                "Alarms/camera_lost-cam1/active" in metrics(b) for b in of(seen, "NBIRTH")
            ),
            "the birth with the alarm",
        )
        birth = of(lines, "NBIRTH")[-1]
        types = {one["name"]: one["type"] for one in birth["payload"]["metrics"]}
        assert birth["payload"]["seq"] == 0
        assert (types["bdSeq"], metrics(birth)["bdSeq"]) == ("Int64", 0)
        assert (types["Node Control/Rebirth"], metrics(birth)["Node Control/Rebirth"]) == (
            "Boolean", False,
        )  # fmt: skip
        assert metrics(birth)["Alarms/camera_lost-cam1/active"] is True

        rig.publisher.metric("cam1", "fps", 4.67, Quality.UNCERTAIN, examples.STAMP)
        rig.publisher.fruit(examples.fruit(), "cam1")
        lines = node.wait(
            lambda seen: any("Fruit/read" in metrics(data) for data in of(seen, "DDATA")),
            "the fruit",
        )
        values = {n: v for data in of(lines, "DDATA") for n, v in metrics(data).items()}
        assert (values["Fruit/angle_deg"], values["Fruit/read"]) == (37.5, True)
        assert (values["fps"], values["Fruit/fruit_id"]) == (4.67, "4711")
        data = of(lines, "DDATA")[-1]
        assert bool(data["untyped"]) is not datatype_in_data
        fps = next(
            one
            for d in of(lines, "DDATA")
            for one in d["payload"]["metrics"]
            if one["name"] == "fps"
        )
        assert fps["properties"]["Quality"] == {"value": 500, "type": "Int32"}

        births = len(of(lines, "NBIRTH"))
        rebirth = {"name": "Node Control/Rebirth", "type": "Boolean", "value": True}
        node.ask(command=NCMD, metrics=[{**rebirth, "timestamp": int(time.time() * 1000)}])
        node.wait(lambda seen: len(of(seen, "NBIRTH")) > births, "the rebirth")
        assert rig.books.total("sparkplug_births", "command") == 1

        rig.camera("cam1", CameraState.BACKOFF)
        node.wait(lambda seen: of(seen, "DDEATH"), "the death of the camera")
        assert rig.publisher.stop(2.0)
        lines = node.wait(lambda seen: of(seen, "NDEATH"), "the death")
        death = of(lines, "NDEATH")[0]
        assert metrics(death) == {"bdSeq": 0}
        assert "seq" not in death["payload"]
        assert (death["qos"], death["retain"]) == (1, False)


@pytest.mark.parametrize("version", [4, 5])
def test_mqtt_js_reads_every_json_topic_as_flat_objects(broker: Mosquitto, version: int) -> None:
    with NodeListener(broker.url, f"{BASE}/#", version=version) as node, running(broker.url) as rig:
        rig.publisher.status("running", "", examples.STAMP)
        rig.publisher.fruit(examples.fruit(), "cam1")
        rig.publisher.metric("cam1", "fps", 4.0, Quality.GOOD, examples.STAMP)
        rig.publisher.explanation(examples.explanation())
        rig.publisher.alarm(examples.alarm(), examples.overlay())
        expected = {
            "status", "meta", "fruit/cam1", "metric/cam1/fps", "explanation/cam1",
            "cam/cam1/suture/meta", "cam/cam1/suture/image", "event/alarm",
            "alarm/camera_lost-cam1", "evidence/event-1/image",
        }  # fmt: skip

        def topics(lines: list[dict[str, Any]]) -> set[str]:
            return {line["topic"].removeprefix(f"{BASE}/") for line in lines if "topic" in line}

        lines = node.wait(lambda seen: topics(seen) >= expected, "every topic")
        messages = [line for line in lines if "topic" in line]
        assert all(line["flat"] for line in messages if "picture" not in line)
        by_topic = {line["topic"].removeprefix(f"{BASE}/"): line for line in messages}
        assert by_topic["fruit/cam1"]["value"]["angle_deg"] == 37.5
        assert by_topic["alarm/camera_lost-cam1"]["value"]["active"] is True
        assert by_topic["cam/cam1/suture/image"]["picture"] == len(examples.overlay().data)


@pytest.fixture(scope="module")
def tahu() -> Iterator[NodeListener]:
    require_decoders()
    with NodeListener("none") as node:
        yield node


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=9
)
TYPED = st.one_of(
    st.tuples(st.just(DataType.INT32), st.integers(0, 2**31 - 1)),
    st.tuples(st.just(DataType.INT64), st.integers(0, 2**53 - 1)),
    st.tuples(st.just(DataType.DOUBLE), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(DataType.BOOLEAN), st.booleans()),
    st.tuples(
        st.just(DataType.STRING), st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
    ),
)


@st.composite
def typed_metrics(draw: st.DrawFn) -> Metric:
    datatype, scalar = draw(TYPED)
    quality = value_of(DataType.INT32, draw(st.sampled_from([0, 500])))
    return Metric(
        name=draw(NAMES),
        alias=draw(st.none() | st.integers(1, 2**40)),
        timestamp_ms=draw(st.integers(1, 2**50)),
        datatype=int(datatype),
        value=value_of(datatype, scalar),
        is_historical=draw(st.booleans()),
        properties={"Quality": quality} if draw(st.booleans()) else {},
    )


@given(
    st.builds(
        Payload,
        st.integers(1, 2**50),
        st.lists(typed_metrics(), max_size=4).map(tuple),
        st.integers(0, 255),
    )
)
@settings(max_examples=40, deadline=None)
def test_tahus_library_reads_and_writes_the_same_payloads(
    tahu: NodeListener, payload: Payload
) -> None:
    answer = tahu.roundtrip(encode(payload))
    read = answer["payload"]
    assert (read["timestamp"], read["seq"]) == (payload.timestamp_ms, payload.seq)
    for one, metric in zip(read.get("metrics", []), payload.metrics, strict=True):
        assert metric.value is not None
        assert one["name"] == metric.name
        # JavaScript writes a large float like a whole number; as a float it is the same again.
        assert type(metric.value.raw)(one["value"]) == metric.value.raw
    assert read_by_oracle(bytes.fromhex(answer["again"])) == payload
