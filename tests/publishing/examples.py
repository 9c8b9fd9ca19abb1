"""Records, settings and telemetry for the tests of publishing."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import cv2
import numpy as np
from pydantic import SecretStr

from agent.config import Mqtt, Site
from agent.publishing.wire.settings import Identity, PublisherSettings
from agent.records import (
    Alarm,
    AlarmState,
    ClassExplanation,
    Command,
    Explanation,
    FruitReading,
    MachineInfo,
    MachineState,
    NoReadReason,
    Overlay,
    Quality,
    Reading,
    Region,
    RegionOcclusion,
    Rung,
    SamplingClass,
    SegmentedFrame,
    TopicFamily,
)
from agent.telemetry import Kind, NullTelemetry, check

BASE = "pitwatch/v1/plant/site/area/line/pitter"
NAN = float("nan")
STAMP = 1_760_000_000_123


class Books(NullTelemetry):
    """Keeps counters, gauges and observations under ``(name, labels...)``; checks the catalogue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}
        self.observed: dict[str, list[float]] = {}
        self.beats = 0

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        check(name, Kind.COUNTER, labels)
        with self._lock:
            self.counts[(name, *map(str, labels.values()))] += int(amount)

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        check(name, Kind.GAUGE, labels)
        with self._lock:
            self.gauges[(name, *map(str, labels.values()))] = value

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        check(name, Kind.HISTOGRAM, labels)
        with self._lock:
            self.observed.setdefault(name, []).append(seconds)

    def beat(self, loop: str, /) -> None:
        self.beats += 1

    def total(self, name: str, *labels: str) -> int:
        with self._lock:
            return sum(
                value
                for key, value in self.counts.items()
                if key[0] == name and key[1 : 1 + len(labels)] == labels
            )

    def in_flight(self) -> dict[TopicFamily, int]:
        """Return the messages in flight of every family."""
        with self._lock:
            return {
                family: int(self.gauges.get(("messages_in_flight", family), 0))
                for family in TopicFamily
            }

    def balance(self) -> None:
        """Assert enqueued = delivered + dropped + in flight for every family."""
        for family, in_flight in self.in_flight().items():
            enqueued = self.total("messages_enqueued", family)
            settled = self.total("messages_delivered", family) + self.total(
                "messages_dropped", family
            )
            assert enqueued == settled + in_flight, (family, enqueued, settled, in_flight)


class FakeClock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(
    broker: str = "mqtt://127.0.0.1:1883", session: str = "session-1", **mqtt: Any
) -> PublisherSettings:
    quick: dict[str, Any] = {
        "reconnect_first_s": 0.1,
        "reconnect_max_s": 0.5,
        "reconnect_penalty_s": 1.0,
        "metric_deadband": 0.0,
        "puback_timeout_s": 10.0,
    }
    if "password" in mqtt:
        mqtt["password"] = SecretStr(mqtt["password"])
    site = mqtt.pop("site", Site())
    return PublisherSettings(
        mqtt=Mqtt(broker=broker, **(quick | mqtt)),
        site=site,
        identity=Identity("pitwatch", session, "0.1.0", "c0ffee", "default", "a" * 64),
        http_url="http://127.0.0.1:9464",
    )


def segmentation(**changes: Any) -> SegmentedFrame:
    values: dict[str, Any] = {
        "lane": "cam1",
        "frame_id": "cam1-000042",
        "seq": 42,
        "captured_utc_ms": STAMP,
        "captured_mono": 10.0,
        "classes": ("background", "suture", "stem"),
        "mask": np.zeros((4, 4), np.uint8),
        "margins": (3.25, 2.5, NAN),
        "areas": (0.9, 0.1, 0.0),
        "reading": Reading(True, 37.5, NoReadReason.NONE, 0.93, 120.5, 130.0, NAN, NAN, 0.82),
        "machine": MachineInfo(
            MachineState.RUNNING, "4711", None, None, "L-7", STAMP, machine_timestamp_ms=STAMP - 5
        ),
        "done_mono": 10.04,
        "seconds": 0.02,
        "brightness": 120.0,
        "entropy": 0.21,
    }
    return SegmentedFrame(**(values | changes))


def fruit(**changes: Any) -> FruitReading:
    return FruitReading(segmentation(**changes))


