"""What the broker delivers: the machine's state, operators' commands, and our own status."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.machine import MachineMessageError, parse_machine
from agent.publishing.commands import REFUSED_EVERY_S, CommandReader, Moment, answers_to_refused
from agent.publishing.connection.events import Received, Rival
from agent.publishing.connection.subscriptions import Subscription
from agent.publishing.wire.payloads import STOPPED
from agent.publishing.wire.settings import PublisherSettings
from agent.publishing.wire.topics import Topics
from agent.records import Command, CommandOutcome, MachineInfo
from agent.telemetry import Clock, Telemetry, log_event
from agent.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

MACHINE_PER_S = 200.0
"""Machine's words on average: forty times as many as fruit. More cost the live path its time."""
MACHINE_BURST = 500
"""At once: what waits after the agent was stopped for a while."""
RETAINED_KNOWN_MAX = 1000


SAME_START_MS = 2000
"""Two starts that are no further apart are told apart by their sessions: the two stamps of one
status are not taken at the same moment."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start of an agent, as a status tells it; ``began_ms`` is None where it does not say."""

    session: str
    began_ms: float | None
    stopped: bool

    @classmethod
    def read(cls, payload: bytes) -> Start | None:
        """Return what a status says; None: it is none."""
        try:
            parsed = json.loads(payload)
        except (ValueError, RecursionError):
            return None
        session = parsed.get("session") if isinstance(parsed, dict) else None
        if not isinstance(session, str):
            return None
        stamp, uptime = parsed.get("timestamp_ms"), parsed.get("uptime_s")
        known = isinstance(stamp, (int, float)) and isinstance(uptime, (int, float))
        began_ms = stamp - 1000.0 * uptime if known else None
        return cls(session, began_ms, parsed.get("state") == STOPPED)

    def before(self, other: Start) -> bool:
        """Whether this start was the earlier one; one without a time counts as such."""
        if self.began_ms is None or other.began_ms is None:
            return self.began_ms is None
        if abs(self.began_ms - other.began_ms) > SAME_START_MS:
            return self.began_ms < other.began_ms
        return self.session < other.session


@dataclass(frozen=True, slots=True)
class InboundHooks:
    """Who is called. ``answer`` is for commands over the rate, which go to nobody else;
    ``status_replaced`` says that another agent's word stands in place of our own status."""

    machine: Callable[[MachineInfo], None]
    command: Callable[[Command], None]
    answer: Callable[[Command, CommandOutcome, str], None]
    status_replaced: Callable[[], None]


class Inbound:
    """Reads the messages of the subscribed topics; for the session's thread."""

    def __init__(
        self,
        settings: PublisherSettings,
        telemetry: Telemetry,
        clock: Clock,
        hooks: InboundHooks,
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._hooks = hooks
        self._topics = Topics.for_site(settings.site)
        self._commands = CommandReader(settings.commands, self._topics.base)
        self._machine_words = TokenBucket(MACHINE_PER_S, MACHINE_BURST, clock())
        self._ours: Start | None = None  # as the broker has shown us in our own status
        self._over_rate = answers_to_refused(clock())
        self._retained_answers = answers_to_refused(clock())
        self._retained: set[bytes] = set()  # digests of those that came

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return (
            Subscription(self._topics.machine, state=True),
            Subscription(self._topics.of("status")),
            Subscription(self._topics.commands, stored=False, instead=self._commands.topics),
        )

    def received(self, event: Received) -> Rival:
        """Take one message; say whether another agent publishes under our id."""
        if event.topic == self._topics.of("status"):
            return self._rival(event.payload)
        if event.topic == self._topics.machine:
            self._read_machine(event)
        elif self._commands.concerns(event.topic):
            self._read_command(event)
        return Rival.NONE

    def _rival(self, payload: bytes) -> Rival:
        """Whether a status on our own topic is a sign of another agent with our id.

        Brokers differ in whether they say that a session was taken over (mosquitto 2.0.11 just
        closes the connection), but a status of another session that came after our own can only
        have been published by somebody else. Both see when either has started, in the same
        numbers, and so come to the same verdict: the one that was there first stays.
        """
        start = Start.read(payload)
        if start is None:
            return Rival.NONE
        if start.session == self._settings.identity.session:
            self._ours = start
            return Rival.NONE
        if self._ours is None:
            return Rival.NONE
        self._hooks.status_replaced()
        if start.stopped:
            return Rival.NONE
        rival = Rival.OLDER if start.before(self._ours) else Rival.YOUNGER
        log_event(
            logger,
            logging.ERROR,
            "session_conflict",
            client_id=self._settings.client_id,
            other_session=start.session[:80],
            steps_back="we" if rival is Rival.OLDER else "the other",
        )
        if rival is Rival.OLDER:
            self._ours = None
        return rival

    def _read_command(self, event: Received) -> None:
        if not event.payload:  # somebody takes a retained command away
            return
        command = self._commands.read(event, Moment(self._clock(), self._settings.utc_ms()))
        if command.refusal is CommandOutcome.RETAINED and not self._is_news(event):
            self._telemetry.count("commands", command=command.name, outcome=command.refusal)
        elif command.refusal is CommandOutcome.RATE_LIMITED:
            self._refuse_over_rate(command)
        else:
            self._hooks.command(command)

    def _is_news(self, event: Received) -> bool:
        """Whether a retained command is to be answered: a broker without the Retain Handling of
        MQTT 5 delivers all that it has at each connect."""
        digest = hashlib.sha256(event.topic.encode() + b"\0" + event.payload).digest()
        if digest in self._retained or len(self._retained) >= RETAINED_KNOWN_MAX:
            return False
        self._retained.add(digest)
        return self._retained_answers.take(self._clock())

    def _refuse_over_rate(self, command: Command) -> None:
        if not self._over_rate.take(self._clock()):
            self._telemetry.count(
                "commands", command=command.name, outcome=CommandOutcome.RATE_LIMITED
            )
            return
        detail = f"{command.detail}; of those that follow, one each {REFUSED_EVERY_S:g} s is told"
        self._hooks.answer(command, CommandOutcome.RATE_LIMITED, detail)

    def _read_machine(self, event: Received) -> None:
        if not event.payload:  # somebody takes the retained state away: no word of the machine
            self._telemetry.count("machine_messages", transport="mqtt", outcome="empty")
            return
        arrived_mono = event.arrived_mono or self._clock()
        if not self._machine_words.take(arrived_mono):
            self._telemetry.count("machine_messages", transport="mqtt", outcome="rate_limited")
            return
        try:
            info = parse_machine(
                event.payload, self._settings.utc_ms(), arrived_mono, stored=event.retained
            )
        except MachineMessageError as error:
            self._telemetry.count("machine_messages", transport="mqtt", outcome="invalid")
            log_event(
                logger,
                logging.WARNING,
                "machine_message_invalid",
                topic=event.topic,
                bytes=len(event.payload),
                detail=str(error),
            )
            return
        outcome = "incomplete" if info.left_out else "accepted"
        self._telemetry.count("machine_messages", transport="mqtt", outcome=outcome)
        if info.left_out:
            log_event(
                logger,
                logging.WARNING,
                "machine_message_incomplete",
                topic=event.topic,
                detail="; ".join(info.left_out),
            )
        self._hooks.machine(info)
