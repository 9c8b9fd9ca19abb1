"""Certificates and data messages of one edge node (sections 4.2 and 6.4). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.publishing.sparkplug.codec import DataType, Metric, Payload, Scalar, encode, value_of
from agent.publishing.sparkplug.topics import NodeTopics, Type
from agent.publishing.wire.messages import Message
from agent.publishing.wire.topics import Buffering, Route
from agent.records import TopicFamily

BDSEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"
SEQ_MODULUS = 256
CONTENT_TYPE = "application/x-protobuf"

_MESSAGE = Route(TopicFamily.SPARKPLUG, "", 0, False, 0, Buffering.EVENT, 0, probed=False)
_DEATH = Route(TopicFamily.SPARKPLUG, "", 1, False, 0, Buffering.EVENT, 0, probed=False)


@dataclass(frozen=True, slots=True)
class Packet(Message):
    """One Sparkplug message. QoS 0 and not retained; an NDEATH has QoS 1."""

    type: Type = Type.NDATA

    @property
    def spec(self) -> Route:
        return _DEATH if self.type is Type.NDEATH else _MESSAGE


def death_packet(topics: NodeTopics, bdseq: int, now_ms: int) -> Packet:
    """Return the NDEATH: bdSeq alone, and no sequence number."""
    metrics = (_named(BDSEQ, DataType.INT64, bdseq, now_ms),)
    return _packet(topics, Type.NDEATH, "", Payload(timestamp_ms=now_ms, metrics=metrics))


class Composer:
    """Makes messages with consecutive sequence numbers; an NBIRTH starts them at 0."""

    def __init__(self, topics: NodeTopics) -> None:
        self._topics = topics
        self._seq = 0

    def nbirth(self, bdseq: int, metrics: Iterable[Metric], now_ms: int) -> Packet:
        """Return the node's birth: what joins its death to it, the one control that a host may
        write to, and every tag of the node."""
        self._seq = 0
        head = (
            _named(BDSEQ, DataType.INT64, bdseq, now_ms),
            _named(REBIRTH, DataType.BOOLEAN, False, now_ms),
        )
        return self.message(Type.NBIRTH, "", (*head, *metrics), now_ms)

    def message(self, kind: Type, device: str, metrics: Iterable[Metric], now_ms: int) -> Packet:
        """Return any message that carries a sequence number."""
        seq, self._seq = self._seq, (self._seq + 1) % SEQ_MODULUS
        return _packet(self._topics, kind, device, Payload(now_ms, tuple(metrics), seq))


def _named(name: str, datatype: DataType, value: Scalar, now_ms: int) -> Metric:
    """A metric that goes by its name in every message, and so without an alias (section 5.14)."""
    return Metric(
        name=name, timestamp_ms=now_ms, datatype=int(datatype), value=value_of(datatype, value)
    )


def _packet(topics: NodeTopics, kind: Type, device: str, payload: Payload) -> Packet:
    return Packet(
        topic=topics.topic(kind, device),
        route="",
        payload=encode(payload),
        content_type=CONTENT_TYPE,
        type=kind,
    )
