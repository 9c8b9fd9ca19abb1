"""The codec against Google's protobuf, in writing and in reading, and against bytes that are no
payload."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.publishing.sparkplug.codec import (
    Control,
    DataType,
    Metric,
    Payload,
    Value,
    encode,
    read_controls,
    value_of,
)
from agent.publishing.sparkplug.protobuf import CodecError
from tests.publishing.sparkplug.protobuf_oracle import OraclePayload

MEMBER = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
}
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.one_of(
    st.builds(Value, st.just(DataType.INT32), U32),
    st.builds(Value, st.just(DataType.INT64), U64),
    st.builds(Value, st.just(DataType.DOUBLE), st.floats(allow_nan=False)),
    st.builds(Value, st.just(DataType.BOOLEAN), st.booleans()),
    st.builds(Value, st.just(DataType.STRING), TEXT),
)
METRICS = st.builds(
    Metric,
    name=st.none() | TEXT,
    alias=st.none() | U64,
    timestamp_ms=st.none() | U64,
    datatype=st.none() | U32,
    value=st.none() | VALUES,
    is_historical=st.booleans(),
    properties=st.dictionaries(TEXT, VALUES, max_size=3),
)
PAYLOADS = st.builds(
    Payload, st.none() | U64, st.lists(METRICS, max_size=5).map(tuple), st.none() | U64
)


def field(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def oracle_value(message: Any) -> Value | None:
    member = message.WhichOneof("value")
    if message.is_null or member is None:
        return None
    datatype = next(datatype for datatype, name in MEMBER.items() if name == member)
    return Value(datatype, getattr(message, member))


def oracle_property(message: Any) -> Value:
    value = oracle_value(message)
    assert value is not None
    assert message.type == value.datatype
    return value


def read_by_oracle(data: bytes) -> Payload:
    message = OraclePayload.FromString(data)
    metrics = [
        Metric(
            name=field(metric, "name"),
            alias=field(metric, "alias"),
            timestamp_ms=field(metric, "timestamp"),
            datatype=field(metric, "datatype"),
            value=oracle_value(metric),
            is_historical=metric.is_historical,
            properties={
                key: oracle_property(value)
                for key, value in zip(metric.properties.keys, metric.properties.values, strict=True)
            },
        )
        for metric in message.metrics
    ]
    return Payload(field(message, "timestamp"), tuple(metrics), field(message, "seq"))


@given(PAYLOADS)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_alike_by_googles_library(payload: Payload) -> None:
    assert read_by_oracle(encode(payload)) == payload


def control_of(metric: Metric, sent_ms: int) -> Control:
    """What ``read_controls`` must make of a metric."""
    datatype = metric.value.datatype if metric.value is not None else None
    raw = metric.value.raw if metric.value is not None else None
    return Control(
        metric.name or "",
        bool(raw) if datatype is DataType.BOOLEAN else None,
        str(raw) if datatype is DataType.STRING else None,
        metric.alias or 0,
        metric.timestamp_ms or sent_ms,
    )


@given(PAYLOADS)
@settings(max_examples=100, deadline=None)
def test_of_what_googles_library_writes_commands_are_read(payload: Payload) -> None:
    data = OraclePayload.FromString(encode(payload)).SerializeToString()
    sent_ms = payload.timestamp_ms or 0
    assert read_controls(data) == [control_of(metric, sent_ms) for metric in payload.metrics]


@pytest.mark.long
@given(st.binary(max_size=200) | PAYLOADS.map(encode).flatmap(
    lambda data: st.integers(0, len(data)).map(lambda end: data[:end])))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_command_or_a_codec_error(data: bytes) -> None:
    try:
        controls = read_controls(data)
    except CodecError:
        return
    assert all(isinstance(one, Control) for one in controls)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x08", "the data ends within a number at byte 1"),
        (b"\x08" + b"\xff" * 10, "more than 64 bits at byte 1"),
        (b"\x12\x05ab", "field 2 ends at byte 7 of 4"),
        (b"\x0b", "wire type 3"),
        (b"\x02\x00", "field number 0"),
        (b"\x12\x03\x0a\x01\xff", "not UTF-8"),
        (b"\x12\x03\x72\x01a", "a number is expected"),
        (b"\x12\x03\x3a\x01a", "a number is expected"),
        (b"\x10\x01", "a length and bytes are expected"),
        (b"\x12\x02\x08\x01", "a length and bytes are expected"),
    ],
)
def test_what_is_no_payload_is_an_error_that_says_where(data: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        read_controls(data)


def test_what_a_command_needs_nothing_of_is_skipped() -> None:
    message = OraclePayload(timestamp=5, seq=1, uuid="x", body=b"y")
    message.metrics.add(name="a", bytes_value=b"data", is_transient=True)
    message.metrics.add(name="b", float_value=0.5, alias=3, datatype=9)
    message.metrics.add(name="c", boolean_value=True).properties.keys.append("without a value")
    message.metrics.add(name="d", boolean_value=True, is_null=True)
    assert read_controls(message.SerializeToString()) == [
        Control("a", None, timestamp_ms=5), Control("b", None, alias=3, timestamp_ms=5),
        Control("c", True, timestamp_ms=5), Control("d", None, timestamp_ms=5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("datatype", "scalar", "raw"),
    [
        (DataType.INT32, -1, 2**32 - 1),
        (DataType.INT64, -2, 2**64 - 2),
        (DataType.INT32, 2**32 - 1, 2**32 - 1),
        (DataType.DOUBLE, 3, 3.0),
        (DataType.BOOLEAN, 1, True),
        (DataType.STRING, "größe", "größe"),
    ],
)
def test_a_value_stands_in_the_member_of_its_type(
    datatype: DataType, scalar: Any, raw: Any
) -> None:
    value = value_of(datatype, scalar)
    assert value.raw == raw
    assert type(value.raw) is type(raw)


@pytest.mark.parametrize(
    ("datatype", "scalar"), [(DataType.INT32, 2**32), (DataType.INT64, -(2**63) - 1),
                             (DataType.DOUBLE, "1")],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_type_is_an_error(datatype: DataType, scalar: Any) -> None:
    with pytest.raises(CodecError):
        value_of(datatype, scalar)


def test_a_number_that_is_none_survives() -> None:
    data = encode(Payload(metrics=(Metric(value=Value(DataType.DOUBLE, math.nan)),)))
    (metric,) = read_by_oracle(data).metrics
    assert metric.value is not None
    assert math.isnan(float(metric.value.raw))
