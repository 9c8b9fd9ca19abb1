"""The publishing stage: records in, messages on the broker. No call waits for the network."""

from __future__ import annotations

import json
import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from agent.config.url import parse_broker
from agent.machine import MachineMessageError, parse_machine
from agent.publishing.commands import CommandGate, Moment
from agent.publishing.connection.events import Received
from agent.publishing.connection.session import Session, SessionHooks, SessionSettings
from agent.publishing.connection.tls import tls_context
from agent.publishing.outbox.durable import DurableOutbox
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.wire.composer import Composer, OversizedError
from agent.publishing.wire.deadband import Deadband, Sample
from agent.publishing.wire.encoding import PayloadError
from agent.publishing.wire.images import Image
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.settings import PublisherSettings
from agent.publishing.wire.topics import TopicError, Topics
from agent.records import (
    Alarm,
    CameraStatus,
    Command,
    CommandOutcome,
    Explanation,
    FruitReading,
    LinkStatus,
    MachineInfo,
    Overlay,
    Quality,
    TopicFamily,
)
from agent.storage.store import Store
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

HELD_CHECK_S = 0.5
"""How often metrics held back by their deadband are looked at."""

LOST = "lost"
STOPPED = "stopped"


@dataclass(slots=True)
class _AgentState:
    """What the status topic says, and when it was said last."""

    state: str = "starting"
    reason: str = ""
    last_frame_ms: int = 0
    changed: bool = True
    sent_mono: float = float("-inf")


@dataclass(frozen=True, slots=True)
class PublisherHooks:
    """What the publisher tells: machine states, changes of the connection, commands."""

    machine: Callable[[MachineInfo], None]
    link: Callable[[LinkStatus], None]
    command: Callable[[Command], None]