NO_READ = Reading(False, -1.0, NoReadReason.NO_SUTURE, 0.1, NAN, NAN, NAN, NAN)


def class_explanation(name: str = "suture", **changes: Any) -> ClassExplanation:
    values: dict[str, Any] = {
        "class_name": name,
        "explainable": True,
        "reason": "",
        "y": 2.5,
        "y_null": 2.5,
        "null_tolerance": 1e-4,
        "y_all": -1.25,
        "deltas": np.array([0.5, -0.25, 1e-7]),
        "map": np.zeros((2, 2), np.float32),
        "mean_map": np.zeros((2, 2), np.float32),
        "exact": np.array([True, True, True]),
        "estimate_error": 0.0,
        "spot_channel": 1,
        "spot_error": 3e-7,
        "all_ones_share": 0.1,
        "sign_balance": 0.3,
        "sensitivity_foreground": 0.8,
        "sensitivity_background": 0.1,
        "context_reliance": 0.111,
        "input_sensitivity_foreground": 0.7,
        "input_sensitivity_background": 0.2,
        "input_context_reliance": 0.222,
        "occlusions": tuple(
            RegionOcclusion(region, fraction, 10, 1.0, 0.5, 1.0, 1.0)
            for region in (Region.FOREGROUND, Region.BACKGROUND)
            for fraction in (0.25, 0.5, 0.75, 1.0)
        ),
    }
    return ClassExplanation(**(values | changes))


def overlay(name: str = "suture", side_px: int = 64, noise: bool = False) -> Overlay:
    rng = np.random.default_rng(1)
    shape = (side_px, side_px, 3)
    image = rng.integers(0, 255, shape, np.uint8) if noise else np.zeros(shape, np.uint8)
    done, data = cv2.imencode(".png", image)
    assert done
    return Overlay(name, "image/png", data.tobytes(), side_px, side_px)


def explanation(**changes: Any) -> Explanation:
    values: dict[str, Any] = {
        "job_id": "job-7",
        "lane": "cam1",
        "frame_id": "cam1-000042",
        "captured_utc_ms": STAMP,
        "captured_mono": 10.0,
        "sampling_class": SamplingClass.PERIODIC,
        "rung": Rung.EXACT,
        "method": "ablation-cam",
        "layer": "bottleneck",
        "score": "margin",
        "baseline": "zero",
        "model_name": "default",
        "model_sha256": "a" * 64,
        "classes": (class_explanation("suture"), class_explanation("stem")),
        "overlays": (overlay("suture"),),
        "left_out": (),
        "seconds": 0.8,
        "seconds_by_method": {"ablation-cam": 0.8},
        "region_threshold": 0.5,
        "region_source": "predicted",
    }
    return Explanation(**(values | changes))


def command(**changes: Any) -> Command:
    values: dict[str, Any] = {
        "name": "ack",
        "command_id": "7f3c",
        "user": "anna",
        "arguments": {"alarm_id": "camera_lost-cam1", "event_id": "event-1"},
        "received_utc_ms": STAMP,
    }
    return Command(**(values | changes))


def alarm(**changes: Any) -> Alarm:
    values: dict[str, Any] = {
        "alarm_id": "camera_lost-cam1",
        "title": "Camera cam1 lost",
        "source": "pitter",
        "camera_id": "cam1",
        "event_id": "event-1",
        "state": AlarmState.UNACK,
        "active": True,
        "acked": False,
        "shelved": False,
        "suppressed": False,
        "severity": 700,
        "priority": "high",
        "message": "Camera cam1 sends no pictures; check its cable.",
        "value": 1.0,
        "limit": 0.0,
        "deadband": 0.0,
        "unit": "",
        "quality": Quality.GOOD,
        "count": 1,
        "active_since_ms": STAMP,
        "cleared_at_ms": 0,
        "acked_at_ms": 0,
        "shelved_until_ms": 0,
        "acked_by": "",
        "comment": "",
        "evidence_topic": "",
        "evidence_url": "",
        "frame_id": "cam1-000042",
        "model": "default",
        "on_delay_s": 1.0,
        "off_delay_s": 5.0,
        "timestamp_ms": STAMP,
        "transition": "raised",
        "seq": 1,
        "captured_mono": 0.0,
    }
    return Alarm(**(values | changes))
