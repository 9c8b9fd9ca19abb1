"""A publisher under test with everything that it reports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.publishing.publisher import Publisher, PublisherHooks
from agent.records import Command, LinkStatus, MachineInfo
from agent.storage.store import Store
from tests.publishing import examples
from tests.publishing.examples import Books
from tests.support import wait_until


class Rig:
    """A publisher with quick back-off, and lists of what it called back with."""

    def __init__(
        self, broker: str, session: str = "session-1", folder: Path | None = None, **mqtt: Any
    ) -> None:
        self.books = Books()
        self.machine: list[MachineInfo] = []
        self.links: list[LinkStatus] = []
        self.commands: list[Command] = []
        self.store = Store(folder, self.books)
        self.publisher = Publisher(
            examples.settings(broker, session, **mqtt),
            self.books,
            time.monotonic,
            PublisherHooks(self.machine.append, self.links.append, self.commands.append),
            self.store,
        )

    def online(self) -> bool:
        return self.publisher.link().connected

    def wait_online(self, timeout_s: float = 15.0) -> None:
        wait_until(self.online, timeout_s, "connected to the broker")

    def wait_count(self, amount: int, name: str, *labels: str, timeout_s: float = 20.0) -> None:
        """Wait until a counter is at least ``amount``."""
        wait_until(
            lambda: self.books.total(name, *labels) >= amount,
            timeout_s,
            f"{name}{labels} >= {amount}",
        )

    def settled(self, unheard: int = 0) -> None:
        """Wait until nothing waits and nothing is unanswered, but events that nobody listens to."""
        wait_until(lambda: self.in_flight() == unheard, 15, "every message settled")

    def in_flight(self) -> float:
        gauges = list(self.books.gauges.items())
        return sum(value for key, value in gauges if key[0] == "messages_in_flight")


@contextmanager
def running(broker: str, *, wait: bool = True, stop_s: float = 3.0, **mqtt: Any) -> Iterator[Rig]:
    """Run a publisher for the length of a ``with`` block; its books balance at the end."""
    rig = Rig(broker, **mqtt)
    rig.publisher.start()
    try:
        if wait:
            rig.wait_online()
        yield rig
    finally:
        rig.publisher.stop(stop_s)
        rig.books.balance()
        if rig.store.database.path is None:
            assert rig.in_flight() == 0
        rig.store.close()
