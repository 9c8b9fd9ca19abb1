"""The rows of the outbox table as the outbox gives and gets them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.IntEnum):
    """Classes by importance: at the cap the highest number goes first."""

    ALARM = 0
    EVIDENCE = 1
    EXPLANATION = 2


@dataclass(frozen=True, slots=True)
class NewRow:
    """A message to keep. With ``evidence_id`` its payload is a picture that is kept longer."""

    kind: Kind
    route: str
    topic: str
    content_type: str
    payload: bytes
    evidence_id: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A message that is kept. ``acked``: the broker took it once; ``unheard``: for nobody."""

    id: int
    kind: Kind
    route: str
    topic: str
    content_type: str
    payload: bytes
    made_mono: float
    unheard: bool
    acked: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that went without having been acknowledged. ``ids`` holds acknowledged ones too."""

    kind: Kind
    reason: str
    count: int
    ids: tuple[int, ...]
