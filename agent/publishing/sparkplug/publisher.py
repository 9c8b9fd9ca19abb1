"""The agent as an edge node: the same records as for the JSON topics, as values of tags.

The node has a session of its own, and so another client id, since one connection has one will. The
session drives the connection as it does for the JSON topics. Everything is sent from its thread
alone: sequence numbers are in the order of the wire.
"""

from __future__ import annotations

import datetime
import json
import logging
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from agent.publishing.connection.events import Received, Rival
from agent.publishing.connection.session import Session
from agent.publishing.connection.settings import SessionHooks, SessionSettings
from agent.publishing.connection.subscriptions import Subscription
from agent.publishing.sparkplug.births import SEQ_MODULUS, Packet, death_packet
from agent.publishing.sparkplug.codec import Scalar
from agent.publishing.sparkplug.host import PrimaryHost
from agent.publishing.sparkplug.node import EdgeNode
from agent.publishing.sparkplug.outbox import NodeOutbox
from agent.publishing.sparkplug.settings import (
    CONFIG_HASH,
    FRUIT_TAGS,
    MODEL,
    MODEL_SHA256,
    SparkplugSettings,
    node_settings,
)
from agent.publishing.sparkplug.states import NodeState
from agent.publishing.sparkplug.tags import NODE, Sample
from agent.publishing.sparkplug.topics import Type
from agent.publishing.sparkplug.writes import ANSWER, Written, tag_name
from agent.publishing.wire.messages import Entry
from agent.publishing.wire.payloads import ENCODER_UNKNOWN, angle_quality, id_quality
from agent.publishing.wire.topics import AGENT
from agent.records import (
    ANGLE_NO_READ,
    Alarm,
    CameraState,
    CameraStatus,
    Command,
    CommandOutcome,
    Explanation,
    FruitReading,
    LinkStatus,
    Overlay,
    PublishedLane,
    Quality,
    TopicFamily,
)
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

CLIENT = "spb"
DISCONNECT_S = 2.0
"""For NDEATH and DISCONNECT when the primary host has gone; a stop brings a time of its own."""

DELIVERING = frozenset({CameraState.LIVE, CameraState.FROZEN})
"""A frozen camera sends pictures: its tags are there, of quality bad. Any other is dead."""


@dataclass(frozen=True, slots=True)
class NodeHooks:
    """What the node asks and tells, in the session's thread: nothing here may wait.

    ``bdseq`` is asked once for each CONNECT packet and returns 0 to 255, rising by one at each
    call, over restarts too; ``link`` hears every change of the connection; ``written`` what a host
    has written to a tag. ``committed`` calls what it is given once what was saved before is on the
    disk: a transition may be part of a command's transaction.
    """

    bdseq: Callable[[], int]
    link: Callable[[LinkStatus], None]
    written: Callable[[Written], None]
    committed: Callable[[Callable[[], None]], None] = lambda then: then()


