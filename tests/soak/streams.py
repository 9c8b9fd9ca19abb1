"""How old a network stream's pictures really are: the capture path, and FFmpeg through OpenCV.

A server draws its number into every picture and says when it made it. Both read the same stream at
the same time, each in a process of its own that is asked for so many decoder threads.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path

import cv2
import numpy as np

from agent.capture.feed import CaptureContext
from agent.capture.system import CaptureSystem
from agent.config import Camera
from tests.capture.streams import CounterServer, StallingNetwork, number_in
from tests.capture.support import Ledger
from tests.support import wait_until

RATES = (1, 5, 25)
THREADS = (1, 2, 8, 16)
CODECS = ("h264", "slices", "h265", "jpeg")
PICTURES = 12
LEAST_S = 6.0
LEFT_S = 2.0
"""So long after the stop no picture may be left inside."""
STALL_S = 3.0
MAX_AGE_S = 2.0
BELT_S = 4.0
COUNTING_S = 5.0
MARGIN_S = 0.2
BOOT_S = 40.0


@dataclass(slots=True)
class Taken:
    """(number, stamp, moment of the taking) of every picture that a reader gave out."""

    pictures: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, image: np.ndarray, captured_mono: float, now: float) -> None:
        self.pictures.append((number_in(image), captured_mono, now))

    def hidden_s(self, server: CounterServer) -> float:
        """How much older than its stamp a picture was, at most; infinite without one."""
        hidden = (
            stamp - server.made[number]
            for number, stamp, _ in self.pictures
            if number in server.made
        )
        return max(hidden, default=float("inf"))

    def wrong(self, server: CounterServer) -> int:
        """Pictures so damaged that they show a number that was never drawn."""
        return sum(number not in server.made for number, _, _ in self.pictures)

    def oldest_s(self, server: CounterServer) -> float:
        """How old a picture was, at most, when it was given out."""
        return max(
            (
                now - server.made[number]
                for number, _, now in self.pictures
                if number in server.made
            ),
            default=float("inf"),
        )

    def left(self, server: CounterServer) -> int:
        """Pictures made before the stop that have not come out."""
        came = (number for number, _, _ in self.pictures if number in server.made)
        newest = max(came, default=-1)
        return max(server.made) - newest


@contextmanager
def _captured(url: str, threads: int) -> Iterator[tuple[Taken, CaptureSystem]]:
    """The capture path in a child that is asked for so many decoder threads."""
    os.environ["OPENCV_FFMPEG_THREADS"] = str(threads)
    camera = Camera(
        name="cam1", source=url, mode="free-run", max_age_s=MAX_AGE_S, read_timeout_s=20
    )
    context = CaptureContext(Ledger(), time.monotonic, "s1", {}, random.Random(1))
    system, taken, over = CaptureSystem([camera], context), Taken(), threading.Event()

    def take() -> None:
        while not over.is_set():
            for frame in system.take(8, 0.05):
                taken.add(frame.image, frame.captured_mono, time.monotonic())

    system.start()
    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    try:
        yield taken, system
    finally:
        over.set()
        thread.join(10)
        system.stop(10)


@contextmanager
def _opencv(url: str, threads: int) -> Iterator[Taken]:
    """FFmpeg through OpenCV, stamped when it was got."""
    context = multiprocessing.get_context("spawn")
    out: Queue[tuple[int, float]] = context.Queue()
    os.environ["OPENCV_FFMPEG_THREADS"] = str(threads)
    process = context.Process(target=_read_by_opencv, args=(url, out), daemon=True)
    process.start()
    taken = Taken()
    try:
        yield taken
    finally:
        while True:
            try:
                number, stamp = out.get(timeout=0.2)
            except queue.Empty:
                break
            taken.pictures.append((number, stamp, stamp))
        process.kill()
        process.join(10)


def _read_by_opencv(url: str, out: Queue[tuple[int, float]]) -> None:
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    while capture.grab():
        now = time.monotonic()
        _, image = capture.retrieve()
        out.put((number_in(np.asarray(image, np.uint8)), now))


def streams(_folder: Path, _rounds: int, _seconds: float) -> tuple[list[str], list[str]]:
    """Measure, and return the table's lines and the bars that were missed."""
    missed: list[str] = []
    lines = [
        "Seconds by which a picture was older than its stamp, at most, and pictures left inside"
        f" {LEFT_S:g} s after the stream stopped; H.264, 320x240",
        "",
        "| pictures/s | threads asked for | capture: older | left | OpenCV: older | left |",
        "|---|---|---|---|---|---|",
    ]
    for rate in RATES:
        for threads in THREADS:
            ours, theirs = _row("h264", rate, threads)
            lines.append(
                f"| {rate} | {threads} | {_number(ours[0])} | {ours[1]}"
                f" | {_number(theirs[0])} | {theirs[1]} |"
            )
            print(lines[-1], flush=True)
            if ours[0] > 1 / rate + MARGIN_S or ours[1] or ours[2]:
                missed.append(f"{rate} a second, {threads} threads")
    lines += ["", "| codec, 5 pictures/s, 8 threads | capture: older | left |", "|---|---|---|"]
    for codec in CODECS[1:]:
        ours, _ = _row(codec, 5, 8)
        lines.append(f"| {codec} | {_number(ours[0])} | {ours[1]} |")
        if ours[0] > 1 / 5 + MARGIN_S or ours[1] or ours[2]:
            missed.append(codec)
    lines += [
        "",
        f"A network that stalls for {STALL_S:g} s, max_age_s {MAX_AGE_S:g}",
        "",
        "| pictures/s | older than the stamp, at most | oldest that was given out | stale |",
        "|---|---|---|---|",
    ]
    for rate in RATES:
        hidden_s, oldest_s, stale = _stalled(rate)
        lines.append(f"| {rate} | {hidden_s:.3f} | {oldest_s:.2f} | {stale} |")
        if hidden_s > 1 / rate + MARGIN_S or oldest_s > MAX_AGE_S + 1 / rate + MARGIN_S:
            missed.append(f"stall at {rate} a second")
    hidden_s, lost_s = _counting()
    lines += [
        "",
        "An encoder that counts its pictures instead of the time, 5 a second, stopped twice for"
        f" {BELT_S:g} s: seconds until its pictures are taken again {lost_s:.1f} at most;"
        f" afterwards older than the stamp by {hidden_s:.3f} at most",
    ]
    if hidden_s > 1 / 5 + MARGIN_S or lost_s > COUNTING_S:
        missed.append("an encoder that counts")
    return [*lines, ""], missed


