"""One camera, watched: what came and what is read on it, in lines, with the exit code."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import cv2

from agent.cameras.columns import columns, say
from agent.cameras.watch import Seen, watch
from agent.capture.sources.genicam.options import options_of
from agent.capture.urls import parse
from agent.config import Camera, Config
from agent.models.errors import ModelError
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.records import Reading
from agent.redaction import without_credentials
from agent.segmentation.reading import lanes_of
from agent.segmentation.segmenter import Segmenter

EXIT_OK, EXIT_NOT_WELL, EXIT_CONFIG, EXIT_INTERRUPTED = 0, 1, 78, 130


def watch_camera(config: Config, camera: Camera, seconds: float, snapshot: Path | None) -> int:
    """Watch one camera and print what came: 0 pictures and none lost, 1 otherwise, 78 the model."""
    try:
        model = load_model(config.model)
        seen = watch(camera, seconds)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except ModelError as error:
        sys.stderr.write(f"pitwatch: {error}\n")
        return EXIT_CONFIG
    for line in report(camera, seen, _readings(config, camera, model, seen)):
        say(line)
    if snapshot is not None and seen.newest:
        return max(_save(snapshot, seen), EXIT_OK if seen.well else EXIT_NOT_WELL)
    return EXIT_OK if seen.well else EXIT_NOT_WELL


def report(camera: Camera, seen: Seen, readings: dict[str, Reading]) -> list[str]:
    """What came, in lines of a name and its value."""
    status = seen.status
    rows = [("source", without_credentials(camera.source))]
    if seen.refused and (not seen.pictures or status.state != "live"):
        rows.append(("refused", seen.refused))
    if not seen.pictures:
        rows.append(("pictures", "none"))
        if status.state == "live":
            rows.append(("state", "the camera is open; its trigger has not come" + _hint(camera)))
    else:
        rows += [
            ("picture", f"{status.width_px} x {status.height_px}"),
            ("pictures", f"{seen.pictures}, {seen.rate:.2f} a second"),
            ("age", f"median {seen.age_ms(0.5):.0f} ms, longest {seen.age_ms(1.0):.0f} ms"),
        ]
    lost = ", ".join(f"{count} {reason}" for reason, count in seen.lost.items() if count)
    rows.append(("lost", lost or "0"))
    rows += [("remark", f"{kind} ({count})") for kind, count in seen.remarks.items()]
    chunks = seen.newest[0].chunks if seen.newest else {}
    rows += [(f"chunk {name}", _of_chunk(value)) for name, value in chunks.items()]
    several = len(readings) > 1
    for lane, one in readings.items():
        rows.append((f"reading {lane}" if several else "reading", _in_words(one)))
    return columns(rows)


def _hint(camera: Camera) -> str:
    """For a machine camera that nobody told its trigger: it has the one of whoever set it last."""
    if parse(camera.source).scheme != "genicam" or options_of(camera)[1].trigger is not None:
        return ""
    return " (the one it is set to; with trigger=off it runs by itself)"


def _of_chunk(value: float | str) -> str:
    if isinstance(value, float):
        return "not in the picture" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _in_words(one: Reading) -> str:
    if not one.read:
        return f"no angle: {one.reason.value}"
    stem = (
        "" if math.isnan(one.stem_x_px) else f", stem at {one.stem_x_px:.0f}, {one.stem_y_px:.0f}"
    )
    return f"{one.angle_deg:.1f} degrees, confidence {one.confidence:.2f}{stem}"


def _readings(config: Config, camera: Camera, model: LoadedModel, seen: Seen) -> dict[str, Reading]:
    if not seen.newest:
        return {}
    segmenter = Segmenter(fused(model), config.segmentation, lanes_of(camera), time.monotonic)
    return {each.lane: each.reading for each in segmenter.segment(seen.newest)}


def _save(snapshot: Path, seen: Seen) -> int:
    """The newest picture of the first lane, as it was given."""
    _, encoded = cv2.imencode(".png", seen.newest[0].image)
    try:
        snapshot.write_bytes(encoded.tobytes())
    except OSError as error:
        sys.stderr.write(f"pitwatch: {snapshot}: {error.strerror}\n")
        return EXIT_NOT_WELL
    say(f"snapshot  {snapshot}")
    return EXIT_OK
