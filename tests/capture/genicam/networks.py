"""A network of its own for a test, and Aravis' fake camera at the other end of a cable in it.

Everything happens in a network namespace that ends with the test: a broadcast reaches nobody.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import pytest

from agent.capture.sources.genicam.gige import gvcp
from tests.support import require_tool, wait_until

FAKE = "arv-fake-gv-camera-0.8"
CLONE_NEWNET = 0x40000000
HERE, THERE, ELSEWHERE = "10.9.0.1", "10.9.0.2", "10.9.0.3"
CABLE = "cable"


def in_own_network(body: Callable[[], None]) -> None:
    """Run ``body`` in a thread with a network of its own, which its children inherit; skip where
    this process may not make one."""
    require_tool("ip", "nft", "nsenter", "unshare", FAKE)
    raised: list[BaseException] = []

    def run() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
                denied(os.strerror(ctypes.get_errno()))
            command("ip", "link", "set", "lo", "up")
            body()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def denied(why: str) -> None:
    reason = f"no network of its own: {why}"
    if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=20)


class FarSide:
    """The camera's end of a cable whose other end, ``CABLE``, is in the caller's network."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ("unshare", "-n", "cat"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self._cameras: list[subprocess.Popen[bytes]] = []
        there = Path(f"/proc/{self._holder.pid}/ns/net")
        here = Path("/proc/thread-self/ns/net").readlink()
        wait_until(lambda: there.readlink() != here, 10)
        peer = ("peer", "name", "port", "netns", str(self._holder.pid))
        command("ip", "link", "add", CABLE, "type", "veth", *peer)
        command("ip", "addr", "add", f"{HERE}/24", "brd", "+", "dev", CABLE)
        command("ip", "link", "set", CABLE, "mtu", "9000", "up")
        self.inside("ip", "addr", "add", f"{THERE}/24", "dev", "port")
        self.inside("ip", "addr", "add", f"{ELSEWHERE}/24", "dev", "port")
        self.inside("ip", "link", "set", "port", "mtu", "9000", "up")
        self.inside("ip", "link", "set", "lo", "up")

    def __enter__(self) -> FarSide:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.power_off()
        command("ip", "link", "del", CABLE)  # with its network it would vanish some time later
        self._holder.kill()
        self._holder.communicate()

    def inside(self, *words: str) -> None:
        command(*self._within(), *words)

    @contextmanager
    def running(self, *words: str) -> Iterator[None]:
        """Run something at the far side meanwhile."""
        process = subprocess.Popen((*self._within(), *words))
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def pull(self) -> None:
        """Pull the cable: this side loses its link, and keeps its address."""
        self.inside("ip", "link", "set", "port", "down")

    def plug(self) -> None:
        self.inside("ip", "link", "set", "port", "up")

    def power_on(
        self,
        address: str = THERE,
        serial: str = "GV01",
        lost_in_1000: int = 0,
        description: Path | None = None,
    ) -> None:
        """Start the camera and wait until it answers; ``description``: in place of its own."""
        named = () if description is None else ("-g", str(description))
        loss = ("-r", str(lost_in_1000))
        self._cameras.append(
            subprocess.Popen(
                (*self._within(), FAKE, "-i", address, "-s", serial, *loss, *named),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_until(lambda: gvcp.ask(address) is not None, 10, "the camera answers")

    def power_off(self) -> None:
        """Kill the cameras that were started."""
        while self._cameras:
            camera = self._cameras.pop()
            camera.kill()
            camera.wait()

    def _within(self) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self._holder.pid), "-n")
