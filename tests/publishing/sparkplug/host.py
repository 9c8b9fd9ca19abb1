"""A host application for tests: follows an edge node by the letter, and objects to what is wrong.

It reads with Google's protobuf library and knows nothing of the agent's code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.publishing.sparkplug.protobuf_oracle import OraclePayload

INT64, DOUBLE, BOOLEAN, STRING, INT32 = 4, 10, 11, 12, 3
MEMBER_OF = {
    INT64: "long_value",
    DOUBLE: "double_value",
    BOOLEAN: "boolean_value",
    STRING: "string_value",
}


def _check_names(names: list[str]) -> None:
    """Folders and tags of characters that every host can take, and no name that is both."""
    folders = set()
    for name in names:
        if name != "Node Control/Rebirth":  # the specification's own
            assert re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", name), name
        levels = name.split("/")
        folders |= {"/".join(levels[:end]) for end in range(1, len(levels))}
    assert not folders & set(names), "a tag that is a folder too"


@dataclass
class TagSeen:
    """One metric as the host knows it."""

    name: str
    alias: int | None
    datatype: int
    value: Any
    timestamp_ms: int
    quality: int = 192
    unit: str = ""


@dataclass
class Message:
    """One message, read."""

    type: str
    device: str
    payload: Any
    qos: int = 0
    retained: bool = False

    @property
    def names(self) -> list[str]:
        return [metric.name for metric in self.payload.metrics]


@dataclass
class Host:
    """Feed it every message of one group in order; it asserts the specification's rules."""

    group: str = "plant-site"
    node: str = "pitwatch"
    online: bool = False
    bdseq: int | None = None
    seq: int | None = None
    tags: dict[tuple[str, str], TagSeen] = field(default_factory=dict)
    devices: dict[str, bool] = field(default_factory=dict)
    historical: list[tuple[str, Any, int]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def feed(self, topic: str, data: bytes, qos: int = 0, retained: bool = False) -> Message:
        """Read one message; ``AssertionError`` says which rule it breaks."""
        namespace, group, kind, node, *device = topic.split("/")
        assert (namespace, group, node) == ("spBv1.0", self.group, self.node)
        assert len(device) == (1 if kind.startswith("D") else 0), topic
        message = Message(
            kind, device[0] if device else "", OraclePayload.FromString(data), qos, retained
        )
        self.messages.append(message)
        assert not retained
        getattr(self, f"_{kind.lower()}")(message)
        return message

    def value(self, name: str, device: str = "") -> Any:
        return self.tags[device, name].value

    def of(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.type == kind]

    # --- by type ---

    def _nbirth(self, message: Message) -> None:
        payload = message.payload
        assert payload.HasField("seq")
        assert payload.seq == 0
        self.seq = 0
        self.online, self.tags, self.devices = True, {}, {}
        self._born(message)
        bdseq = self.tags["", "bdSeq"]
        assert bdseq.datatype == INT64
        self.bdseq = bdseq.value
        assert 0 <= bdseq.value <= 255
        rebirth = self.tags["", "Node Control/Rebirth"]
        assert (rebirth.datatype, rebirth.value, rebirth.alias) == (BOOLEAN, False, None)

    def _dbirth(self, message: Message) -> None:
        self._sequence(message)
        assert self.online
        self.tags = {key: tag for key, tag in self.tags.items() if key[0] != message.device}
        self._born(message)
        self.devices[message.device] = True

    def _ndata(self, message: Message) -> None:
        self._sequence(message)
        self._data(message)

    def _ddata(self, message: Message) -> None:
        self._sequence(message)
        assert self.devices.get(message.device), f"data of a device that is not born: {message}"
        self._data(message)

    def _ddeath(self, message: Message) -> None:
        self._sequence(message)
        assert self.devices.get(message.device)
        assert not message.payload.metrics
        self.devices[message.device] = False

    def _ndeath(self, message: Message) -> None:
        payload = message.payload
        assert not payload.HasField("seq")
        assert message.names == ["bdSeq"]
        (metric,) = payload.metrics
        assert metric.datatype == INT64
        if metric.long_value == self.bdseq:
            self.online = False
            self.devices = dict.fromkeys(self.devices, False)

    # --- common ---

    def _sequence(self, message: Message) -> None:
        assert message.qos == 0
        assert message.payload.HasField("seq")
        assert self.seq is not None, "a message before the birth"
        assert message.payload.seq == (self.seq + 1) % 256, (self.seq, message.payload.seq)
        self.seq = message.payload.seq
        assert message.payload.timestamp > 0

    def _born(self, message: Message) -> None:
        assert message.payload.timestamp > 0
        for metric in message.payload.metrics:
            assert metric.name, "a birth names every metric"
            assert metric.datatype in MEMBER_OF, metric.datatype
            assert metric.timestamp > 0
            assert not metric.is_historical
            member = metric.WhichOneof("value")
            assert (member is None) is metric.is_null, metric.name
            assert member in (None, MEMBER_OF[metric.datatype])
            tag = TagSeen(
                metric.name,
                metric.alias if metric.HasField("alias") else None,
                metric.datatype,
                getattr(metric, member) if member else None,
                metric.timestamp,
            )
            self._properties(metric, tag)
            assert (message.device, metric.name) not in self.tags, f"{metric.name} twice"
            self.tags[message.device, metric.name] = tag
        _check_names([name for device, name in self.tags if device == message.device])
        aliases = [tag.alias for tag in self.tags.values() if tag.alias is not None]
        assert len(aliases) == len(set(aliases)), "an alias twice on one node"

    def _data(self, message: Message) -> None:
        by_alias = {tag.alias: key for key, tag in self.tags.items() if tag.alias is not None}
        stamps: dict[int, int] = {}
        assert message.payload.metrics, "data without a value"
        for metric in message.payload.metrics:
            assert not metric.HasField("name")
            assert not metric.HasField("datatype")
            assert metric.alias in by_alias, f"alias {metric.alias} was not in a birth"
            device, name = by_alias[metric.alias]
            assert device == message.device
            assert metric.timestamp > 0
            tag = self.tags[device, name]
            member = metric.WhichOneof("value")
            assert (member is None) is metric.is_null
            assert member in (None, MEMBER_OF[tag.datatype])
            value = getattr(metric, member) if member else None
            if metric.is_historical:
                self.historical.append((name, value, metric.timestamp))
                continue
            assert metric.timestamp >= stamps.get(metric.alias, 0), f"{name} out of order"
            stamps[metric.alias] = metric.timestamp
            tag.value, tag.timestamp_ms, tag.quality = value, metric.timestamp, 192
            self._properties(metric, tag)

    def _properties(self, metric: Any, tag: TagSeen) -> None:
        properties = metric.properties
        assert len(properties.keys) == len(properties.values)
        for key, value in zip(properties.keys, properties.values, strict=True):
            if key == "Quality":
                assert value.type == INT32
                assert value.int_value in (0, 192, 500)
                tag.quality = value.int_value
            elif key == "engUnit":
                assert value.type == STRING
                tag.unit = value.string_value
            else:
                raise AssertionError(f"unknown property {key}")
