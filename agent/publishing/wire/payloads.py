"""Records -> flat payloads, one function a topic. Pure; the keys of a topic never change.

A number that does not exist is 0.0 with a quality or a flag of its own beside it, never null:
``quality`` for the payload as a whole, ``stem_found`` and ``stem_mm_known`` for the stem,
``plausibility_known`` for the plausibility, an area of 0.0 for a class margin, ``{class}_quality``
for what an explanation does not know. Two kinds of number have a value of their own that no
measurement can take: ``angle_deg`` -1.0 on no read, and an occlusion's dice -1.0 where it was not
measured.
"""

from __future__ import annotations

import math

from agent.publishing.schemas import schema_id
from agent.publishing.wire.encoding import Flat, name, number, whole
from agent.publishing.wire.settings import ExplanationShape, Identity
from agent.records import (
    ANGLE_NO_READ,
    Alarm,
    ClassExplanation,
    Command,
    Explanation,
    FruitReading,
    IdReason,
    MachineInfo,
    NoReadReason,
    Quality,
    Region,
)

LOST = "lost"
STOPPED = "stopped"
"""States of the agent when it is not there: by the will, and by its own last word."""

ENCODER_UNKNOWN = -1
DICE_UNKNOWN = -1.0
REGIONS = (Region.FOREGROUND, Region.BACKGROUND)
"""Occluded by every configured share; as much background as foreground is occluded whole only."""


def status(
    identity: Identity,
    state: str,
    reason: str,
    *,
    online: bool,
    timestamp_ms: int,
    uptime_s: float,
    last_frame_ms: int,
) -> Flat:
    """The agent's own state; the will has the same keys with ``state`` lost."""
    return {
        "timestamp_ms": whole(timestamp_ms),
        "quality": Quality.GOOD if online else Quality.BAD,
        "online": online,
        "state": state,
        "reason": reason,
        "session": identity.session,
        "version": identity.version,
        "config_hash": identity.config_hash,
        "uptime_s": number(uptime_s, digits=1),
        "last_frame_ms": whole(last_frame_ms),
    }


def meta(identity: Identity, descriptions_url: str, timestamp_ms: int) -> Flat:
    """Versions and model, and where metrics, alarms and payloads are described: small clients keep
    a whole retained message in memory."""
    return {
        "timestamp_ms": whole(timestamp_ms),
        "quality": Quality.GOOD,
        "agent_id": identity.agent_id,
        "session": identity.session,
        "version": identity.version,
        "config_hash": identity.config_hash,
        "model": identity.model_name,
        "model_sha256": identity.model_sha256,
        "schema_prefix": schema_id(""),
        "descriptions_url": descriptions_url,
    }


def metric(value: float, quality: Quality, timestamp_ms: int) -> Flat:
    """One measured value; what is not finite becomes 0.0 with quality bad."""
    finite = math.isfinite(value)
    return {
        "timestamp_ms": whole(timestamp_ms),
        "value": number(value, digits=9),
        "quality": quality if finite else Quality.BAD,
    }


def fruit(reading: FruitReading) -> Flat:
    """One fruit: the angle or why there is none, and what the network saw."""
    seen = reading.segmentation
    result = seen.reading
    stem_found = math.isfinite(result.stem_x_px) and math.isfinite(result.stem_y_px)
    mm_known = math.isfinite(result.stem_x_mm) and math.isfinite(result.stem_y_mm)
    payload: Flat = {
        "timestamp_ms": whole(seen.captured_utc_ms),
        "camera_id": seen.lane,
        "frame_id": seen.frame_id,
        "seq": whole(seen.seq),
        "quality": fruit_quality(reading),
        "read": result.read,
        "reason": str(result.reason),
        "angle_deg": number(result.angle_deg, ANGLE_NO_READ, 3) if result.read else ANGLE_NO_READ,
        "confidence": number(result.confidence),
        "confidence_raw": number(result.confidence_raw),
        "plausibility": number(result.plausibility),
        "plausibility_known": math.isfinite(result.plausibility),
        "stem_found": stem_found,
        "stem_x_px": number(result.stem_x_px, digits=2),
        "stem_y_px": number(result.stem_y_px, digits=2),
        "stem_mm_known": mm_known,
        "stem_x_mm": number(result.stem_x_mm, digits=3),
        "stem_y_mm": number(result.stem_y_mm, digits=3),
        "cup_empty": reading.empty,
        "frames": reading.frames,
        "latency_s": number(seen.done_mono - seen.captured_mono + reading.waited_s),
        "brightness": number(seen.brightness, digits=2),
        "entropy": number(seen.entropy),
        **_machine(seen.machine),
        "fruit_id_reason": str(reading.id_reason),
    }
    for class_name, area, margin in zip(seen.classes, seen.areas, seen.margins, strict=True):
        payload[f"area_{name(class_name)}"] = number(area)
        payload[f"margin_{name(class_name)}"] = number(margin)
    for chunk, value in seen.chunks.items():
        payload |= _chunk(f"chunk_{name(chunk)}", value)
    return payload


