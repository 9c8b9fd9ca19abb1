"""What the wiring needs of whoever publishes: the JSON topics and Sparkplug B are two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from agent.records import (
    Alarm,
    CameraStatus,
    Command,
    CommandOutcome,
    Explanation,
    FruitReading,
    LinkStatus,
    Overlay,
    PublishedLane,
    Quality,
)


class Sink(Protocol):
    """One MQTT client and what it makes of the agent's records. No call waits for the network.

    What a sink has nothing to say about it ignores.
    """

    starts_after_capture: ClassVar[bool]
    """Whether it starts once the cameras do, since it declares them; else before every stage."""

    stop_limit_s: ClassVar[float]
    """The most that its stop may take, whatever is left of the shutdown."""

    def start(self) -> None:
        """Connect; records may be handed over before."""

    def stop(self, timeout_s: float) -> bool:
        """Send the last message and disconnect; true when the broker acknowledged it."""

    def link(self) -> LinkStatus:
        """Return the state of the connection."""

    def status(self, state: str, reason: str, last_frame_ms: int) -> None:
        """Say how the agent is."""

    def model(self, name: str, sha256: str) -> None:
        """Say that another network reads the fruit from now on."""

    def camera(self, status: CameraStatus) -> None:
        """Say in which state a source is."""

    def metric(
        self, lane: str, name: str, value: float, quality: Quality, timestamp_ms: int
    ) -> None:
        """Report one number of a lane, or of ``agent``."""

    def fruit(self, reading: FruitReading, lane: str) -> None:
        """Report one fruit."""

    def explanation(self, record: Explanation) -> None:
        """Report one explained frame."""

    def alarm(self, record: Alarm) -> None:
        """Report the state of one alarm, as it was saved before."""

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        """Report transitions with the pictures behind them.

        ``save`` writes the state of the alarms. It is called before anything is sent; where events
        wait in the same store, in one transaction with them.
        """

    def withdraw(self, published: PublishedLane, told: Callable[[], None]) -> None:
        """Take back what an earlier start reported of a lane or class that is not there any more.

        ``told`` is called once the broker has taken all of it.
        """

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        """Publish the result of a command to whoever asked for it."""
