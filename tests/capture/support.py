"""Helpers of the capture tests: books that a test can read, cameras, pictures on disk."""

from __future__ import annotations

import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

from agent.config import Camera
from agent.telemetry import Kind, check


class Ledger:
    """A telemetry that keeps what it is told, and refuses what the catalogue does not know."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}
        self.observed: Counter[str] = Counter()
        self.beats: Counter[str] = Counter()

    def count(self, name: str, amount: float = 1, /, **labels: str) -> None:
        check(name, Kind.COUNTER, labels)
        with self._lock:
            self.counts[(name, *labels.values())] += amount  # type: ignore[assignment]

    def gauge(self, name: str, value: float, /, **labels: str) -> None:
        check(name, Kind.GAUGE, labels)
        self.gauges[(name, *labels.values())] = value

    def observe(
        self, name: str, seconds: float, /, *, exemplar: str | None = None, **labels: str
    ) -> None:
        check(name, Kind.HISTOGRAM, labels)
        self.observed[name] += 1

    def beat(self, loop: str, /) -> None:
        self.beats[loop] += 1


def camera(source: str = "test:steady", **keys: Any) -> Camera:
    """A camera with time-outs short enough for a test."""
    defaults: dict[str, Any] = {
        "name": "cam1",
        "mode": "free-run",
        "fps": 20.0,
        "queue_slots": 64,
        "read_timeout_s": 1.5,
        "backoff_first_s": 0.05,
        "backoff_max_s": 0.2,
    }
    return Camera(source=source, **{**defaults, **keys})


def noise(seed: int, height: int = 48, width: int = 64, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def write_pictures(folder: Path, count: int, suffix: str = ".png") -> list[np.ndarray]:
    """Write ``count`` pictures of noise, 64 x 48, named in order."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [noise(index) for index in range(count)]
    for index, image in enumerate(images):
        assert cv2.imwrite(str(folder / f"{index:03d}{suffix}"), image)
    return images


def write_video(path: Path, count: int, fps: float = 20.0) -> None:
    """Write a Motion-JPEG file of flat pictures whose grey level tells their number."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    assert writer.isOpened()
    for index in range(count):
        writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
    writer.release()


def write_coded_video(
    path: Path, sizes: list[tuple[int, int]], pixel_aspect: Fraction = Fraction(1)
) -> None:
    """Write pictures of these (width, height) one after another; ``.mkv``: H.264.

    Those of H.264 are grainy, and their mean is 30 grey levels and 6 for each before it.
    """
    if path.suffix == ".mjpeg":  # pictures one after another, each with its own size
        flat = [np.full((h, w, 3), 10 * n, np.uint8) for n, (w, h) in enumerate(sizes)]
        path.write_bytes(b"".join(cv2.imencode(".jpg", image)[1].tobytes() for image in flat))
        return
    rng = np.random.default_rng(2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = sizes[0]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        stream.options = {"g": "10", "qp": "12"}
        for number, (width, height) in enumerate(sizes):
            grain = rng.integers(-20, 21, (height, width, 3))
            image = (30 + 6 * number + grain).astype(np.uint8)
            container.mux(stream.encode(VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode(None))
