"""A broker of the tests that fails on command, at the level of the socket.

It speaks as much MQTT 5 and 3.1.1 as the agent needs (CONNECT, SUBSCRIBE, PUBLISH, PINGREQ,
DISCONNECT), each connection the one that it asks for, and keeps what it was given; ``faults`` says
what goes wrong from now on.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TAKEN_OVER = bytes([0xE0, 2, 142, 0])
TOO_FAST, NO_RETAIN, NO_QOS, NO_WILDCARDS, QUOTA = 150, 154, 155, 162, 151
BAD_LOGIN = 134
RETURN_CODES = {0: 0, BAD_LOGIN: 4}
"""What 3.1.1 (section 3.2.2.3) has for a reason code of MQTT 5."""
V5, V311 = 5, 4
POLL_S = 0.02


@dataclass
class Faults:
    """What goes wrong. ``die_after`` bytes of a packet the connection is cut in its middle."""

    reject: int = 0  # reason code of the CONNACK
    die_after: int = 0
    half_open: bool = False  # reads nothing and says nothing, and keeps the connection
    puback_delay_s: float = 0.0
    swallow_pubacks: int = 0  # so many more
    read_bytes_per_s: float = 0.0  # 0: as fast as they come
    packet_max_bytes: int = 0  # hangs up at a larger PUBLISH without a word; 0: takes any
    denied_topic: str = ""  # hangs up without a word at a PUBLISH of a topic that ends so
    denied_filter: str = ""  # hangs up without a word at a SUBSCRIBE that ends so
    publish_max_per_s: int = 0  # hangs up at the next one within a second; 0: takes any
    says_too_fast: bool = False  # and says why
    maximum_qos: int = 2
    retains: bool = True
    retains_silently_not: bool = False  # hangs up without a word, as one of 3.1.1 has to
    takes_wills: bool = False  # whatever the CONNACK says of retained ones
    wildcards: bool = True
    puback_reason: int = 0  # MQTT 5
    suback_reason: int = 0


@dataclass(frozen=True)
class Published:
    """One PUBLISH as it arrived."""

    topic: str
    payload: bytes
    qos: int
    duplicate: bool
    retain: bool = False
    at: float = field(default_factory=time.time)  # Unix time


@dataclass
class FaultBroker:
    """Listens on a loopback port from ``open`` to ``close``; a closed port refuses."""

    faults: Faults = field(default_factory=Faults)
    published: list[Published] = field(default_factory=list)
    connects: int = 0
    before: int = 0  # so many of ``published`` came before the newest CONNECT
    closes: int = 0  # at packets that were too large, too many, or denied
    will_flags: list[int] = field(default_factory=list)  # of each CONNECT: 0x20 retain, 0x18 QoS
    subscribed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener: socket.socket | None = None
        self._closing = False
        self._arrivals: deque[float] = deque()  # of PUBLISH packets of this connection, one second
        # Bound and never listening: while the broker refuses, nobody else can have its port.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = int(self._holder.getsockname()[1])
        self.open()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Accept connections, on the same port each time."""
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.settimeout(POLL_S)
        self._listener = listener
        self._start(self._accept, listener)

    def refuse(self) -> None:
        """Close the port and every connection: the next attempt is refused."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # The thread in ``accept`` would keep it listening until its poll ends.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection without a word."""
        with self._lock:
            peers, self._peers = self._peers, []
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def take_over(self) -> None:
        """Tell every client that another took its session, as MQTT 5 does."""
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            with contextlib.suppress(OSError):
                peer.sendall(TAKEN_OVER)

    def topics(self, ending: str) -> list[Published]:
        """Everything on topics that end so, in order."""
        with self._lock:
            return [one for one in self.published if one.topic.endswith(ending)]

    def close(self) -> None:
        self._closing = True
        self.refuse()
        self._holder.close()
        for thread in self._threads:
            thread.join(5)

    # --- connections -----------------------------------------------------------------------------

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while not self._closing and self._listener is listener:
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            with self._lock:
                self._peers.append(peer)
            self._start(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        level = V5
        with contextlib.suppress(OSError, EOFError):
            peer.settimeout(POLL_S)
            while True:
                head, body = self._packet(peer)
                if head & 0xF0 == 0x10:
                    level = body[6]  # after the name "MQTT" with its length
                self._answer(peer, head, body, level)
        with contextlib.suppress(OSError):
            peer.close()

    def _packet(self, peer: socket.socket) -> tuple[int, bytes]:
        head = self._read(peer, 1)[0]
        length = shift = 0
        while True:
            byte = self._read(peer, 1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        if 0 < self.faults.die_after < length and head & 0xF0 == 0x30:
            self._read(peer, self.faults.die_after)
            raise EOFError
        if 0 < self.faults.packet_max_bytes < length and head & 0xF0 == 0x30:
            self.closes += 1
            raise EOFError
        return head, self._read(peer, length)

    def _read(self, peer: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if self._closing:
                raise EOFError
            if self.faults.half_open:
                time.sleep(POLL_S)
                continue
            rate = self.faults.read_bytes_per_s
            wanted = count - len(data)
            if rate:
                wanted = min(wanted, max(1, int(rate * POLL_S)))
                time.sleep(POLL_S)
            try:
                part = peer.recv(wanted)
            except TimeoutError:
                continue
            if not part:
                raise EOFError
            data += part
        return data

    def _answer(self, peer: socket.socket, head: int, body: bytes, level: int) -> None:
        kind, v5 = head & 0xF0, level == V5
        if kind == 0x10:
            self.connects += 1
            self._arrivals.clear()
            with self._lock:
                self.before = len(self.published)
            self.will_flags.append(body[7])
            if self.faults.retains_silently_not and body[7] & 0x20:
                raise EOFError
            reject = self._refused_will(body[7]) if v5 else 0
            reject = reject or self.faults.reject
            code = reject if v5 else RETURN_CODES[reject]
            said = self._properties() if v5 and not reject else b""
            head_v5 = bytes([0x20, 3 + len(said), 0, code, len(said)]) + said
            peer.sendall(head_v5 if v5 else bytes([0x20, 2, 0, code]))
            if reject:
                raise EOFError
        elif kind == 0x30:
            self._take(peer, head, body, v5)
        elif kind == 0x80:
            # One filter a packet, after number, properties (the agent's have none) and length.
            reason = self._suback(body[4 + v5 : -1], v5)
            peer.sendall(bytes([0x90, 3 + v5]) + body[:2] + bytes([0, reason] if v5 else [reason]))
        elif kind == 0xC0:
            peer.sendall(bytes([0xD0, 0]))
        elif kind == 0xE0:
            raise EOFError

    def _take(self, peer: socket.socket, head: int, body: bytes, v5: bool) -> None:
        qos = (head >> 1) & 3
        (length,) = struct.unpack_from(">H", body)
        topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
        mid, rest = (rest[:2], rest[2:]) if qos else (b"", rest)
        # Only MQTT 5 has properties; the agent's are shorter than 128 bytes.
        payload = rest[1 + rest[0] :] if v5 else rest
        if self.faults.denied_topic and topic.endswith(self.faults.denied_topic):
            self.closes += 1
            raise EOFError
        with self._lock:
            self.published.append(Published(topic, payload, qos, bool(head & 8), bool(head & 1)))
        self._judge(peer, qos, bool(head & 1))
        if not qos:
            return
        if self.faults.swallow_pubacks > 0:
            self.faults.swallow_pubacks -= 1
            return
        if self.faults.puback_delay_s:
            time.sleep(self.faults.puback_delay_s)
        reason = self.faults.puback_reason if v5 else 0
        peer.sendall(bytes([0x40, 3]) + mid + bytes([reason]) if reason else bytes([0x40, 2]) + mid)

    # --- limits ----------------------------------------------------------------------------------

    def _properties(self) -> bytes:
        """What the CONNACK says of them (section 3.2.2.3)."""
        said = b"" if self.faults.maximum_qos == 2 else bytes([0x24, self.faults.maximum_qos])
        said += b"" if self.faults.retains else bytes([0x25, 0])
        return said + (b"" if self.faults.wildcards else bytes([0x28, 0]))

    def _refused_will(self, flags: int) -> int:
        if self.faults.takes_wills:
            return 0
        if flags & 0x20 and not self.faults.retains:
            return NO_RETAIN
        return NO_QOS if (flags >> 3) & 3 > self.faults.maximum_qos else 0

    def _suback(self, filter_: bytes, v5: bool) -> int:
        with self._lock:
            self.subscribed.append(filter_.decode())
        if self.faults.denied_filter and filter_.decode().endswith(self.faults.denied_filter):
            self.closes += 1
            raise EOFError
        if self.faults.suback_reason:
            return self.faults.suback_reason
        if not self.faults.wildcards and set(b"+#") & set(filter_):
            return NO_WILDCARDS if v5 else 0x80
        return min(1, self.faults.maximum_qos)

    def _judge(self, peer: socket.socket, qos: int, retain: bool) -> None:
        """End the connection at a message that is too much, with the reason of MQTT 5."""
        now, limit = time.monotonic(), self.faults.publish_max_per_s
        self._arrivals.append(now)
        while self._arrivals[0] <= now - 1.0:
            self._arrivals.popleft()
        if retain and self.faults.retains_silently_not:
            raise EOFError
        reason = 0
        if limit and len(self._arrivals) > limit:
            self.closes += 1
            reason = TOO_FAST
            if not self.faults.says_too_fast:
                raise EOFError
        elif retain and not self.faults.retains:
            reason = NO_RETAIN
        elif qos > self.faults.maximum_qos:
            reason = NO_QOS
        if reason:
            peer.sendall(bytes([0xE0, 2, reason, 0]))
            raise EOFError


@contextmanager
def fault_broker(**faults: object) -> Iterator[FaultBroker]:
    """Run a broker with these faults for the length of a ``with`` block."""
    broker = FaultBroker(Faults(**faults))  # type: ignore[arg-type]
    try:
        yield broker
    finally:
        broker.close()