def _row(
    codec: str, rate: int, threads: int
) -> tuple[tuple[float, int, int], tuple[float, int, int]]:
    with CounterServer(codec=codec, fps=rate) as server:
        with (
            _opencv(server.url, threads) as theirs,
            _captured(server.url, threads) as (ours, _),
        ):
            wait_until(lambda: len(ours.pictures) >= 2, BOOT_S, "the stream is up")
            time.sleep(max(LEAST_S, PICTURES / rate))
            server.toggle()
            time.sleep(LEFT_S)
            mine = _measured(ours, server)
        return mine, _measured(theirs, server)


def _measured(taken: Taken, server: CounterServer) -> tuple[float, int, int]:
    return taken.hidden_s(server), taken.left(server), taken.wrong(server)


def _stalled(rate: int) -> tuple[float, float, int]:
    with (
        CounterServer(codec="h264", fps=rate) as server,
        StallingNetwork(server.port) as network,
        _captured(network.url, 8) as (taken, system),
    ):
        wait_until(lambda: len(taken.pictures) >= 5, BOOT_S, "the stream is up")
        network.pause(STALL_S)
        time.sleep(max(LEAST_S, 5 / rate))
        dropped = system.books()["cam1"].dropped_by_reason
        return taken.hidden_s(server), taken.oldest_s(server), dropped.get("stale", 0)


def _counting() -> tuple[float, float]:
    with (
        CounterServer(codec="h264", fps=5, stamp="pause") as server,
        _captured(server.url, 8) as (taken, _),
    ):
        wait_until(lambda: len(taken.pictures) >= 5, BOOT_S, "the stream is up")
        lost_s = 0.0
        for _ in range(2):
            server.toggle()
            time.sleep(BELT_S)
            before = len(taken.pictures)
            server.toggle()
            begin = time.monotonic()
            wait_until(lambda: len(taken.pictures) > before, BOOT_S, "it is taken again")  # noqa: B023
            lost_s = max(lost_s, time.monotonic() - begin)
        taken.pictures.clear()
        time.sleep(3.0)
        return taken.hidden_s(server), lost_s


def _number(seconds: float) -> str:
    return "no picture" if seconds == float("inf") else f"{seconds:.3f}"
