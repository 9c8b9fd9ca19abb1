"""A Sparkplug publisher under test on a real broker, and a host that listens to it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from agent.publishing.sparkplug.codec import DataType, Metric, Payload, encode, value_of
from agent.publishing.sparkplug.publisher import NodeHooks, SparkplugPublisher
from agent.publishing.sparkplug.settings import MetricTag, SparkplugSettings
from agent.publishing.sparkplug.writes import WRITABLE, Written
from agent.records import CameraState, CameraStatus, LinkStatus
from tests.publishing import examples
from tests.publishing.examples import Books
from tests.publishing.sparkplug.host import Host, Message
from tests.support import wait_until
from tests.support.mosquitto import Observer

NCMD = "spBv1.0/plant-site/NCMD/pitwatch"
REBIRTH = encode(
    Payload(1, (Metric("Node Control/Rebirth", value=value_of(DataType.BOOLEAN, True)),))
)


class SparkplugRig:
    """A publisher with quick back-off and batches. ``bdseq`` counts from 0 unless one is given."""

    def __init__(self, broker: str, bdseq: Callable[[], int] | None = None, **mqtt: Any) -> None:
        sparkplug = {
            "enabled": True,
            "batch_s": 0.05,
            "rebirth_debounce_s": 0.1,
            **mqtt.pop("sparkplug", {}),
        }
        agent_id = mqtt.pop("agent_id", "pitwatch")
        echo_s = mqtt.pop("echo_s", 10.0)
        general = examples.settings(broker, sparkplug=sparkplug, **mqtt)
        self.books = Books()
        self.links: list[LinkStatus] = []
        self.writes: list[Written] = []
        counter = itertools.count()
        self.publisher = SparkplugPublisher(
            SparkplugSettings(
                mqtt=general.mqtt,
                site=general.site,
                identity=replace(general.identity, agent_id=agent_id),
                lanes=("cam1", "cam2"),
                echo_s=echo_s,
                writable=WRITABLE,
                metrics=(MetricTag("fps", "Hz"), MetricTag("uptime_s", "s", of_agent=True)),
            ),
            NodeHooks(
                bdseq=bdseq or (lambda: next(counter) % 256),
                link=self.links.append,
                written=self.writes.append,
            ),
            self.books,
            time.monotonic,
        )

    def camera(self, name: str, state: CameraState = CameraState.LIVE) -> None:
        self.publisher.camera(CameraStatus(name, (name,), state, "test", 0.0))

    def wait_online(self, timeout_s: float = 15.0) -> None:
        wait_until(lambda: self.books.gauges.get(("sparkplug_online",)) == 1.0, timeout_s, "born")

    def wait_count(self, amount: int, name: str, *labels: str, timeout_s: float = 15.0) -> None:
        wait_until(
            lambda: self.books.total(name, *labels) >= amount,
            timeout_s,
            f"{name}{labels} >= {amount}; {self.books.counts}",
        )


@contextmanager
def sparkplug(broker: str, *, wait: bool = True, **options: Any) -> Iterator[SparkplugRig]:
    """Run an edge node with camera ``cam1`` for the length of a ``with`` block."""
    rig = SparkplugRig(broker, **options)
    rig.camera("cam1")
    rig.publisher.start()
    try:
        if wait:
            rig.wait_online()
        yield rig
    finally:
        rig.publisher.stop(2.0)


class Listener:
    """A host behind a real subscriber."""

    def __init__(self, observer: Observer, host: Host | None = None) -> None:
        self._observer = observer
        self._fed = 0
        self.host = host or Host()

    def listen(self) -> Host:
        """Give the host everything that has come since."""
        seen = [one for one in self._observer.all() if one.topic.startswith("spBv1.0/")]
        for one in seen[self._fed :]:
            self._fed += 1
            if "/STATE/" not in one.topic and "/NCMD/" not in one.topic:
                self.host.feed(one.topic, one.payload, one.qos, one.retained)
        return self.host

    def wait(self, condition: Callable[[Host], object], what: str, timeout_s: float = 10.0) -> Host:
        wait_until(lambda: condition(self.listen()), timeout_s, what)
        return self.host

    def wait_for(self, kind: str, count: int = 1, timeout_s: float = 10.0) -> list[Message]:
        host = self.wait(lambda h: len(h.of(kind)) >= count, f"{count} of {kind}", timeout_s)
        return host.of(kind)
