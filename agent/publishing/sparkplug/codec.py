"""Sparkplug B payloads as bytes, after the schema in section 6.4.1 of the specification. Pure.

What an edge node without templates, data sets and files has to write, and of a host's command what
it reads: names, booleans and text. What another sender adds beyond that is skipped in reading.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent.publishing.sparkplug.protobuf import (
    CodecError,
    as_bytes,
    as_number,
    as_text,
    bytes_field,
    double_field,
    fields,
    number_field,
    text_field,
)


class DataType(enum.IntEnum):
    """Data types of the tags and their properties (section 6.4.1)."""

    INT32 = 3
    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


_FIELD: Final = {
    DataType.INT32: 10,
    DataType.INT64: 11,
    DataType.DOUBLE: 13,
    DataType.BOOLEAN: 14,
    DataType.STRING: 15,
}
"""Which member of a metric's ``oneof value`` holds a value."""

_PROPERTY_OFFSET = 7  # the same members, numbered from 3, in a property
_BITS: Final = {DataType.INT32: 32, DataType.INT64: 64}

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Value:
    """A value as it stands on the wire. Whole numbers are without sign, as in the schema."""

    datatype: DataType
    raw: Scalar


def value_of(datatype: DataType, scalar: Scalar) -> Value:
    """Return ``scalar`` as its data type stands on the wire; a negative one as two's complement.

    ``CodecError`` when it does not fit.
    """
    if datatype is DataType.STRING:
        return Value(datatype, str(scalar))
    if isinstance(scalar, str):
        raise CodecError(f"text where {datatype.name} is expected")
    if datatype is DataType.BOOLEAN:
        return Value(datatype, bool(scalar))
    if datatype is DataType.DOUBLE:
        return Value(datatype, float(scalar))
    bits = _BITS[datatype]
    if not -(2 ** (bits - 1)) <= scalar < 2**bits:
        raise CodecError(f"{scalar} does not fit into {bits} bits")
    return Value(datatype, int(scalar) % 2**bits)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``value`` None is an explicit null; ``datatype`` belongs in births alone."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    value: Value | None = None
    is_historical: bool = False
    properties: Mapping[str, Value] = field(default_factory=dict)


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
    for key, number in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype)):
        if number is not None:
            parts.append(number_field(key, number))
    if metric.is_historical:
        parts.append(number_field(5, 1))
    if metric.value is None:
        parts.append(number_field(7, 1))
    if metric.properties:
        parts.append(bytes_field(9, _encode_properties(metric.properties)))
    if metric.value is not None:
        parts.append(_encode_value(_FIELD[metric.value.datatype], metric.value))
    return b"".join(parts)


def _encode_properties(properties: Mapping[str, Value]) -> bytes:
    keys = [text_field(1, key) for key in properties]
    return b"".join(keys + [bytes_field(2, _encode_property(one)) for one in properties.values()])


def _encode_property(value: Value) -> bytes:
    member = _FIELD[value.datatype] - _PROPERTY_OFFSET
    return number_field(1, value.datatype) + _encode_value(member, value)


def _encode_value(member: int, value: Value) -> bytes:
    if isinstance(value.raw, str):
        return text_field(member, value.raw)
    if isinstance(value.raw, float):
        return double_field(member, value.raw)
    return number_field(member, value.raw)


# --- reading ---


@dataclass(frozen=True, slots=True)
class Control:
    """What one metric of a command asks for, by its name or its alias (0: none).

    ``value`` is None where it is no boolean, ``text`` where it is no text; both are for null.
    ``timestamp_ms`` is the metric's own or the message's; 0 without either.
    """

    name: str
    value: bool | None
    text: str | None = None
    alias: int = 0
    timestamp_ms: int = 0


def read_controls(data: bytes) -> list[Control]:
    """Read the payload of a command; ``CodecError`` says at which byte it stopped making sense."""
    controls, sent_ms = [], 0
    for key, wire, item in fields(data):
        if key == 1:
            sent_ms = as_number(item, wire)
        elif key == 2:
            controls.append(_read_control(as_bytes(item, wire)))
    return [one if one.timestamp_ms else replace(one, timestamp_ms=sent_ms) for one in controls]


def _read_control(data: bytes) -> Control:
    name, value, text, null = "", None, None, False
    alias = timestamp_ms = 0
    for key, wire, content in fields(data):
        if key == 1:
            name = as_text(content, wire)
        elif key == 2:
            alias = as_number(content, wire)
        elif key == 3:
            timestamp_ms = as_number(content, wire)
        elif key == 7:
            null = bool(as_number(content, wire))
        elif key == _FIELD[DataType.BOOLEAN]:
            value = bool(as_number(content, wire))
        elif key == _FIELD[DataType.STRING]:
            text = as_text(content, wire)
    if null:
        value = text = None
    return Control(name, value, text, alias, timestamp_ms)
