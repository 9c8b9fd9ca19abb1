"""A PLC beside the simulated machine: names each fruit by MQTT at its trigger; what came of it.

The simulator's pictures are due at known moments (``anchor``) and its truth log says which picture
was taken when, so it is known which fruit each reading is of.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.support.mosquitto import Observer

SIZE_PX = 64


@dataclass(frozen=True, slots=True)
class Naming:
    """How the PLC names: whether with stamps, by lane; ``delay`` of each message (s), its clock's
    error, what is lost. ``rate_per_min``: of each lane."""

    stamped: Mapping[str, bool] = field(default_factory=lambda: {"left": True, "right": False})
    rate_per_min: float = 280.0
    clock_off_s: float = 3600.0
    delay: Callable[[Random], float] = lambda _rng: 0.0
    lost: float = 0.0
    doubled: float = 0.0

    @property
    def period_s(self) -> float:
        return 60.0 / self.rate_per_min


class Plc:
    """Publishes from ``start`` to ``stop``; ``camera`` is what it stands beside, as configuration.

    Number n of a lane is called ``{lane}{n}``.
    """

    def __init__(self, naming: Naming, observer: Observer, topic: str, folder: Path) -> None:
        self._naming, self._observer, self._topic = naming, observer, topic
        self._log = folder / "truth.jsonl"
        self._anchor = time.monotonic()
        self._utc_off = time.time() - time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def camera(self) -> str:
        count = len(self._naming.stamped)
        rate = count * self._naming.rate_per_min
        lanes = ", ".join(
            f"{{name: {lane}, region: [{SIZE_PX * place}, 0, {SIZE_PX}, {SIZE_PX}]}}"
            for place, lane in enumerate(self._naming.stamped)
        )
        source = f"sim:?rate={rate:g}&lanes={count}&size={SIZE_PX}&ids=0&anchor={self._anchor}"
        return f"{{name: cam1, source: '{source}&log={self._log}', lanes: [{lanes}]}}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        rng, naming = Random(5), self._naming
        number = int((time.monotonic() - self._anchor) / naming.period_s) + 1
        due: list[tuple[float, str]] = []
        while not self._stop.is_set():
            at = self._anchor + number * naming.period_s
            if at - time.monotonic() < 1.0:
                for lane, stamped in naming.stamped.items():
                    payload = self._message(number, at, lane, stamped=stamped)
                    lost, doubled = rng.random() < naming.lost, rng.random() < naming.doubled
                    copies = 0 if lost else 1 + doubled
                    due += [(at + naming.delay(rng), payload) for _ in range(copies)]
                due.sort()
                number += 1
                continue
            while due and due[0][0] <= time.monotonic():
                self._observer.client.publish(self._topic, due.pop(0)[1], 1)
            self._stop.wait(0.002)

    def _message(self, number: int, at: float, lane: str, *, stamped: bool) -> str:
        said: dict[str, Any] = {"state": "running", "fruit_id": f"{lane}{number}", "lane": lane}
        if stamped:
            off_s = self._utc_off + self._naming.clock_off_s
            said["timestamp_ms"] = round(1000 * (at + off_s))
        return json.dumps(said)

    def readings(self, lane: str) -> list[tuple[str, dict[str, Any]]]:
        """Each reading of a lane with the id of the fruit that it is of.

        A picture that this computer was too busy to take within a third of a period of its moment
        shows when it was taken and not what: it is left out.
        """
        period = self._naming.period_s
        pictures = [json.loads(line) for line in self._log.read_text().splitlines() if line]
        taken = {}
        for one in pictures:
            late_s = one["utc_ms"] / 1000 - self._utc_off - self._anchor - one["due_s"]
            if one["delivered"] and late_s < period / 3:
                taken[one["utc_ms"]] = f"{lane}{round(one['due_s'] / period)}"
        out = []
        for seen in self._observer.all(f"fruit/{lane}"):
            payload = json.loads(seen.payload)
            near = min(taken, key=lambda utc: abs(utc - payload["timestamp_ms"]))
            if abs(near - payload["timestamp_ms"]) <= 20:
                out.append((taken[near], payload))
        return out
