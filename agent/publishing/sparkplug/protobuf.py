"""The part of the protobuf wire format that a Sparkplug payload needs: varints, fixed-width numbers
and length-delimited fields. Pure.

The format is that of "Encoding" in the Protocol Buffers documentation; the messages are in
``codec``. A field that a reader does not know is skipped, as the format demands.

Google's library would save some 110 statements here. Importing it takes 4.6 MiB of the agent's
memory and a fifth of a second of its start, and it does not say at which byte a command stops
making sense, nor that a field is of the wrong type.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

VARINT_MAX = 2**64 - 1
_VARINT_BYTES_MAX = 10


class CodecError(ValueError):
    """Bytes that are no message, or a value that has no place in one."""


class WireType(enum.IntEnum):
    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    FIXED32 = 5


def varint(number: int) -> bytes:
    """Return an unsigned number below 2**64, seven bits a byte, the lowest first."""
    if not 0 <= number <= VARINT_MAX:
        raise CodecError(f"{number} does not fit into 64 bits without a sign")
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _tag(field: int, wire_type: WireType) -> bytes:
    return varint(field << 3 | wire_type)


def number_field(field: int, number: int) -> bytes:
    """Return an unsigned whole number or a boolean as a field."""
    return _tag(field, WireType.VARINT) + varint(number)


def bytes_field(field: int, data: bytes) -> bytes:
    """Return bytes, text in UTF-8 or an embedded message as a field."""
    return _tag(field, WireType.LENGTH) + varint(len(data)) + data


def text_field(field: int, text: str) -> bytes:
    """Return text as a field. What has no UTF-8 form becomes a question mark."""
    return bytes_field(field, text.encode("utf-8", errors="replace"))


def double_field(field: int, number: float) -> bytes:
    """Return a number of 64 bits as a field."""
    return _tag(field, WireType.FIXED64) + struct.pack("<d", number)


Field = tuple[int, WireType, int | bytes]
"""Number, wire type, and content: a whole number for a varint, else the bytes."""


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of one message in order; ``CodecError`` where the bytes are not one."""
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        field, kind = tag >> 3, tag & 7
        if field == 0:
            raise CodecError(f"field number 0 before byte {position}")
        if kind == WireType.VARINT:
            number, position = _read_varint(data, position)
            yield field, WireType.VARINT, number
            continue
        if kind == WireType.LENGTH:
            length, position = _read_varint(data, position)
        elif kind in (WireType.FIXED64, WireType.FIXED32):
            length = 8 if kind == WireType.FIXED64 else 4
        else:
            raise CodecError(f"wire type {kind} before byte {position}")
        end = position + length
        if end > len(data):
            raise CodecError(f"field {field} ends at byte {end} of {len(data)}")
        yield field, WireType(kind), data[position:end]
        position = end


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for index in range(_VARINT_BYTES_MAX):
        if position + index >= len(data):
            raise CodecError(f"the data ends within a number at byte {position}")
        byte = data[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if number > VARINT_MAX:
                break
            return number, position + index + 1
    raise CodecError(f"a number of more than 64 bits at byte {position}")


def as_number(content: int | bytes, wire_type: WireType) -> int:
    """Return a varint's number; ``CodecError`` for another wire type."""
    if wire_type is not WireType.VARINT or not isinstance(content, int):
        raise CodecError(f"a number is expected, not wire type {wire_type.value}")
    return content


def as_bytes(content: int | bytes, wire_type: WireType) -> bytes:
    """Return a length-delimited field's bytes; ``CodecError`` for another wire type."""
    if wire_type is not WireType.LENGTH or not isinstance(content, bytes):
        raise CodecError(f"a length and bytes are expected, not wire type {wire_type.value}")
    return content


def as_text(content: int | bytes, wire_type: WireType) -> str:
    """Return text; ``CodecError`` when the bytes are not UTF-8."""
    try:
        return as_bytes(content, wire_type).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CodecError(f"text that is not UTF-8: {error.reason}") from error
