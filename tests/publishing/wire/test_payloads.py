"""What each topic says, checked against its schema and lexically, with constant keys."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agent.publishing.schemas import load_schema, load_schemas, schema_id
from agent.publishing.wire.composer import Composer, OversizedError
from agent.publishing.wire.deadband import Sample
from agent.publishing.wire.messages import Entry
from agent.publishing.wire.settings import ExplanationShape
from agent.records import (
    AlarmState,
    IdReason,
    MachineInfo,
    NoReadReason,
    Overlay,
    Quality,
    Reading,
    Rung,
)
from tests.publishing import examples
from tests.publishing.lexical import check_lexically

COMPOSER = Composer(examples.settings())


def validate(payload: bytes, schema: str) -> dict[str, Any]:
    """Check one payload against its schema and lexically, and return it read."""
    read = check_lexically(payload)
    Draft202012Validator(load_schema(schema)).validate(read)
    return read


def only(entry: Entry, schema: str) -> dict[str, Any]:
    (message,) = entry.messages
    return validate(message.payload, schema)


def test_every_schema_is_valid_and_has_the_id_whose_beginning_meta_says() -> None:
    prefix = only(COMPOSER.meta(0.0), "meta")["schema_prefix"]
    for name, schema in load_schemas().items():
        Draft202012Validator.check_schema(schema)
        assert schema["$id"] == schema_id(name) == f"{prefix}{name}"
        assert schema.get("additionalProperties") is False


@pytest.mark.parametrize(
    ("http_url", "url"),
    [("", ""), ("https://line/p", "https://line/p/api/v1/descriptions")],
)
def test_meta_is_small_and_says_where_the_rest_is_described(http_url: str, url: str) -> None:
    """A client with little memory keeps the whole of a retained message."""
    settings = replace(examples.settings(), http_url=http_url, signed=lambda path: f"{path}?s=1")
    (message,) = Composer(settings).meta(0.0).messages
    assert only(Composer(settings).meta(0.0), "meta")["descriptions_url"] == url
    assert len(message.payload) < 1024


def test_the_will_has_the_keys_of_the_status() -> None:
    say = COMPOSER.status
    status = say("running", "", online=True, uptime_s=12.34, last_frame_ms=5)
    will = say("lost", "connection lost", online=False, uptime_s=0, last_frame_ms=0)
    online, lost = only(status, "status"), only(will, "status")
    assert list(online) == list(lost)
    assert (online["quality"], lost["quality"]) == ("good", "bad")
    assert online["uptime_s"] == 12.3


def test_a_metric_that_is_not_finite_is_zero_with_quality_bad() -> None:
    sample = Sample(float("nan"), Quality.GOOD, 7)
    assert only(COMPOSER.metric("cam1", "fps", sample, 0.0), "metric") == {
        "timestamp_ms": 7,
        "value": 0.0,
        "quality": "bad",
    }


def test_a_metric_that_is_a_whole_number_still_goes_out_as_a_float() -> None:
    entry = COMPOSER.metric("cam1", "fps", Sample(5, Quality.GOOD, 7), 0.0)
    assert b'"value":5.0' in entry.messages[0].payload


def test_a_fruit_that_was_read_carries_the_stamp_of_its_capture() -> None:
    read = only(COMPOSER.fruit(examples.fruit(), "cam1", 0.0), "fruit")
    assert read["timestamp_ms"] == examples.STAMP
    assert (read["angle_deg"], read["quality"], read["read"]) == (37.5, "good", True)
    assert (read["fruit_id"], read["encoder"], read["variety"]) == ("4711", -1, "")
    assert (read["stem_found"], read["stem_mm_known"], read["stem_x_mm"]) == (True, False, 0.0)
    assert (read["area_stem"], read["margin_stem"]) == (0.0, 0.0)
    assert read["latency_s"] == 0.04


@pytest.mark.parametrize("reason", IdReason)
def test_an_id_that_is_not_certain_makes_a_good_reading_uncertain_and_says_why(
    reason: IdReason,
) -> None:
    reading = replace(examples.fruit(), id_reason=reason, waited_s=0.05)
    read = only(COMPOSER.fruit(reading, "cam1", 0.0), "fruit")
    expected = "good" if reason is IdReason.NONE else "uncertain"
    assert (read["fruit_id_reason"], read["quality"]) == (reason.value, expected)
    assert (read["angle_deg"], read["latency_s"]) == (37.5, 0.09)
    assert read["machine_timestamp_ms"] == examples.STAMP - 5
    no_read = replace(examples.fruit(reading=examples.NO_READ), id_reason=reason)
    assert only(COMPOSER.fruit(no_read, "cam1", 0.0), "fruit")["quality"] == "bad"


def test_a_chunk_that_is_not_in_the_picture_keeps_its_keys() -> None:
    known = examples.fruit(chunks={"ExposureTime": 800.0, "Mode": "Night", "Exotic.Name": 3})
    read = only(COMPOSER.fruit(known, "cam1", 0.0), "fruit")
    assert (read["chunk_ExposureTime"], read["chunk_ExposureTime_known"]) == (800.0, True)
    assert (read["chunk_Mode"], read["chunk_Exotic_Name"]) == ("Night", 3.0)
    missing = examples.fruit(chunks={"ExposureTime": math.nan})
    read = only(COMPOSER.fruit(missing, "cam1", 0.0), "fruit")
    assert (read["chunk_ExposureTime"], read["chunk_ExposureTime_known"]) == (0.0, False)


def test_an_angle_read_off_a_frozen_picture_is_of_bad_quality() -> None:
    reading = replace(examples.fruit(), camera_frozen=True)
    read = only(COMPOSER.fruit(reading, "cam1", 0.0), "fruit")
    assert (read["angle_deg"], read["quality"]) == (37.5, "bad")


def test_a_fruit_without_a_reading_has_angle_minus_one_a_reason_and_bad_quality() -> None:
    read = only(COMPOSER.fruit(examples.fruit(reading=examples.NO_READ), "cam1", 0.0), "fruit")
    assert (read["angle_deg"], read["reason"], read["quality"]) == (-1.0, "no_suture", "bad")
    assert read["stem_found"] is False


def test_a_reading_of_too_low_confidence_is_uncertain_and_has_no_angle() -> None:
    low = replace(examples.NO_READ, reason=NoReadReason.LOW_CONFIDENCE, angle_deg=12.0)
    read = only(COMPOSER.fruit(examples.fruit(reading=low), "cam1", 0.0), "fruit")
    assert (read["quality"], read["angle_deg"]) == ("uncertain", -1.0)


@pytest.mark.parametrize("reason", [one for one in NoReadReason if one is not NoReadReason.NONE])
def test_without_an_angle_confidence_is_zero_and_what_was_computed_has_a_key_of_its_own(
    reason: NoReadReason,
) -> None:
    sure = replace(examples.NO_READ, reason=reason, confidence_raw=0.999, plausibility=0.125)
    told = only(COMPOSER.fruit(examples.fruit(reading=sure), "cam1", 0.0), "fruit")
    assert (told["reason"], told["read"], told["confidence"]) == (reason.value, False, 0.0)
    assert (told["confidence_raw"], told["plausibility"]) == (0.999, 0.125)
    assert told["plausibility_known"] is True


def test_a_plausibility_that_no_model_can_tell_is_told_as_not_known() -> None:
    told = only(COMPOSER.fruit(examples.fruit(reading=examples.NO_READ), "cam1", 0.0), "fruit")
    assert (told["plausibility"], told["plausibility_known"]) == (0.0, False)


wild = st.floats() | st.sampled_from([1e-9, 1e300, -1e300])


@given(wild, wild, wild, st.floats(0, 1), st.integers(0, 2**63))
def test_no_number_that_a_stage_may_compute_breaks_the_fruit_topic(
    x: float, y: float, margin: float, area: float, encoder: int
) -> None:
    reading = Reading(True, 12.0, NoReadReason.NONE, 0.5, x, y, x, y)
    record = examples.fruit(
        reading=reading,
        margins=(margin, 0.0, 0.0),
        areas=(area, 0.0, 0.0),
        machine=MachineInfo(encoder=encoder),
    )
    plain = only(COMPOSER.fruit(examples.fruit(), "cam1", 0.0), "fruit")
    assert list(only(COMPOSER.fruit(record, "cam1", 0.0), "fruit")) == list(plain)


def test_an_explanation_says_every_class_exactly() -> None:
    read = only(COMPOSER.explanation(examples.explanation(), 0.0), "explanation")
    assert read["quality"] == "good"
    assert read["suture_sensitivity_foreground"] == 0.8
    assert (read["suture_dice_foreground_100"], read["suture_dice_background_equal_100"]) == (
        0.5,
        -1.0,
    )
    assert (read["stem_channels"], read["stem_channels_exact"]) == (3, 3)


def test_the_keys_of_an_explanation_are_the_same_whatever_was_left_out() -> None:
    unexplained = examples.class_explanation(
        explainable=False,
        reason="no pixels",
        y=examples.NAN,
        deltas=np.empty(0),
        exact=np.empty(0, bool),
        sensitivity_foreground=examples.NAN,
        occlusions=(),
    )
    records = [
        examples.explanation(),
        examples.explanation(classes=(examples.class_explanation(),), left_out=("stem",)),
        examples.explanation(classes=(unexplained,), rung=Rung.COARSE),
        examples.explanation(classes=()),
    ]
    payloads = [only(COMPOSER.explanation(record, 0.0), "explanation") for record in records]
    assert len({tuple(payload) for payload in payloads}) == 1
    assert [payload["quality"] for payload in payloads] == ["good", "uncertain", "bad", "bad"]
    assert payloads[1]["stem_reason"] == "left_out"
    assert payloads[2]["suture_sensitivity_foreground_quality"] == "bad"


def test_an_estimated_explanation_is_uncertain() -> None:
    part = examples.class_explanation(exact=np.array([True, False, True]))
    record = examples.explanation(classes=(part, examples.class_explanation("stem")))
    read = only(COMPOSER.explanation(record, 0.0), "explanation")
    assert (read["quality"], read["suture_channels_exact"]) == ("uncertain", 2)


def test_the_classes_and_fractions_of_the_configuration_shape_the_keys() -> None:
    shape = ExplanationShape(("pit", "left side"), (0.125, 1.0))
    composer = Composer(replace(examples.settings(), shape=shape))
    read = only(composer.explanation(examples.explanation(), 0.0), "explanation")
    assert "pit_dice_foreground_12" in read
    assert "left_side_explained" in read
    assert not any(key.startswith("suture") for key in read)


def test_a_cam_is_its_picture_and_right_after_it_what_describes_it() -> None:
    image, meta = COMPOSER.cam(examples.explanation(), examples.overlay(), 0.0).messages
    read = validate(meta.payload, "cam_meta")
    assert read["image_topic"] == image.topic == f"{examples.BASE}/cam/cam1/suture/image"
    assert image.content_type == read["content_type"] == "image/png"
    assert read["bytes"] == len(image.payload)
    assert read["image_url"] == "http://127.0.0.1:9464/api/v1/cam/cam1/suture"
    assert (image.captured_mono, meta.captured_mono) == (0.0, 10.0)


def test_an_alarm_becomes_its_transition_its_state_and_its_evidence() -> None:
    composer = Composer(examples.settings())
    picture = composer.image(examples.overlay())
    event, state, evidence = composer.alarm(examples.alarm(), picture, 0.0)
    read = only(state, "alarm")
    topic = f"{examples.BASE}/evidence/event-1/image"
    assert evidence.messages[0].topic == topic == read["evidence_topic"]
    seen = only(event, "event_alarm")
    assert (seen["transition"], seen["seq"], seen["replayed"]) == ("raised", 1, False)
    assert {key: seen[key] for key in read} == read
    assert read["evidence_url"] == "http://127.0.0.1:9464/api/v1/evidence/event-1"


def test_an_alarm_without_a_picture_or_without_pages_has_no_link_to_one() -> None:
    _, state = Composer(examples.settings()).alarm(examples.alarm(), None, 0.0)
    assert only(state, "alarm")["evidence_url"] == ""
    composer = Composer(replace(examples.settings(), http_url=""))
    _, state, _ = composer.alarm(examples.alarm(), composer.image(examples.overlay()), 0.0)
    assert only(state, "alarm")["evidence_url"] == ""


def test_the_link_to_evidence_is_signed_where_one_is_needed() -> None:
    composer = Composer(replace(examples.settings(), signed=lambda path: f"{path}?signature=1"))
    _, state, _ = composer.alarm(examples.alarm(), composer.image(examples.overlay()), 0.0)
    assert only(state, "alarm")["evidence_url"].endswith("/evidence/event-1?signature=1")


def test_an_alarm_of_an_earlier_start_still_has_its_evidence() -> None:
    composer, topic = Composer(examples.settings()), f"{examples.BASE}/evidence/event-1/image"
    restored = examples.alarm(transition="initial", evidence_topic=topic)
    (state,) = composer.alarm(restored, None, 0.0)
    _, later = composer.alarm(examples.alarm(transition="acked"), None, 1.0)
    for read in (only(state, "alarm"), only(later, "alarm")):
        assert read["evidence_topic"] == topic
        assert read["evidence_url"].endswith("/api/v1/evidence/event-1")


def test_later_transitions_of_one_occurrence_still_name_its_evidence() -> None:
    composer = Composer(examples.settings())
    composer.alarm(examples.alarm(), composer.image(examples.overlay()), 0.0)
    _, state = composer.alarm(examples.alarm(transition="acked"), None, 1.0)
    assert only(state, "alarm")["evidence_topic"].endswith("evidence/event-1/image")
    _, other = composer.alarm(examples.alarm(event_id="event-2"), None, 1.0)
    assert only(other, "alarm")["evidence_topic"] == ""


@pytest.mark.parametrize("transition", ["initial", "quality"])
def test_the_journal_of_alarms_is_not_filled_with_changes_of_quality(transition: str) -> None:
    (state,) = COMPOSER.alarm(examples.alarm(transition=transition), None, 0.0)
    assert only(state, "alarm")["alarm_id"] == "camera_lost-cam1"


def test_a_normal_alarm_expires_and_no_other_does() -> None:
    routes = {
        state: COMPOSER.alarm(examples.alarm(state=state), None, 0.0)[1].route.expiry_s
        for state in AlarmState
    }
    assert routes.pop(AlarmState.NORM) == 86_400
    assert set(routes.values()) == {0}


def test_an_alarm_value_that_is_not_finite_has_quality_bad() -> None:
    _, state = COMPOSER.alarm(examples.alarm(value=examples.NAN), None, 0.0)
    read = only(state, "alarm")
    assert (read["value"], read["quality"]) == (0.0, "bad")


def test_a_picture_above_the_limit_is_made_smaller_and_described_as_it_is() -> None:
    large = examples.overlay(side_px=512, noise=True)
    assert len(large.data) > 100 * 1024
    image, meta = COMPOSER.cam(examples.explanation(), large, 0.0).messages
    read = json.loads(meta.payload)
    assert len(image.payload) <= 100 * 1024
    assert (read["content_type"], read["bytes"]) == ("image/jpeg", len(image.payload))
    assert image.content_type == "image/jpeg"


@pytest.mark.parametrize("data", [b"", b"\x00" * 200_000])
def test_bytes_that_are_no_picture_are_refused_with_their_size(data: bytes) -> None:
    broken = Overlay("suture", "image/png", data, 1, 1)
    with pytest.raises(OversizedError, match=f"{len(data)} bytes"):
        COMPOSER.cam(examples.explanation(), broken, 0.0)


def test_json_above_the_limit_is_refused_with_both_sizes() -> None:
    settings = examples.settings()
    mqtt = settings.mqtt.model_copy(update={"message_limit_bytes": 1024})
    composer = Composer(replace(settings, mqtt=mqtt))
    with pytest.raises(OversizedError, match="the limit is 1024"):
        composer.explanation(examples.explanation(), 0.0)