def _chunk(key: str, value: float | str) -> Flat:
    """What the camera has put into the picture: the same keys also where it is not in this one."""
    if isinstance(value, str):
        return {key: value, f"{key}_known": True}
    return {key: number(value, digits=9), f"{key}_known": math.isfinite(value)}


def fruit_quality(reading: FruitReading) -> Quality:
    """Whether it can be acted on: a good angle, of a fruit whose id is certain where it has one."""
    quality = angle_quality(reading)
    return id_quality(reading) if quality is Quality.GOOD else quality


def id_quality(reading: FruitReading) -> Quality:
    """Whether the machine's id is surely that of the fruit in the picture."""
    return Quality.UNCERTAIN if reading.id_reason is not IdReason.NONE else Quality.GOOD


def angle_quality(reading: FruitReading) -> Quality:
    """Whether the angle is right for the fruit in the picture, whichever that is."""
    result = reading.segmentation.reading
    if reading.camera_frozen:
        return Quality.BAD  # whatever was read, it was read off another fruit's picture
    if result.read:
        return Quality.GOOD
    return Quality.UNCERTAIN if result.reason is NoReadReason.LOW_CONFIDENCE else Quality.BAD


def _machine(info: MachineInfo) -> Flat:
    return {
        "machine_state": str(info.state),
        "fruit_id": info.fruit_id or "",
        "encoder": ENCODER_UNKNOWN if info.encoder is None else whole(info.encoder),
        "variety": info.variety or "",
        "lot": info.lot or "",
        "machine_timestamp_ms": whole(info.machine_timestamp_ms),
    }


def explanation(record: Explanation, shape: ExplanationShape) -> Flat:
    """One explained frame: the classes of ``shape``, each with all its keys, whatever was left out.

    ``quality``: good when every class was explained exactly, uncertain when one was left out or
    estimated, bad when none was explained.
    """
    found = {part.class_name: part for part in record.classes}
    parts = [found.get(class_name) for class_name in shape.classes]
    payload: Flat = {
        "timestamp_ms": whole(record.captured_utc_ms),
        "camera_id": record.lane,
        "frame_id": record.frame_id,
        "job_id": record.job_id,
        "quality": _explanation_quality(parts),
        "sampling_class": str(record.sampling_class),
        "rung": str(record.rung),
        "method": record.method,
        "layer": record.layer,
        "score": record.score,
        "baseline": record.baseline,
        "model": record.model_name,
        "model_sha256": record.model_sha256,
        "left_out": " ".join(record.left_out),
        "region_source": record.region_source,
        "region_threshold": number(record.region_threshold),
        "seconds": number(record.seconds),
    }
    for class_name, part in zip(shape.classes, parts, strict=True):
        payload |= _class_part(name(class_name), part, shape)
    return payload | {"replayed": False}


def _explanation_quality(parts: list[ClassExplanation | None]) -> Quality:
    explained = [part for part in parts if part is not None and part.explainable]
    if not explained:
        return Quality.BAD
    exact = all(bool(part.exact.all()) for part in explained)
    return Quality.GOOD if exact and len(explained) == len(parts) else Quality.UNCERTAIN


