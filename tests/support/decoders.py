"""Independent clients in another language: mqtt.js and Eclipse Tahu's sparkplug-payload."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import require_tool, wait_until

FOLDER = Path(__file__).parents[1] / "node"


def require_decoders() -> None:
    """Skip where node or its packages are missing, or fail where CI promises them."""
    require_tool("node")
    if not (FOLDER / "node_modules").is_dir():
        reason = "needs the packages of tests/node: npm ci"
        if os.environ.get("PITWATCH_REQUIRE_TOOLS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


class NodeListener:
    """``listener.js`` on a broker (``url`` none: only ``roundtrip``)."""

    def __init__(self, url: str, *filters: str, version: int = 4) -> None:
        require_decoders()
        self._lines: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["node", "listener.js", url, str(version), *filters],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        try:
            self.wait(lambda lines: any(line.get("ready") for line in lines), "ready", 30.0)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._lock:
                self._lines.append(json.loads(line))

    def lines(self) -> list[dict[str, Any]]:
        """Everything said so far; an error of the client fails the test."""
        with self._lock:
            lines = list(self._lines)
        errors = [line for line in lines if "error" in line]
        assert errors == []
        return lines

    def wait(
        self,
        condition: Callable[[list[dict[str, Any]]], object],
        what: str,
        timeout_s: float = 15.0,
    ) -> list[dict[str, Any]]:
        wait_until(lambda: condition(self.lines()), timeout_s, what)
        return self.lines()

    def ask(self, **request: Any) -> None:
        """Send one request."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def roundtrip(self, data: bytes) -> dict[str, Any]:
        """Let sparkplug-payload decode a payload and encode it again."""
        before = len(self.lines())
        self.ask(roundtrip=data.hex())
        return self.wait(lambda lines: len(lines) > before, "an answer")[before]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._thread.join(10)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> NodeListener:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
