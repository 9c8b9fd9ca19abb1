"""Sparkplug B payloads as bytes, after the schema in section 6.4.1 of the specification. Pure.

The part of the schema that an edge node without templates, data sets and files needs: ``Payload``
with ``Metric`` and its properties. What another sender adds beyond that is skipped in reading.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.publishing.sparkplug import protobuf
from agent.publishing.sparkplug.protobuf import (
    CodecError,
    WireType,
    bytes_field,
    double_field,
    fields,
    float_field,
    number_field,
    text_field,
)


class DataType(enum.IntEnum):
    """Data types of metrics and properties, as far as they are scalar (section 6.4.1)."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14


class Kind(enum.IntEnum):
    """Which member of ``oneof value`` holds the value; the number is the field's in a metric."""

    INT = 10
    LONG = 11
    FLOAT = 12
    DOUBLE = 13
    BOOLEAN = 14
    STRING = 15


KIND_OF: Final = {
    **dict.fromkeys((DataType.INT8, DataType.INT16, DataType.INT32), Kind.INT),
    **dict.fromkeys((DataType.UINT8, DataType.UINT16, DataType.UINT32), Kind.INT),
    **dict.fromkeys((DataType.INT64, DataType.UINT64, DataType.DATETIME), Kind.LONG),
    DataType.FLOAT: Kind.FLOAT,
    DataType.DOUBLE: Kind.DOUBLE,
    DataType.BOOLEAN: Kind.BOOLEAN,
    DataType.STRING: Kind.STRING,
    DataType.TEXT: Kind.STRING,
}
_PROPERTY_OFFSET = 7  # the same members, numbered from 3, in a property
_BITS: Final = {Kind.INT: 32, Kind.LONG: 64}

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it stands on the wire. Whole numbers are without sign, as in the schema."""

    kind: Kind
    raw: Scalar


def value_of(datatype: DataType, scalar: Scalar) -> Value:
    """Return ``scalar`` in the member that its data type uses; a negative one as two's complement.

    ``CodecError`` when it does not fit.
    """
    kind = KIND_OF[datatype]
    if kind is Kind.STRING:
        return Value(kind, str(scalar))
    if isinstance(scalar, str):
        raise CodecError(f"text where {datatype.name} is expected")
    if kind is Kind.BOOLEAN:
        return Value(kind, bool(scalar))
    if kind in _BITS:
        bits = _BITS[kind]
        if not -(2 ** (bits - 1)) <= scalar < 2**bits:
            raise CodecError(f"{scalar} does not fit into {bits} bits")
        return Value(kind, int(scalar) % 2**bits)
    return Value(kind, float(scalar))


@dataclass(frozen=True, slots=True)
class Property:
    """One entry of a metric's property set; None is null."""

    key: str
    datatype: DataType | int
    value: Value | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``value`` None is an explicit null; ``datatype`` belongs in births alone."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    value: Value | None = None
    is_historical: bool = False
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """One message."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


# --- writing ---


def encode(payload: Payload) -> bytes:
    """Return the payload's bytes; ``CodecError`` names what has no place in them."""
    parts = []
    if payload.timestamp_ms is not None:
        parts.append(number_field(1, payload.timestamp_ms))
    parts += [bytes_field(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(number_field(3, payload.seq))
    return b"".join(parts)


def _encode_metric(metric: Metric) -> bytes:
    parts = []
    if metric.name is not None:
        parts.append(text_field(1, metric.name))
    for field, number in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype)):
        if number is not None:
            parts.append(number_field(field, number))
    if metric.is_historical:
        parts.append(number_field(5, 1))
    if metric.value is None:
        parts.append(number_field(7, 1))
    if metric.properties:
        parts.append(bytes_field(9, _encode_properties(metric.properties)))
    if metric.value is not None:
        parts.append(_encode_value(metric.value.kind, metric.value))
    return b"".join(parts)


