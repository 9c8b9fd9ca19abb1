"""A real mosquitto on a free loopback port, to be killed, stopped and restarted at will; and a
small observer that sees what a subscriber sees, independent of the agent's own client code."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.support import free_port, require_tool, wait_until
from tests.support.wire import Recorder


class Mosquitto:
    """One broker. ``extra`` are further lines of its configuration file.

    Without persistence, as after ``kill`` and ``start`` nothing is remembered: retained messages
    are gone, which is what a site with the default configuration gets.
    """

    def __init__(self, folder: Path, extra: str = "", *, anonymous: bool = True) -> None:
        require_tool("mosquitto")
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        self._log = (folder / f"mosquitto-{self.port}.log").open("ab")
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            f"allow_anonymous {'true' if anonymous else 'false'}\n"
            "persistence false\nsys_interval 0\nuser root\n"
            f"log_dest stderr\nlog_type all\n{extra}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        wait_until(self._listens, 10, f"mosquitto listens; its log: {self.log[-500:]}")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-2000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, whatever state it is in, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        self.kill()
        self._log.close()


@contextmanager
def mosquitto(folder: Path, extra: str = "", *, anonymous: bool = True) -> Iterator[Mosquitto]:
    """Run a broker for the length of a ``with`` block."""
    broker = Mosquitto(folder, extra, anonymous=anonymous)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as a subscriber got it."""

    topic: str
    payload: bytes
    qos: int
    retained: bool  # under MQTT 5 as the publisher set it, else: was stored before we subscribed
    expiry_s: int | None
    content_type: str | None
    at: float = field(default_factory=time.monotonic)


class Observer:
    """Subscribes to one filter, keeps everything that comes, and checks it at the end.

    ``checked`` false: the test publishes what no agent would under the agent's topics.
    """

    def __init__(
        self,
        port: int,
        filter_: str = "#",
        *,
        version: int = 5,
        checked: bool = True,
        **login: str,
    ) -> None:
        self._recorded: list[Seen] | None = [] if checked else None
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._ready = threading.Event()
        self._filter = filter_
        self._v5 = version == 5
        protocol = MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        if login:
            self.client.username_pw_set(login["username"], login["password"])
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_args: self._ready.set()
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10), "the observer could not subscribe"

    def _on_connect(self, client: paho.Client, *_rest: Any) -> None:
        if self._v5:
            client.subscribe(self._filter, options=SubscribeOptions(qos=2, retainAsPublished=True))
        else:
            client.subscribe(self._filter, qos=2)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        seen = Seen(
            message.topic,
            bytes(message.payload),
            message.qos,
            bool(message.retain),
            getattr(properties, "MessageExpiryInterval", None),
            getattr(properties, "ContentType", None),
        )
        with self._lock:
            self._seen.append(seen)
            if self._recorded is not None:
                self._recorded.append(seen)

    def unsubscribed(self) -> None:
        """The broker is gone: ``wait_subscribed`` waits for the next subscription."""
        self._ready.clear()

    def wait_subscribed(self, timeout_s: float = 10.0) -> None:
        """Until the broker that is there now has taken the subscription."""
        assert self._ready.wait(timeout_s), "the observer could not subscribe again"

    def all(self, ending: str = "") -> list[Seen]:
        """Everything so far whose topic ends so, in order."""
        with self._lock:
            return [seen for seen in self._seen if seen.topic.endswith(ending)]

    def clear(self) -> None:
        with self._lock:
            self._seen.clear()

    def wait(self, ending: str, count: int = 1, timeout_s: float = 10.0) -> list[Seen]:
        """Wait for ``count`` messages whose topic ends so."""
        wait_until(
            lambda: len(self.all(ending)) >= count,
            timeout_s,
            f"{count} messages on ...{ending}; seen {[s.topic for s in self.all()]}",
        )
        return self.all(ending)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, kind: object, *_error: object) -> None:
        self.close()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Check everything that ever came against the schemas and rules of the wire."""
        recorder = Recorder()
        with self._lock:
            recorded = list(self._recorded or ())
        for seen in recorded:
            recorder.see(seen.topic, seen.payload)


def retained(port: int, filter_: str = "#", settle_s: float = 0.3, **login: str) -> list[Seen]:
    """What a client that subscribes now is given at once."""
    with Observer(port, filter_, version=4, **login) as observer:
        end = time.monotonic() + settle_s
        while time.monotonic() < end:
            time.sleep(0.02)
        return [seen for seen in observer.all() if seen.retained]