def _class_part(prefix: str, part: ClassExplanation | None, shape: ExplanationShape) -> Flat:
    explained = part is not None and part.explainable
    sensitivities = (
        ("sensitivity_foreground", part.sensitivity_foreground if part else math.nan),
        ("sensitivity_background", part.sensitivity_background if part else math.nan),
        ("context_reliance", part.context_reliance if part else math.nan),
        (
            "input_sensitivity_foreground",
            part.input_sensitivity_foreground if part else math.nan,
        ),
        (
            "input_sensitivity_background",
            part.input_sensitivity_background if part else math.nan,
        ),
        ("input_context_reliance", part.input_context_reliance if part else math.nan),
    )
    flat: Flat = {
        "explained": explained,
        "reason": (part.reason if part else "left_out"),
        "quality": Quality.GOOD if explained else Quality.BAD,
        "y": number(part.y if part else math.nan),
        "y_null": number(part.y_null if part else math.nan),
        "y_all": number(part.y_all if part else math.nan),
        "channels": len(part.deltas) if part else 0,
        "channels_exact": int(part.exact.sum()) if part else 0,
        "estimate_error": number(part.estimate_error if part else math.nan),
        "spot_channel": part.spot_channel if part else -1,
        "spot_error": number(part.spot_error if part else math.nan, digits=9),
        "all_ones_share": number(part.all_ones_share if part else math.nan),
        "sign_balance": number(part.sign_balance if part else math.nan),
    }
    for key, value in sensitivities:
        usable = explained and math.isfinite(value)
        flat[key] = number(value) if usable else 0.0
        flat[f"{key}_quality"] = Quality.GOOD if usable else Quality.BAD
    return {f"{prefix}_{key}": value for key, value in (flat | _dice(part, shape)).items()}


def _dice(part: ClassExplanation | None, shape: ExplanationShape) -> Flat:
    measured = {
        (step.region, round(100 * step.fraction)): step.dice
        for step in (part.occlusions if part else ())
    }
    steps = [(region, percent) for region in REGIONS for percent in shape.percents]
    return {
        f"dice_{region}_{percent}": number(measured.get((region, percent), math.nan), DICE_UNKNOWN)
        for region, percent in (*steps, (Region.BACKGROUND_EQUAL, 100))
    }


def alarm(record: Alarm) -> Flat:
    """The whole state of one alarm. A condition without a number has value and limit 0.0."""
    finite = math.isfinite(record.value)
    return {
        "timestamp_ms": whole(record.timestamp_ms),
        "alarm_id": record.alarm_id,
        "title": record.title.replace("/", " "),
        "source": record.source,
        "camera_id": record.camera_id,
        "event_id": record.event_id,
        "state": str(record.state),
        "active": record.active,
        "acked": record.acked,
        "shelved": record.shelved,
        "suppressed": record.suppressed,
        "severity": record.severity,
        "priority": record.priority,
        "message": record.message,
        "value": number(record.value),
        "limit": number(record.limit),
        "deadband": number(record.deadband),
        "unit": record.unit,
        "quality": str(record.quality) if finite else Quality.BAD,
        "count": whole(record.count),
        "active_since_ms": whole(record.active_since_ms),
        "cleared_at_ms": whole(record.cleared_at_ms),
        "acked_at_ms": whole(record.acked_at_ms),
        "shelved_until_ms": whole(record.shelved_until_ms),
        "acked_by": record.acked_by,
        "comment": record.comment,
        "evidence_topic": record.evidence_topic,
        "evidence_url": record.evidence_url,
        "frame_id": record.frame_id,
        "model": record.model,
        "on_delay_s": number(record.on_delay_s),
        "off_delay_s": number(record.off_delay_s),
    }


def command_result(command: Command, outcome: str, detail: str, timestamp_ms: int) -> Flat:
    """What a command came to."""
    return {
        "timestamp_ms": whole(timestamp_ms),
        "command": command.name,
        "command_id": command.command_id,
        "user": command.user,
        "outcome": outcome,
        "detail": detail,
    }


def alarm_event(record: Alarm) -> Flat:
    """One transition: the alarm's state after it, and which one it was."""
    return {
        **alarm(record),
        "transition": record.transition,
        "seq": whole(record.seq),
        "replayed": False,
    }