class Publisher:
    """Publishes one machine's topics through one MQTT client.

    The hooks are called in the publisher's own thread and must return at once. Raises
    ``ValueError`` when the broker's address is none or ``meta`` holds what has no flat form,
    ``OversizedError`` when it is above the limit of a message, and ``TlsError`` for TLS files that
    cannot be used; none of it needs the broker to be there.
    """

    starts_after_capture: ClassVar[bool] = False
    stop_limit_s: ClassVar[float] = math.inf

    def __init__(
        self,
        settings: PublisherSettings,
        telemetry: Telemetry,
        clock: Clock,
        hooks: PublisherHooks,
        store: Store,
    ) -> None:
        mqtt = settings.mqtt
        address = parse_broker(mqtt.broker or "")
        if address.kind != "network":
            raise ValueError(f"mqtt.broker is {mqtt.broker!r}, which names no host")
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._hooks = hooks
        self._store = store
        self._topics = Topics.for_site(settings.site)
        self._composer = Composer(settings)
        self._gate = CommandGate(settings.commands, self._topics.base)
        self._check_meta(clock())
        self._deadband = Deadband(mqtt.metric_deadband, mqtt.metric_interval_s)
        self._agent = _AgentState()
        # Guards the deadband and the agent's state. The live path takes no lock that is held while
        # a picture is encoded.
        self._lock = threading.Lock()
        self._alarm_lock = threading.Lock()  # guards what the composer remembers of the evidence
        self._started = clock()
        self._held_due_at = 0.0
        self._claimed = False  # whether the broker has shown us our own status
        self._outbox = DurableOutbox(
            MemoryOutbox(mqtt.queue_max, telemetry), store, settings.storage, telemetry, clock
        )
        self._session = Session(
            SessionSettings(
                mqtt=mqtt,
                address=address,
                client_id=settings.client_id,
                subscriptions=(
                    self._topics.machine,
                    self._topics.of("status"),
                    self._topics.commands,
                ),
                tls=tls_context(mqtt.tls) if address.tls else None,
            ),
            self._outbox,
            telemetry,
            clock,
            SessionHooks(
                will=self._will,
                online=self._online,
                tick=self._tick,
                farewell=self._farewell,
                received=self._received,
                link=hooks.link,
            ),
        )
        self._outbox.on_ready = self._session.wake

    def _check_meta(self, now: float) -> None:
        """What it cannot hold is an error now, not at each connect."""
        try:
            self._composer.meta(now)
        except OversizedError as error:
            raise OversizedError(f"mqtt.message_limit_bytes: meta has {error}") from error

    # --- for the wiring ---

    def start(self) -> None:
        """Start the publisher's thread; messages may be handed over before."""
        self._session.start()

    def link(self) -> LinkStatus:
        """Return the state of the connection."""
        return self._session.status()

    def stop(self, timeout_s: float) -> bool:
        """Send what waits and the status ``stopped``, then DISCONNECT; at most ``timeout_s``.

        True when the broker acknowledged that status. Otherwise the connection is cut and the
        broker publishes the will.
        """
        return self._session.stop(timeout_s)

    def status(self, state: str, reason: str, last_frame_ms: int) -> None:
        """Say how the agent is; a change goes out at once, the rest with the heartbeat."""
        with self._lock:
            agent = self._agent
            agent.changed |= (state, reason) != (agent.state, agent.reason)
            agent.state, agent.reason, agent.last_frame_ms = state, reason, last_frame_ms
            changed = agent.changed
        if changed:
            self._session.wake()

    def camera(self, status: CameraStatus) -> None:
        """No topic of its own: a source that is away shows in status, quality and alarms."""

    def fruit(self, reading: FruitReading, lane: str) -> None:
        """Publish one fruit."""
        self._put(TopicFamily.FRUIT, lambda now: [self._composer.fruit(reading, lane, now)])

    def explanation(self, record: Explanation) -> None:
        """Publish one explanation and, per overlay, the picture followed by its description."""
        self._put(TopicFamily.EXPLANATION, lambda now: [self._composer.explanation(record, now)])
        for overlay in record.overlays:
            self._put(TopicFamily.CAM, self._cam(record, overlay))

    def alarm(self, record: Alarm, evidence: Overlay | None = None) -> None:
        """Publish one transition, the state after it, and the picture behind it."""
        self.alarms([(record, evidence)], _nothing)

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        """Publish transitions with the pictures behind them, in one transaction with ``save``.

        ``save`` writes the state of the alarms to the same store: after a kill either both are
        there or neither. States are sent only once that is on the disk.
        """
        now = self._clock()
        entries = [entry for record, evidence in records for entry in self._alarm(record, evidence)]

        def work(_connection: object) -> None:
            save()
            for entry in entries:
                if entry.is_durable:
                    self._outbox.put(entry, now)

        self._store.database.run(work)
        for entry in entries:
            if not entry.is_durable:
                self._outbox.put(entry, now)
        self._session.wake()

    def _alarm(self, record: Alarm, evidence: Overlay | None) -> list[Entry]:
        image = self._picture(evidence) if evidence is not None else None

        def entries(now: float) -> list[Entry]:
            with self._alarm_lock:
                return self._composer.alarm(record, image, now)

        return self._made(TopicFamily.ALARM, entries)

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        """Tell who asked what the command came to."""
        self._telemetry.count("commands", command=command.name, outcome=outcome)
        self._put(
            TopicFamily.COMMAND,
            lambda now: [self._composer.command_result(command, outcome, detail, now)],
        )

    def metric(
        self, lane: str, name: str, value: float, quality: Quality, timestamp_ms: int
    ) -> None:
        """Publish one value of a lane (or of ``agent``) when it is beyond its deadband."""
        sample = Sample(float(value), quality, timestamp_ms)

        def entries(now: float) -> list[Entry]:
            with self._lock:
                wanted = self._deadband.offer((lane, name), sample, now)
            if not wanted:
                return []
            return [self._composer.metric(lane, name, sample, now)]

        self._put(TopicFamily.METRIC, entries)

    def _cam(self, record: Explanation, overlay: Overlay) -> Callable[[float], list[Entry]]:
        return lambda now: [self._composer.cam(record, overlay, now)]

    def _put(self, family: TopicFamily, make: Callable[[float], Iterable[Entry]]) -> None:
        """Make entries and queue them; what cannot be made costs this message only."""
        entries = self._made(family, make)
        for entry in entries:
            self._outbox.put(entry, self._clock())
        if entries:
            self._session.wake()

    def _made(self, family: TopicFamily, make: Callable[[float], Iterable[Entry]]) -> list[Entry]:
        try:
            return list(make(self._clock()))
        except TopicError as error:
            self._refuse(family, "invalid_topic", error)
        except OversizedError as error:
            self._refuse(family, "oversized", error)
        except PayloadError as error:
            self._refuse(family, "unencodable", error)
        return []

    def _picture(self, evidence: Overlay) -> Image | None:
        """A picture that cannot be sent costs itself and never the alarm that it belongs to."""
        try:
            return self._composer.image(evidence)
        except OversizedError as error:
            self._refuse(TopicFamily.EVIDENCE, "oversized", error)
            return None

    def _refuse(self, family: TopicFamily, reason: str, error: ValueError) -> None:
        self._outbox.refuse(family, reason)
        log_event(
            logger,
            logging.WARNING,
            "message_refused",
            topic_family=str(family),
            reason=reason,
            detail=str(error),
        )

    # --- hooks: called by the session's thread ---

    def _will(self) -> Message:
        payload = self._status_payload(LOST, "connection lost", online=False)
        return Message(self._topics.of("status"), "status", payload)

    def _online(self, now: float) -> None:
        with self._lock:
            self._agent.changed = True
            meta = self._composer.meta(now)
        self._outbox.put(meta, now)
        self._tick(now)

    def _tick(self, now: float) -> None:
        with self._lock:
            agent = self._agent
            state, reason = agent.state, agent.reason
            beat = now - agent.sent_mono >= self._settings.mqtt.status_interval_s
            if say := agent.changed or beat:
                agent.changed, agent.sent_mono = False, now
            due = []
            if now >= self._held_due_at:
                self._held_due_at = now + HELD_CHECK_S
                due = self._deadband.due(now)
        if say:
            payload = self._status_payload(state, reason, online=True)
            self._outbox.put(self._composer.status(payload, now), now)
        for (camera, name), sample in due:
            self._outbox.put(self._composer.metric(camera, name, sample, now), now)

    def _farewell(self, now: float) -> Entry:
        payload = self._status_payload(STOPPED, "stopped", online=False)
        return self._composer.status(payload, now)

    def _status_payload(self, state: str, reason: str, *, online: bool) -> bytes:
        with self._lock:
            return self._composer.status_payload(
                state,
                reason,
                online=online,
                uptime_s=self._clock() - self._started,
                last_frame_ms=self._agent.last_frame_ms,
            )

    def _received(self, event: Received) -> bool:
        if event.topic == self._topics.of("status"):
            return self._is_ours(event.payload)
        if event.topic == self._topics.machine:
            self._machine_said(event.topic, event.payload)
        elif self._gate.concerns(event.topic):
            self._commanded(event)
        return True

    def _is_ours(self, payload: bytes) -> bool:
        """Whether a status on our own topic is no sign of another agent with our id.

        Brokers differ in whether they say that a session was taken over (mosquitto 2.0.11 just
        closes the connection), but a status of another session that came after our own can only
        have been published by somebody else.
        """
        try:
            said = json.loads(payload)
        except (ValueError, RecursionError):
            return True
        session = said.get("session") if isinstance(said, dict) else None
        if session == self._settings.identity.session:
            self._claimed = True
        elif isinstance(session, str) and self._claimed:
            log_event(
                logger,
                logging.ERROR,
                "session_conflict",
                client_id=self._settings.client_id,
                other_session=session[:80],
            )
            self._claimed = False
            return False
        return True

    def _commanded(self, event: Received) -> None:
        command = self._gate.judge(event, Moment(self._clock(), self._settings.utc_ms()))
        if command.refusal is CommandOutcome.RATE_LIMITED:
            self.answer(command, command.refusal, command.detail)  # and nobody else's time
        else:
            self._hooks.command(command)

    def _machine_said(self, topic: str, payload: bytes) -> None:
        try:
            info = parse_machine(payload, self._settings.utc_ms())
        except MachineMessageError as error:
            self._telemetry.count("machine_messages", transport="mqtt", outcome="invalid")
            log_event(
                logger,
                logging.WARNING,
                "machine_message_invalid",
                topic=topic,
                bytes=len(payload),
                detail=str(error),
            )
            return
        self._telemetry.count("machine_messages", transport="mqtt", outcome="accepted")
        self._hooks.machine(info)


def _nothing() -> None:
    pass
