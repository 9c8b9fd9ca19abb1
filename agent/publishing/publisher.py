"""The publishing stage: records in, messages on the broker. No call waits for the network."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, TypeVar

from agent.publishing.connection.session import Session
from agent.publishing.connection.settings import SessionHooks, SessionSettings
from agent.publishing.inbound import Inbound, InboundHooks
from agent.publishing.outbox.durable import DurableOutbox
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.status import StatusTopic
from agent.publishing.wire.composer import Composer, OversizedError
from agent.publishing.wire.deadband import Deadband, Sample
from agent.publishing.wire.encoding import PayloadError
from agent.publishing.wire.images import Image
from agent.publishing.wire.messages import Entry
from agent.publishing.wire.settings import PublisherSettings
from agent.publishing.wire.topics import TopicError
from agent.records import (
    Alarm,
    AlarmState,
    CameraStatus,
    Command,
    CommandOutcome,
    Explanation,
    FruitReading,
    LinkStatus,
    MachineInfo,
    Overlay,
    PublishedLane,
    Quality,
    TopicFamily,
)
from agent.storage.store import Store
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

HELD_CHECK_S = 0.5
"""How often metrics held back by their deadband are looked at."""

HAND_OVER_S = 2.0
"""For the answers that the broker still owes; what has none is sent again."""

T = TypeVar("T")


class HandOverError(Exception):
    """A connection that was to end does not, and its thread may still send."""


@dataclass(frozen=True, slots=True)
class PublisherHooks:
    """What the publisher tells: machine states, changes of the connection, commands."""

    machine: Callable[[MachineInfo], None]
    link: Callable[[LinkStatus], None]
    command: Callable[[Command], None]
    normal: Callable[[str], None] = lambda _alarm_id: None  # the broker knows an alarm as normal


class Publisher:
    """Publishes one machine's topics through one MQTT client.

    The hooks are called in the publisher's own thread and must return at once. Raises
    ``ValueError`` when the broker's address is none, and ``TlsError`` for TLS files that cannot be
    used; none of it needs the broker to be there.
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
        self._settings = settings
        self._hooks = hooks
        self._telemetry = telemetry
        self._clock = clock
        self._store = store
        self._composer = Composer(settings)
        self._deadband = Deadband(mqtt.metric_deadband, mqtt.metric_interval_s)
        self._status = StatusTopic(self._composer, mqtt.status_interval_s, clock)
        # Guards the deadband. The live path takes no lock that is held while a picture is encoded.
        self._lock = threading.Lock()
        self._alarm_lock = threading.Lock()  # guards what the composer remembers of the evidence
        self._held_due_at = 0.0
        self._put_meta = False  # what the agent is has changed
        self._normal = hooks.normal
        self._outbox = DurableOutbox(
            MemoryOutbox(mqtt.queue_max, telemetry), store, settings.storage, telemetry, clock
        )
        self._session = self._made_session(settings)
        self._outbox.on_ready = self._session.wake

    def _made_session(self, settings: PublisherSettings) -> Session:
        hooks = self._hooks
        inbound = Inbound(
            settings,
            self._telemetry,
            self._clock,
            InboundHooks(hooks.machine, hooks.command, self.answer, self._status.replaced),
        )
        return Session(
            SessionSettings(
                mqtt=settings.mqtt,
                client_id=settings.client_id,
                subscriptions=inbound.subscriptions,
            ),
            self._outbox,
            self._telemetry,
            self._clock,
            SessionHooks(
                will=self._status.will,
                online=self._online,
                tick=self._tick,
                farewell=self._status.farewell,
                received=inbound.received,
                link=hooks.link,
            ),
        )

    # --- for the wiring ---

    def start(self) -> None:
        """Start the publisher's thread; messages may be handed over before."""
        self._session.start()

    def adjust(self, settings: PublisherSettings) -> None:
        """Go by other settings as far as they need no other connection: who we are, links, limits.

        The topics must be the same.
        """
        self._settings = settings
        mqtt = settings.mqtt
        self._composer.configure(settings)
        self._outbox.configure(mqtt.queue_max, settings.storage)
        self._status.configure(mqtt.status_interval_s)
        with self._lock:
            self._deadband.configure(mqtt.metric_deadband, mqtt.metric_interval_s)
        self._put_meta = True
        self._session.wake()

    def reconnect(self, settings: PublisherSettings) -> None:
        """Go by other settings with another connection, which takes over all that waits.

        Raises ``ValueError`` and ``TlsError`` as the constructor does, before anything is changed,
        and ``HandOverError`` where the connection of now has not ended in time.
        """
        session, before = self._made_session(settings), self._session
        if not before.hand_over(HAND_OVER_S):
            raise HandOverError(f"the connection has not ended within {HAND_OVER_S:g} s")
        self._session = session
        self._outbox.on_ready = session.wake
        self.adjust(settings)
        session.start()

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
        if self._status.update(state, reason, last_frame_ms):
            self._session.wake()

    def model(self, name: str, sha256: str) -> None:
        """Publish ``meta`` again, with the network that reads the fruit from now on."""
        self._composer.set_model(name, sha256)
        self._put(TopicFamily.META, self._composer.meta)

    def camera(self, status: CameraStatus) -> None:
        """No topic of its own: a source that is away shows in status, quality and alarms."""

    def fruit(self, reading: FruitReading, lane: str) -> None:
        """Publish one fruit."""
        self._put(TopicFamily.FRUIT, partial(self._composer.fruit, reading, lane))

    def explanation(self, record: Explanation) -> None:
        """Publish one explanation and, per overlay, the picture followed by its description."""
        self._put(TopicFamily.EXPLANATION, partial(self._composer.explanation, record))
        for overlay in record.overlays:
            self._put(TopicFamily.CAM, partial(self._composer.cam, record, overlay))

    def alarm(self, record: Alarm, evidence: Overlay | None = None) -> None:
        """Publish one transition, the state after it, and the picture behind it."""
        self.alarms([(record, evidence)], save=lambda: None)

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        """Publish transitions with the pictures behind them, in one transaction with ``save``.

        ``save`` writes the state of the alarms to the same store: after a kill either both are
        there or neither. States are sent only once that is on the disk, or in the memory that
        stands in for it.
        """
        now = self._clock()
        entries = [entry for record, evidence in records for entry in self._alarm(record, evidence)]

        def work(_connection: object) -> None:
            save()
            for entry in entries:
                if entry.is_durable:
                    self._outbox.put(entry, now)
            self._store.database.after_commit(lambda: self._put_states(entries, now))

        self._store.database.run(work)

    def _put_states(self, entries: Sequence[Entry], now: float) -> None:
        for entry in entries:
            if not entry.is_durable:
                self._outbox.put(entry, now)
        self._session.wake()

    def _alarm(self, record: Alarm, evidence: Overlay | None) -> list[Entry]:
        image = self._picture(evidence) if evidence is not None else None
        with self._alarm_lock:
            made = self._made(TopicFamily.ALARM, partial(self._composer.alarm, record, image)) or []
        if record.state is not AlarmState.NORM:
            return made
        told = partial(self._normal, record.alarm_id)
        return [replace(one, delivered=told) if not one.is_event else one for one in made]

    def _picture(self, evidence: Overlay) -> Image | None:
        """A picture that cannot be sent costs itself and never the alarm that it belongs to."""
        return self._made(TopicFamily.EVIDENCE, lambda _now: self._composer.image(evidence))

    def withdraw(self, published: PublishedLane, told: Callable[[], None]) -> None:
        """Put values of quality bad in the place of what nobody measures any more."""
        with self._lock:
            self._deadband.forget(published.lane, published.metrics)
        made = self._made(TopicFamily.METRIC, partial(self._composer.withdrawn, published)) or []
        left = {entry.key for entry in made}

        def taken(key: str) -> None:  # by the session's thread alone
            left.discard(key)
            if not left:
                told()

        for entry in made:
            self._outbox.put(replace(entry, delivered=partial(taken, entry.key)), self._clock())
        self._session.wake()

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        """Publish the result of a command to whoever asked for it."""
        self._telemetry.count("commands", command=command.name, outcome=outcome)
        if command.tag:
            return  # it was asked by a tag, and is answered there
        self._put(
            TopicFamily.COMMAND,
            partial(self._composer.command_result, command, outcome, detail),
        )

    def metric(
        self, lane: str, name: str, value: float, quality: Quality, timestamp_ms: int
    ) -> None:
        """Publish one value of a lane (or of ``agent``) when it is beyond its deadband."""
        sample = Sample(float(value), quality, timestamp_ms)
        with self._lock:
            wanted = self._deadband.offer((lane, name), sample, self._clock())
        if wanted:
            self._put(TopicFamily.METRIC, partial(self._composer.metric, lane, name, sample))

    def _put(self, family: TopicFamily, make: Callable[[float], Entry]) -> None:
        """Make an entry and queue it; what cannot be made costs this message only."""
        entry = self._made(family, make)
        if entry is not None:
            self._outbox.put(entry, self._clock())
            self._session.wake()

    def _made(self, family: TopicFamily, make: Callable[[float], T]) -> T | None:
        """Return what ``make`` makes of the time; None, counted and logged, where it cannot."""
        try:
            return make(self._clock())
        except TopicError as error:
            self._refuse(family, "invalid_topic", error)
        except OversizedError as error:
            self._refuse(family, "oversized", error)
        except PayloadError as error:
            self._refuse(family, "unencodable", error)
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

    def _online(self, now: float) -> None:
        self._status.connected()
        self._outbox.put(self._composer.meta(now), now)
        self._tick(now)

    def _tick(self, now: float) -> None:
        if self._put_meta:
            self._put_meta = False
            self._outbox.put(self._composer.meta(now), now)
        status = self._status.due(now)
        if status is not None:
            self._outbox.put(status, now)
        due = []
        with self._lock:
            if now >= self._held_due_at:
                self._held_due_at = now + HELD_CHECK_S
                due = self._deadband.due(now)
        for (lane, name), sample in due:
            self._outbox.put(self._composer.metric(lane, name, sample, now), now)
