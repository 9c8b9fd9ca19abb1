"""The recorder that checks every captured message objects to what a subscriber would trip over."""

from __future__ import annotations

import pytest
from jsonschema import ValidationError

from agent.publishing.schemas import NAMES
from agent.publishing.wire.composer import Composer
from agent.publishing.wire.deadband import Sample
from agent.publishing.wire.topics import ROUTES
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.examples import BASE
from tests.support.wire import SCHEMAS, Recorder, check_message, schema_of

COMPOSER = Composer(examples.settings())
METRIC = COMPOSER.metric("cam1", "fps", Sample(1.0, Quality.GOOD, 1), 0.0).messages[0]


def test_each_topic_of_the_table_has_a_schema_or_is_a_picture() -> None:
    for route in ROUTES.values():
        topic = route.pattern.format(
            camera="cam1", name="fps", alarm_id="a-cam1", event_id="e-1", **{"class": "suture"}
        )
        schema = schema_of(f"{BASE}/{topic}")
        assert schema in NAMES if schema else topic.endswith("/image"), topic
    known = {schema for _, schema in SCHEMAS} | {"machine"}
    assert set(NAMES) <= known | {name for name in NAMES if name.startswith("cmd")}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"1.0", b"1"), (b"1.0", b"null"), (b"1.0", b"NaN"), (b"1.0", b"1e5"), (b"1.0", b"[1.0]"),
        (b'"good"', b'"fine"'), (b"}", b',"extra":1}'), (b"}", b',"value":2.0}'), (b"}", b""),
    ],
)  # fmt: skip
def test_a_payload_that_breaks_a_rule_is_found(before: bytes, after: bytes) -> None:
    broken = METRIC.payload.replace(before, after, 1)
    assert broken != METRIC.payload
    recorder = Recorder()
    recorder.see(METRIC.topic, METRIC.payload)
    with pytest.raises((AssertionError, ValidationError, ValueError)):
        recorder.see(METRIC.topic, broken)


def test_a_topic_of_no_table_a_picture_that_is_none_and_a_large_one_are_found() -> None:
    with pytest.raises(AssertionError, match="no topic of the table"):
        check_message(f"{BASE}/metric/cam1", b"{}")
    with pytest.raises(AssertionError, match="no picture"):
        check_message(f"{BASE}/cam/cam1/suture/image", b"{}")
    with pytest.raises(AssertionError, match="200000 bytes"):
        check_message(f"{BASE}/cam/cam1/suture/image", b"\xff\xd8\xff" + bytes(199_997))
    assert check_message(f"{BASE}/machine", b"anything") is None
    assert check_message(f"{BASE}/cmd/ack", b"anything") is None
    assert check_message("another/topic", b"anything") is None