class SparkplugPublisher:
    """The agent as a Sparkplug edge node. No call waits for the network.

    Raises ``ValueError`` and ``TlsError`` as ``Publisher`` does.
    """

    starts_after_capture: ClassVar[bool] = True
    stop_limit_s: ClassVar[float] = 0.5

    def __init__(
        self,
        settings: SparkplugSettings,
        hooks: NodeHooks,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._telemetry = telemetry
        self._clock = clock
        self._bdseq = 0
        host = PrimaryHost(settings.mqtt.sparkplug.primary_host)
        node = EdgeNode(node_settings(settings), host, telemetry, settings.utc_ms, clock())
        self._node = node
        self._outbox = NodeOutbox(node, telemetry, clock)
        self._session = Session(
            SessionSettings(
                mqtt=settings.mqtt,
                client_id=settings.client_id,
                # Commands, the primary host, and our own birth: that it came, and who else's.
                subscriptions=tuple(
                    Subscription(topic)
                    for topic in (
                        *host.topics,
                        settings.topics.topic(Type.NCMD),
                        settings.topics.topic(Type.NBIRTH),
                    )
                ),
                name=CLIENT,
                farewell_with_will=True,
                retains=False,
            ),
            self._outbox,
            telemetry,
            clock,
            SessionHooks(
                will=self._will,
                online=lambda _now: node.connected(self._bdseq),
                tick=self._tick,
                farewell=self._farewell,
                received=self._received,
                link=hooks.link,
            ),
        )

    # --- for the wiring ---

    def start(self) -> None:
        self._session.start()

    def link(self) -> LinkStatus:
        """Return the state of the connection."""
        return self._session.status()

    def stop(self, timeout_s: float) -> bool:
        """Say NDEATH and disconnect, within ``timeout_s``; true when it was acknowledged."""
        return self._session.stop(timeout_s)

    def hold(self, held: bool) -> None:
        """Whether to stay away from the broker: another agent has our id and was there first."""
        self._session.hold(held)

    def identify(self, config_hash: str) -> None:
        """Say which configuration is in force from now on."""
        now_ms = self._settings.utc_ms()
        self._outbox.offer(Sample(NODE, CONFIG_HASH, config_hash, Quality.GOOD, now_ms))

    def model(self, name: str, sha256: str) -> None:
        """Say which network reads the fruit from now on: properties of the node."""
        for tag, value in ((MODEL, name), (MODEL_SHA256, sha256)):
            self._outbox.offer(Sample(NODE, tag, value, Quality.GOOD, self._settings.utc_ms()))

    def camera(self, status: CameraStatus) -> None:
        """Say in which state a source is: the devices of its lanes are born, or dead."""
        for name in status.lanes:
            self._outbox.device(name, status.state in DELIVERING)
            tag, value = f"Cameras/{name}/state", status.state.value
            self._outbox.offer(Sample(NODE, tag, value, Quality.GOOD, self._settings.utc_ms()))

    def status(self, state: str, reason: str, last_frame_ms: int) -> None:
        """Births and deaths say that the node is there."""

    def metric(
        self, lane: str, name: str, value: float, quality: Quality, timestamp_ms: int
    ) -> None:
        """Report one number of a lane, or of ``agent``."""
        device = NODE if lane == AGENT else lane
        self._outbox.offer(Sample(device, name, float(value), quality, timestamp_ms))

    def fruit(self, reading: FruitReading, lane: str) -> None:
        """Report one fruit."""
        seen, result = reading.segmentation, reading.segmentation.reading
        known = Quality.BAD if reading.camera_frozen else Quality.GOOD
        plausible = math.isfinite(result.plausibility)
        named = Quality.BAD if reading.camera_frozen else id_quality(reading)
        encoder, stem_found = seen.machine.encoder, math.isfinite(result.stem_x_px)
        counted = named if encoder is not None else Quality.BAD
        stem = known if stem_found else Quality.BAD
        in_mm = known if math.isfinite(result.stem_x_mm) else Quality.BAD
        values: tuple[tuple[Scalar, Quality], ...] = (
            (result.angle_deg if result.read else ANGLE_NO_READ, angle_quality(reading)),
            (result.read, known),
            (str(result.reason), known),
            (float(result.confidence), known),
            (float(result.confidence_raw), known),
            (result.plausibility if plausible else 0.0, known if plausible else Quality.BAD),
            (seen.seq, known),
            (seen.machine.fruit_id or "", named),
            (seen.machine.machine_timestamp_ms, named),
            (ENCODER_UNKNOWN if encoder is None else encoder, counted),
            (stem_found, known),
            (result.stem_x_px, stem),
            (result.stem_y_px, stem),
            (result.stem_x_mm, in_mm),
            (result.stem_y_mm, in_mm),
            (seen.done_mono - seen.captured_mono + reading.waited_s, known),
            (seen.machine.variety or "", known),
            (seen.machine.lot or "", known),
        )
        for (name, _, _), (value, of_value) in zip(FRUIT_TAGS, values, strict=True):
            self._outbox.offer(Sample(lane, name, value, of_value, seen.captured_utc_ms))

    def explanation(self, record: Explanation) -> None:
        """The numbers of an explanation are metrics; a picture has no tag."""

    def alarms(
        self, records: Sequence[tuple[Alarm, Overlay | None]], save: Callable[[], None]
    ) -> None:
        """Report transitions once they are saved; a picture has no tag."""
        save()
        self._hooks.committed(lambda: self._alarms([record for record, _ in records]))

    def _alarms(self, records: Sequence[Alarm]) -> None:
        for record in records:
            self.alarm(record)

    def withdraw(self, published: PublishedLane, told: Callable[[], None]) -> None:
        """A device or tag that no birth names is stale since the death of the node before."""

    def answer(self, command: Command, outcome: CommandOutcome, detail: str) -> None:
        """Say what a command came to that was written to a tag; the others have topics."""
        if not command.tag:
            return
        said = {
            "alarm_id": command.tag,
            "command": command.name,
            "outcome": outcome.value,
            "event_id": command.arguments.get("event_id", ""),
            "user": command.user,
            "detail": detail,
        }
        text = json.dumps(said, ensure_ascii=False)
        self._outbox.offer(Sample(NODE, ANSWER, text, Quality.GOOD, self._settings.utc_ms()))

    def alarm(self, record: Alarm) -> None:
        """Report the state of one alarm. The node's tag: a dead camera must not hide its alarms."""
        values: dict[str, Scalar] = {
            "active": record.active,
            "state": record.state.value,
            "severity": record.severity,
            "message": record.message,
            "event_id": record.event_id,
        }
        for name, value in values.items():
            self._offer(record, name, value, record.quality)
        # What may be written to shows what is in force.
        shown = {
            "ack": record.acked_by,
            "shelve": _utc_text(record.shelved_until_ms),
            "comment": record.comment,
        }
        for name in self._settings.writable:
            self._offer(record, name, shown[name], Quality.GOOD)

    def _offer(self, record: Alarm, name: str, value: Scalar, quality: Quality) -> None:
        tag = tag_name(record.alarm_id, name)
        self._outbox.offer(Sample(NODE, tag, value, quality, record.timestamp_ms))

    # --- hooks: called by the session's thread ---

    def _will(self) -> Packet:
        """Called once for each CONNECT packet, in the thread that connects, after TCP and TLS."""
        try:
            self._bdseq = self._hooks.bdseq() % SEQ_MODULUS
        except (OSError, sqlite3.Error) as error:
            # Without a will the node would never be seen to die: go on from what is known.
            self._bdseq = (self._bdseq + 1) % SEQ_MODULUS
            log_event(logger, logging.ERROR, "bdseq_not_kept", bdseq=self._bdseq, detail=str(error))
        return death_packet(self._settings.topics, self._bdseq, self._settings.utc_ms())

    def _tick(self, now: float) -> None:
        if self._node.state is NodeState.LEAVING:
            self._session.disconnect(DISCONNECT_S, "primary host offline")
        elif self._node.birth_not_returned(now):
            self._birth_not_returned()

    def _farewell(self, now: float) -> Entry | None:
        """The NDEATH; a node that was never born has none."""
        born = self._node.state in (NodeState.ONLINE, NodeState.LEAVING)
        return Entry((self._node.death(),), now) if born else None

    def _received(self, event: Received) -> Rival:
        """Another node of our name: each would make the other's tags stale for ever."""
        ours = self._node.received(event.topic, event.payload, event.retained, self._clock())
        for write in self._node.take_writes():
            self._hooks.written(write)
        if not ours:
            topic = self._settings.topics.topic(Type.NBIRTH)
            log_event(logger, logging.ERROR, "session_conflict", topic=topic, client=CLIENT)
        return Rival.NONE if ours else Rival.OLDER

    def _birth_not_returned(self) -> None:
        """A denied QoS 0 publish is invisible in every version; our own birth would come back."""
        self._telemetry.count(
            "publish_results", topic_family=TopicFamily.SPARKPLUG, reason="not_returned"
        )
        log_event(
            logger,
            logging.WARNING,
            "publish_refused",
            topic=self._settings.topics.topic(Type.NBIRTH),
            topic_family=str(TopicFamily.SPARKPLUG),
            reason="our own birth did not come back: may this user write and read it?",
        )


def _utc_text(utc_ms: int) -> str:
    """Unix time in ms as text with the second; empty for 0."""
    moment = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if utc_ms else ""
