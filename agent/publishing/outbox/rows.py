"""Entries as rows of the database, and rows as entries again. Pure."""

from __future__ import annotations

from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from agent.storage.rows import Kind, NewRow, Row

KINDS = {
    TopicFamily.EVENT: Kind.ALARM,
    TopicFamily.EVIDENCE: Kind.EVIDENCE,
    TopicFamily.EXPLANATION: Kind.EXPLANATION,
}
FAMILIES = {kind: family for family, kind in KINDS.items()}
_FIRST = b'"replayed":false}'
_AGAIN = b'"replayed":true}'


def row_of(entry: Entry) -> NewRow:
    """Return the row that keeps a durable entry, which is one message."""
    (message,) = entry.messages
    kind = KINDS[entry.family]
    return NewRow(
        kind=kind,
        route=message.route,
        topic=message.topic,
        content_type=message.content_type,
        payload=message.payload,
        evidence_id=message.topic.split("/")[-2] if kind is Kind.EVIDENCE else "",
    )


def entry_of(row: Row, *, replayed: bool) -> Entry:
    """Return the entry that a row keeps; one that is replayed says so in its payload."""
    payload = row.payload
    if replayed and payload.endswith(_FIRST):
        payload = payload[: -len(_FIRST)] + _AGAIN
    message = Message(row.topic, row.route, payload, row.content_type)
    return Entry((message,), row.made_mono, row.id)
