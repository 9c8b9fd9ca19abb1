"""Google's protobuf library, told the specification's schema: an oracle for the codec.

The schema is written down here a second time, from section 6.4.1, and by nothing of the agent's.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = {
    "uint32": 13,
    "uint64": 4,
    "float": 2,
    "double": 1,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "message": 11,
}
_SCHEMA: dict[str, tuple[str, ...]] = {
    "PropertyValue": (
        "uint32 type = 1", "bool is_null = 2", "oneof uint32 int_value = 3",
        "oneof uint64 long_value = 4", "oneof float float_value = 5",
        "oneof double double_value = 6", "oneof bool boolean_value = 7",
        "oneof string string_value = 8",
    ),
    "PropertySet": ("repeated string keys = 1", "repeated PropertyValue values = 2"),
    "Metric": (
        "string name = 1", "uint64 alias = 2", "uint64 timestamp = 3", "uint32 datatype = 4",
        "bool is_historical = 5", "bool is_transient = 6", "bool is_null = 7",
        "PropertySet properties = 9", "oneof uint32 int_value = 10", "oneof uint64 long_value = 11",
        "oneof float float_value = 12", "oneof double double_value = 13",
        "oneof bool boolean_value = 14", "oneof string string_value = 15",
        "oneof bytes bytes_value = 16",
    ),
    "Payload": (
        "uint64 timestamp = 1", "repeated Metric metrics = 2", "uint64 seq = 3", "string uuid = 4",
        "bytes body = 5",
    ),
}  # fmt: skip


def _make() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="o", syntax="proto2")
    for name, lines in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for line in lines:
            *modifiers, kind, field_name, _, number = line.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = 3 if "repeated" in modifiers else 1
            if kind in _TYPES:
                field.type = _TYPES[kind]
            else:
                field.type, field.type_name = _TYPES["message"], f".o.{kind}"
            if "oneof" in modifiers:
                if not message.oneof_decl:
                    message.oneof_decl.add(name="value")
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("o.Payload"))


OraclePayload = _make()
