"""What a session is configured with, and what it asks of its publisher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.config import Mqtt
from agent.publishing.connection.events import Received, Rival
from agent.publishing.connection.subscriptions import Subscription
from agent.publishing.wire.messages import Entry, Message
from agent.records import LinkStatus


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """Where to connect, as whom, and which topics to listen to.

    ``name`` tells this client's loop and metrics from another's in the same agent.
    ``farewell_with_will``: the DISCONNECT after a farewell asks for the will as well (MQTT 5).
    ``retains``: some of its messages are to be retained.
    """

    mqtt: Mqtt
    client_id: str
    subscriptions: tuple[Subscription, ...] = ()
    name: str = "uns"
    farewell_with_will: bool = False
    retains: bool = True

    @property
    def loop(self) -> str:
        return "publisher" if self.name == "uns" else f"publisher_{self.name}"


@dataclass(frozen=True, slots=True)
class SessionHooks:
    """What the session asks of its publisher; all but ``will`` are called in the owner thread."""

    will: Callable[[], Message]
    online: Callable[[float], None]  # connected: put what is fresh, before the snapshot is sent
    tick: Callable[[float], None]  # every turn while online
    farewell: Callable[[float], Entry | None]  # the last message of a connection, if there is one
    received: Callable[[Received], Rival]
    link: Callable[[LinkStatus], None]