def _encode_properties(properties: tuple[Property, ...]) -> bytes:
    keys = [text_field(1, one.key) for one in properties]
    return b"".join(keys + [bytes_field(2, _encode_property(one)) for one in properties])


def _encode_property(one: Property) -> bytes:
    head = number_field(1, int(one.datatype))
    if one.value is None:
        return head + number_field(2, 1)
    return head + _encode_value(one.value.kind - _PROPERTY_OFFSET, one.value)


def _encode_value(field: int, value: Value) -> bytes:
    match value.kind:
        case Kind.INT | Kind.LONG:
            return number_field(field, int(value.raw))
        case Kind.BOOLEAN:
            return number_field(field, int(bool(value.raw)))
        case Kind.FLOAT:
            return float_field(field, float(value.raw))
        case Kind.DOUBLE:
            return double_field(field, float(value.raw))
        case Kind.STRING:
            return text_field(field, str(value.raw))


# --- reading ---

_READ_VALUE: Final[dict[Kind, Callable[[int | bytes, WireType], Scalar]]] = {
    Kind.INT: lambda content, wire: protobuf.as_number(content, wire) % 2**32,
    Kind.LONG: protobuf.as_number,
    Kind.FLOAT: protobuf.as_float,
    Kind.DOUBLE: protobuf.as_double,
    Kind.BOOLEAN: lambda content, wire: bool(protobuf.as_number(content, wire)),
    Kind.STRING: protobuf.as_text,
}


def decode(data: bytes) -> Payload:
    """Read one payload; ``CodecError`` says at which byte it stopped making sense."""
    timestamp_ms = seq = None
    metrics: list[Metric] = []
    for field, wire, content in fields(data):
        if field == 1:
            timestamp_ms = protobuf.as_number(content, wire)
        elif field == 2:
            metrics.append(_decode_metric(protobuf.as_bytes(content, wire)))
        elif field == 3:
            seq = protobuf.as_number(content, wire)
    return Payload(timestamp_ms, tuple(metrics), seq)


def _decode_metric(data: bytes) -> Metric:
    name: str | None = None
    numbers: dict[int, int] = {}
    value: Value | None = None
    properties: tuple[Property, ...] = ()
    for field, wire, content in fields(data):
        if field == 1:
            name = protobuf.as_text(content, wire)
        elif field in (2, 3, 4, 5, 7):
            numbers[field] = protobuf.as_number(content, wire)
        elif field == 9:
            properties = _decode_properties(protobuf.as_bytes(content, wire))
        elif Kind.INT <= field <= Kind.STRING:
            kind = Kind(field)
            value = Value(kind, _READ_VALUE[kind](content, wire))
    return Metric(
        name=name,
        alias=numbers.get(2),
        timestamp_ms=numbers.get(3),
        datatype=numbers.get(4),
        value=None if numbers.get(7) else value,
        is_historical=bool(numbers.get(5)),
        properties=properties,
    )


def _decode_properties(data: bytes) -> tuple[Property, ...]:
    keys: list[str] = []
    values: list[tuple[int, Value | None]] = []
    for field, wire, content in fields(data):
        if field == 1:
            keys.append(protobuf.as_text(content, wire))
        elif field == 2:
            values.append(_decode_property(protobuf.as_bytes(content, wire)))
    if len(keys) != len(values):
        raise CodecError(f"{len(keys)} property keys and {len(values)} values")
    return tuple(
        Property(key, datatype, value) for key, (datatype, value) in zip(keys, values, strict=True)
    )


def _decode_property(data: bytes) -> tuple[int, Value | None]:
    datatype, null = 0, False
    value: Value | None = None
    for field, wire, content in fields(data):
        if field == 1:
            datatype = protobuf.as_number(content, wire)
        elif field == 2:
            null = bool(protobuf.as_number(content, wire))
        elif Kind.INT <= field + _PROPERTY_OFFSET <= Kind.STRING:
            kind = Kind(field + _PROPERTY_OFFSET)
            value = Value(kind, _READ_VALUE[kind](content, wire))
    return datatype, None if null else value
