"""The codec against Google's protobuf, both ways, and against bytes that are no payload."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.publishing.sparkplug.codec import (
    DataType,
    Kind,
    Metric,
    Payload,
    Property,
    Value,
    decode,
    encode,
    value_of,
)
from agent.publishing.sparkplug.protobuf import CodecError
from tests.publishing.sparkplug.protobuf_oracle import OraclePayload

MEMBER = {
    Kind.INT: "int_value",
    Kind.LONG: "long_value",
    Kind.FLOAT: "float_value",
    Kind.DOUBLE: "double_value",
    Kind.BOOLEAN: "boolean_value",
    Kind.STRING: "string_value",
}
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOAT32 = st.floats(width=32, allow_nan=False)
VALUES = st.one_of(
    st.builds(Value, st.just(Kind.INT), U32),
    st.builds(Value, st.just(Kind.LONG), U64),
    st.builds(Value, st.just(Kind.FLOAT), FLOAT32),
    st.builds(Value, st.just(Kind.DOUBLE), st.floats(allow_nan=False)),
    st.builds(Value, st.just(Kind.BOOLEAN), st.booleans()),
    st.builds(Value, st.just(Kind.STRING), TEXT),
)
PROPERTIES = st.builds(Property, TEXT, U32, st.none() | VALUES)
METRICS = st.builds(
    Metric,
    name=st.none() | TEXT,
    alias=st.none() | U64,
    timestamp_ms=st.none() | U64,
    datatype=st.none() | U32,
    value=st.none() | VALUES,
    is_historical=st.booleans(),
    properties=st.lists(PROPERTIES, max_size=3).map(tuple),
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
    kind = next(kind for kind, name in MEMBER.items() if name == member)
    return Value(kind, getattr(message, member))


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
            properties=tuple(
                Property(key, value.type, oracle_value(value))
                for key, value in zip(metric.properties.keys, metric.properties.values, strict=True)
            ),
        )
        for metric in message.metrics
    ]
    return Payload(field(message, "timestamp"), tuple(metrics), field(message, "seq"))


@given(PAYLOADS)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_alike_by_the_codec_and_by_googles_library(
    payload: Payload,
) -> None:
    data = encode(payload)
    assert read_by_oracle(data) == payload == decode(data)


@given(PAYLOADS)
@settings(max_examples=50, deadline=None)
def test_what_googles_library_writes_is_read_alike(payload: Payload) -> None:
    assert decode(OraclePayload.FromString(encode(payload)).SerializeToString()) == payload


@given(st.binary(max_size=200) | PAYLOADS.map(encode).flatmap(
    lambda data: st.integers(0, len(data)).map(lambda end: data[:end])))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_payload_or_a_codec_error(data: bytes) -> None:
    try:
        payload = decode(data)
    except CodecError:
        return
    assert decode(encode(payload)) == payload or "nan" in repr(payload)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x08", "the data ends within a number at byte 1"),
        (b"\x08" + b"\xff" * 10, "more than 64 bits at byte 1"),
        (b"\x12\x05ab", "field 2 ends at byte 7 of 4"),
        (b"\x0b", "wire type 3"),
        (b"\x02\x00", "field number 0"),
        (b"\x12\x03\x0a\x01\xff", "not UTF-8"),
        (b"\x12\x05\x4a\x03\x0a\x01a", "1 property keys and 0 values"),
        (b"\x09" + b"\0" * 8, "a number is expected"),
        (b"\x12\x02\x60\x01", "a float is expected"),
        (b"\x12\x02\x68\x01", "a double is expected"),
        (b"\x10\x01", "a length and bytes are expected"),
    ],
)
def test_what_is_no_payload_is_an_error_that_says_where(data: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        decode(data)


def test_fields_of_others_are_skipped() -> None:
    message = OraclePayload(timestamp=5, seq=1, uuid="x", body=b"y")
    message.metrics.add(name="a", bytes_value=b"data", is_transient=True)
    assert decode(message.SerializeToString()) == Payload(5, (Metric(name="a"),), 1)


@pytest.mark.parametrize(
    ("datatype", "scalar", "raw"),
    [
        (DataType.INT32, -1, 2**32 - 1),
        (DataType.INT64, -2, 2**64 - 2),
        (DataType.UINT32, 2**32 - 1, 2**32 - 1),
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


def test_a_float_beyond_32_bits_is_an_error_and_nan_survives() -> None:
    with pytest.raises(CodecError):
        encode(Payload(metrics=(Metric(value=Value(Kind.FLOAT, 1e300)),)))
    (metric,) = decode(
        encode(Payload(metrics=(Metric(value=Value(Kind.DOUBLE, math.nan)),)))
    ).metrics
    assert metric.value is not None
    assert math.isnan(float(metric.value.raw))
    assert struct.pack("<d", float(metric.value.raw))
