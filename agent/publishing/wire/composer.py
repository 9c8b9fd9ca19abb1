"""Records -> entries for the outbox: topic, payload and companions put together. Pure but for the
pictures that are encoded again, and for ``alarm``, which remembers where the evidence is.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import replace

from agent.publishing.wire import payloads
from agent.publishing.wire.deadband import Sample
from agent.publishing.wire.encoding import Flat, encode
from agent.publishing.wire.images import Image, fit, grey_pixel
from agent.publishing.wire.messages import Entry, Message
from agent.publishing.wire.settings import PublisherSettings
from agent.publishing.wire.topics import Topics
from agent.records import (
    Alarm,
    AlarmState,
    Command,
    Explanation,
    FruitReading,
    Overlay,
    PublishedLane,
    Quality,
)

EVIDENCE_KNOWN_MAX = 1000
DESCRIPTIONS = "/api/v1/descriptions"
"""Where the agent's own pages describe metrics, alarms and payloads."""


class OversizedError(ValueError):
    """A message above the limit that cannot be made smaller."""


class Composer:
    """Makes every message of one machine's topics."""

    def __init__(self, settings: PublisherSettings) -> None:
        self._settings = settings
        self._topics = Topics.for_site(settings.site)
        self._evidence: OrderedDict[str, str] = OrderedDict()  # event_id -> topic of its picture

    def configure(self, settings: PublisherSettings) -> None:
        """Make messages by other settings from now on; the topics stay where they are."""
        self._settings = settings

    # --- the agent ---

    def set_model(self, name: str, sha256: str) -> None:
        """What ``meta`` says of the network from now on."""
        identity = replace(self._settings.identity, model_name=name, model_sha256=sha256)
        self._settings = replace(self._settings, identity=identity)

    def status(
        self,
        state: str,
        reason: str,
        now: float = 0.0,
        *,
        online: bool,
        uptime_s: float,
        last_frame_ms: int,
    ) -> Entry:
        """Return the message of the status topic; the will is made of the same."""
        settings = self._settings
        payload = payloads.status(
            settings.identity,
            state,
            reason,
            online=online,
            timestamp_ms=settings.utc_ms(),
            uptime_s=uptime_s,
            last_frame_ms=last_frame_ms,
        )
        return self._entry("status", payload, now)

    def meta(self, now: float) -> Entry:
        settings = self._settings
        url = f"{settings.http_url}{DESCRIPTIONS}" if settings.http_url else ""
        payload = payloads.meta(settings.identity, url, settings.utc_ms())
        return self._entry("meta", payload, now)

    def metric(self, lane: str, name: str, sample: Sample, now: float) -> Entry:
        payload = payloads.metric(sample.value, sample.quality, sample.timestamp_ms)
        return self._entry("metric", payload, now, camera=lane, name=name)

    # --- fruit and explanations ---

    def fruit(self, reading: FruitReading, lane: str, now: float) -> Entry:
        return self._entry("fruit", payloads.fruit(reading), now, camera=lane)

    def explanation(self, record: Explanation, now: float) -> Entry:
        payload = payloads.explanation(record, self._settings.shape)
        return self._entry("explanation", payload, now, camera=record.lane)

    def cam(self, record: Explanation, overlay: Overlay, now: float) -> Entry:
        """The picture and, right after it, what describes it."""
        levels = {"camera": record.lane, "class": overlay.class_name}
        image = self.image(overlay)
        image_topic = self._topics.of("cam_image", **levels)
        explained = any(
            part.class_name == overlay.class_name and part.explainable for part in record.classes
        )
        payload: Flat = {
            "timestamp_ms": record.captured_utc_ms,
            "camera_id": record.lane,
            "class": overlay.class_name,
            "quality": Quality.GOOD if explained else Quality.UNCERTAIN,
            "image_topic": image_topic,
            "image_url": self._link(f"/api/v1/cam/{record.lane}/{overlay.class_name}"),
            "content_type": image.content_type,
            "sha256": hashlib.sha256(image.data).hexdigest(),
            "bytes": len(image.data),
            "width": image.width_px,
            "height": image.height_px,
            "layer": record.layer,
            "method": record.method,
            "frame_id": record.frame_id,
            "model": record.model_name,
        }
        described = Message(
            self._topics.of("cam_meta", **levels),
            "cam_meta",
            self._sized(encode(payload)),
            lane=record.lane,
            captured_mono=record.captured_mono,
            frame_id=record.frame_id,
        )
        picture = Message(image_topic, "cam_image", image.data, image.content_type)
        return Entry((picture, described), now)

    def withdrawn(self, published: PublishedLane, now: float) -> list[Entry]:
        """What takes the place of retained values that nobody measures any more: each of quality
        bad, and the heat maps a single grey pixel. An empty message would be no JSON."""
        stamp_ms, lane = self._settings.utc_ms(), published.lane
        nothing = Sample(math.nan, Quality.BAD, stamp_ms)
        entries = [self.metric(lane, name, nothing, now) for name in published.metrics]
        image = grey_pixel()
        for class_name in published.classes:
            levels = {"camera": lane, "class": class_name}
            image_topic = self._topics.of("cam_image", **levels)
            payload: Flat = {
                "timestamp_ms": stamp_ms,
                "camera_id": lane,
                "class": class_name,
                "quality": Quality.BAD,
                "image_topic": image_topic,
                "image_url": "",
                "content_type": image.content_type,
                "sha256": hashlib.sha256(image.data).hexdigest(),
                "bytes": len(image.data),
                "width": image.width_px,
                "height": image.height_px,
                "layer": "",
                "method": "",
                "frame_id": "",
                "model": "",
            }
            described = Message(self._topics.of("cam_meta", **levels), "cam_meta", encode(payload))
            picture = Message(image_topic, "cam_image", image.data, image.content_type)
            entries.append(Entry((picture, described), now))
        return entries

    # --- alarms ---

    def alarm(self, record: Alarm, evidence: Image | None, now: float) -> list[Entry]:
        """The event, if there is one, the state after it, and the evidence if it is new.

        For one thread at a time.
        """
        entries = []
        topic = record.evidence_topic or self._evidence.get(record.event_id, "")
        if record.evidence_topic:  # of an earlier start, said once when its state is restored
            self._evidence[record.event_id] = topic
        if evidence is not None:
            topic = self._topics.of("evidence", event_id=record.event_id)
            picture = Message(topic, "evidence", evidence.data, evidence.content_type)
            entries.append(Entry((picture,), now))
            self._evidence[record.event_id] = topic
            if len(self._evidence) > EVIDENCE_KNOWN_MAX:
                self._evidence.popitem(last=False)
        url = self._link(f"/api/v1/evidence/{record.event_id}") if topic else ""
        record = replace(record, evidence_topic=topic, evidence_url=url)
        normal = record.state is AlarmState.NORM
        state = Message(
            self._topics.of("alarm", alarm_id=record.alarm_id),
            "alarm_normal" if normal else "alarm",
            self._sized(encode(payloads.alarm(record))),
            captured_mono=record.captured_mono,
            frame_id=record.frame_id,
        )
        after = [Entry((state,), now), *entries]
        if not record.is_event:
            return after
        return [self._entry("event_alarm", payloads.alarm_event(record), now), *after]

    # --- commands ---

    def command_result(self, command: Command, outcome: str, detail: str, now: float) -> Entry:
        """The answer, where the asker wants it."""
        payload = payloads.command_result(command, outcome, detail, self._settings.utc_ms())
        topic = command.response_topic or self._topics.of("cmd_result")
        message = Message(
            topic, "cmd_result", self._sized(encode(payload)), correlation=command.correlation
        )
        return Entry((message,), now)

    # --- common ---

    def _link(self, path: str) -> str:
        """Where a picture can be fetched; empty where nobody could follow it."""
        url = self._settings.http_url
        return url + self._settings.signed(path) if url else ""

    def _entry(self, route: str, payload: Flat, now: float, **levels: str) -> Entry:
        topic = self._topics.of(route, **levels)
        return Entry((Message(topic, route, self._sized(encode(payload))),), now)

    def _sized(self, payload: bytes) -> bytes:
        limit = self._settings.mqtt.message_limit_bytes
        if len(payload) > limit:
            raise OversizedError(f"{len(payload)} bytes; the limit is {limit}")
        return payload

    def image(self, overlay: Overlay) -> Image:
        """Return the picture as it can be sent; ``OversizedError`` when it cannot."""
        limit = self._settings.mqtt.message_limit_bytes
        image = fit(overlay, limit)
        if image is None:
            raise OversizedError(
                f"a picture of {len(overlay.data)} bytes cannot be sent within {limit}"
            )
        return image
