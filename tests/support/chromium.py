"""A real headless Chromium, driven by its own protocol over a pipe: no driver and no port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support import require_tool, wait_until

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
ANSWER_S = 30.0


class Chromium:
    """One browser with one page. ``errors`` collects what the page's scripts complained about."""

    def __init__(self, folder: Path) -> None:
        require_tool("chromium")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4.
        script = f'exec chromium "$@" 3<&{to_browser} 4>&{from_browser}'
        self._log = (folder / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", *FLAGS, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.errors: list[str] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._session: str | None = None
        threading.Thread(target=self._listen, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _listen(self) -> None:
        rest = b""
        with suppress(OSError):
            while chunk := os.read(self._read, 1 << 20):
                *messages, rest = (rest + chunk).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        with self._changed:
            if "id" in message:
                self._answers[message["id"]] = message
                self._changed.notify_all()
            elif message["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["source"] in ("javascript", "security", "violation"):
                    self.errors.append(f"{entry['source']}: {entry['text']}")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_S
        with self._changed:
            while number not in self._answers:
                assert self._changed.wait(end - time.monotonic()), f"no answer to {method}"
            answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer["error"])
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    def size(self, width: int, height: int, *, dark: bool = False, touch: bool = False) -> None:
        """The size of the screen in CSS pixels, its colours, and whether it is a telephone's."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=touch)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def text(self, selector: str) -> str:
        """The visible text of the first element that matches; empty when there is none."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, script: str, timeout_s: float = 20.0) -> None:
        """Until an expression in the page is true."""
        wait_until(lambda: self.run(script), timeout_s, f"{script}; errors: {self.errors}")

    def press(self, key: str) -> None:
        """One key of the keyboard: ``Tab``, ``Enter``, ``Escape`` or a character."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        more: dict[str, Any] = {"windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
        if key == "Enter":
            more["text"] = "\r"
        elif len(key) == 1:
            more["text"] = key
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, kind: str = "png", quality: int | None = None) -> bytes:
        """The screen as a picture: ``png``, or ``jpeg`` of a quality up to 100."""
        asked = {} if quality is None else {"quality": quality}
        return base64.b64decode(self.call("Page.captureScreenshot", format=kind, **asked)["data"])

    def close(self) -> None:
        with suppress(AssertionError, OSError):
            self._session = None
            self.call("Browser.close")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        self._log.close()


@contextmanager
def chromium(folder: Path) -> Iterator[Chromium]:
    """Run a browser for the length of a ``with`` block."""
    browser = Chromium(folder)
    try:
        yield browser
    finally:
        browser.close()
