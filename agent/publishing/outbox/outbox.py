"""What a connection asks of the store between the agent and the broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.topics import ROUTES

NO_SUBSCRIBERS = "no_matching_subscribers"
"""The broker's reason when it had nobody to give a message to."""

PERMANENT = frozenset({"packet_too_large", "topic_name_invalid", "payload_format_invalid"})
"""Refusals that no later attempt can heal. After any other the message is offered again."""

REFUSED_RETRY_S = 30.0
"""How long a message rests that the broker refused: an access list or a quota may change."""

LIVE_RANK = ROUTES["fruit"].rank + 0.5
"""What ranks below is live: status, alarms, answers and fruit never wait behind anything else."""


class Outbox(Protocol):
    """The store between the agent and one broker connection. Every method may be called from any
    thread and none blocks on the network."""

    def put(self, entry: Entry, now: float) -> None:
        """Accept an entry; at the cap something older goes, counted."""

    def take(self, now: float, *, live: bool = False) -> Entry | None:
        """Return what goes out next, or None. What is taken stays in flight until settled.

        ``live``: there is room only for what must not wait behind anything else.
        """

    def settle(self, entry: Entry, message: Message, reason: str | None) -> None:
        """Close the book on one message: delivered (None) or dropped for a reason."""

    def lost(self, entries: Sequence[tuple[Entry, tuple[Message, ...]]]) -> None:
        """The connection went with these unanswered messages, in the order they were taken."""

    def snapshot(self, now: float) -> None:
        """A connection stands: everything that is state goes out (again)."""

    def repeat(self, now: float) -> None:
        """The broker retains nothing: whoever subscribed since the last time has to be told."""

    def waiting(self) -> int:
        """Number of entries that could be taken now."""

    def discard(self, reason: str) -> None:
        """Drop everything that waits."""

    def close(self, reason: str, *, clean: bool = False) -> None:
        """Drop everything that waits and is not durable, and from now on everything that is put.

        ``clean``: the broker was told that the session ends, and everything it took is delivered.
        """

    def tick(self, now: float) -> None:
        """Let time pass; called about twice a second, connected or not."""

    def due_in(self, now: float) -> float:
        """Return in how many seconds ``take`` may give what it holds back now; infinity: never."""
