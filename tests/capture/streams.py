"""A stream whose pictures are known, a network that stalls, and what came of both."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from agent.capture.source import Picture, PictureError, Source
from tests.support import free_port, require_tool, wait_until

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("counter_server.py")
SIDE = 4
MARGIN_PX = 12


def require_rtsp_server() -> None:
    """Skip where GStreamer's RTSP server is missing, or fail where CI promises it."""
    require_tool(PYTHON)
    probe = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([PYTHON, "-c", probe], capture_output=True, timeout=60).returncode:
        reason = "needs GStreamer's RTSP server and its Python bindings"
        if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def start_rtsp_server(script: Path, port: int, *options: str) -> subprocess.Popen[str]:
    """Start a script that serves a stream, and wait until it does; its output can be read."""
    command = [PYTHON, str(script), str(port), *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert select.select([server.stdout], [], [], 30)[0]
        assert server.stdout.readline() == "ready\n"
    except AssertionError:
        server.kill()
        server.wait()
        raise
    return server


class CounterServer:
    """``counter_server.py`` with these options; ``made``: when it made which picture."""

    def __init__(self, **options: object) -> None:
        self.port = free_port()
        self.made: dict[int, float] = {}
        self.stopped_mono = 0.0
        words = [f"{key}={value}" for key, value in options.items()]
        self._process = start_rtsp_server(SCRIPT, self.port, *words)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def toggle(self) -> None:
        """Stop the pictures, or start them again; returns when that has happened."""
        before = self.stopped_mono
        self._process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.stopped_mono != before, 10, "the server stopped or started")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, moment = line.split()
            if word.isdecimal():
                self.made[int(word)] = float(moment)
            else:
                self.stopped_mono = float(moment)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._thread.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> CounterServer:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class StallingNetwork:
    """A TCP proxy before ``port`` that lets nothing through while it is paused."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open = threading.Event()
        self._open.set()
        self._over = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/cam"

    def pause(self, seconds: float) -> None:
        self._open.clear()
        time.sleep(seconds)
        self._open.set()

    def _accept(self) -> None:
        while not self._over:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                return
            far.settimeout(None)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._open.wait(60)
                sink.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._over = True
        self._open.set()
        for each in self._sockets:
            each.close()

    def __enter__(self) -> StallingNetwork:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def number_in(image: np.ndarray) -> int:
    """The number that ``counter_server.py`` has drawn into (H, W, 3) as bright and dark fields."""
    height, width = image.shape[0] // SIDE, image.shape[1] // SIDE
    number = 0
    for bit in range(SIDE * SIDE):
        top, left = bit // SIDE * height, bit % SIDE * width
        field = image[
            top + MARGIN_PX : top + height - MARGIN_PX, left + MARGIN_PX : left + width - MARGIN_PX
        ]
        number |= int(np.median(field) > 127) << bit
    return number


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture that came: its number, its stamp, when it came, and when it was really made."""

    number: int
    captured_mono: float
    came_mono: float
    made_mono: float

    @property
    def hidden_s(self) -> float:
        """How much older the picture was than its stamp says."""
        return self.captured_mono - self.made_mono


class Watcher:
    """Reads an open source in a thread until it fails or is left."""

    def __init__(self, source: Source, server: CounterServer) -> None:
        self._source = source
        self._server = server
        self._over = threading.Event()
        self.seen: list[Seen] = []
        self.errors: list[PictureError] = []
        self.ended: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._over.is_set():
            try:
                picture = self._source.read()
            except PictureError as error:
                self.errors.append(error)
                continue
            except Exception as error:  # noqa: BLE001 - a test looks at it
                self.ended = error
                return
            if picture is not None:
                self._note(picture)

    def _note(self, picture: Picture) -> None:
        came, number = time.monotonic(), number_in(picture.image)
        wait_until(lambda: number in self._server.made, 5, f"picture {number} is one of its own")
        made = self._server.made[number]
        self.seen.append(Seen(number, picture.captured_mono, came, made))

    def wait_for(self, count: int, timeout_s: float = 40.0) -> None:
        """Wait for ``count`` more pictures than now."""
        target = len(self.seen) + count
        wait_until(lambda: len(self.seen) >= target, timeout_s, f"{count} pictures; {self.ended}")

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join(10)
        self._source.close()
