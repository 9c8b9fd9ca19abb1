"""The embedded broker's process: amqtt behind a listening socket that the parent owns.

amqtt 0.12 speaks MQTT 3.1.1 and, left alone, waits for ever on a CONNECT of MQTT 5, keeps every
retained message, collects what a stalled subscriber does not read, and sends clients retained
messages that others subscribed to. So this module accepts the connections itself, answers a CONNECT
of another version with the refusal that clients understand, and bounds what amqtt may hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import warnings
from collections.abc import Mapping
from functools import partial

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.session import Session

from agent.supervision.channel import Channel

HEARTBEAT_S = 0.5
CONNECT_WAIT_S = 10.0
MESSAGE_MAX_BYTES = 1024 * 1024
RETAINED_MAX_BYTES = 64 * 1024 * 1024
"""What all retained messages together may hold; the oldest go first."""

STALLED_AFTER_S = 5.0
"""A subscriber that reads nothing for this long while data waits is cut off."""

SHUTDOWN_S = 2.0
LISTENER = "default"

V311_LEVEL = 4
V5_LEVEL = 5
REFUSED_V3 = bytes([0x20, 2, 0, 1])
REFUSED_V5 = bytes([0x20, 3, 0, 0x84, 0])
"""CONNACK "unsupported protocol version", in the words of the version that asked."""


class BoundedBroker(Broker):  # type: ignore[misc]  # amqtt ships no types
    """amqtt's broker with a cap on what it retains."""

    async def retain_message(
        self,
        source_session: Session | None,
        topic_name: str | None,
        data: bytes | bytearray | None,
        qos: int | None = None,
    ) -> None:
        kept = self.retained_messages
        if topic_name is not None:
            kept.pop(topic_name, None)  # so that the order of the mapping is that of age
        # Without its session: a retained message must not keep a client of long ago in memory.
        await super().retain_message(None, topic_name, data, qos)
        total = sum(len(message.data) for message in kept.values())
        while total > RETAINED_MAX_BYTES:
            oldest = next(iter(kept))
            total -= len(kept.pop(oldest).data)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Only for the client's own subscriptions.

        amqtt calls this at every connect with the subscriptions of ALL clients, so that the agent
        would be sent whatever any subscriber of ``#`` asked for.
        """
        topic = subscription[0]
        if any(one.client_id == session.client_id for one, _ in self.subscriptions.get(topic, ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class PrefixedReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt ships no types
    """Returns the first bytes, which were read to see the version, before the rest."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._first = first

    async def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= MESSAGE_MAX_BYTES:
            raise ConnectionError(f"a packet of {n} bytes is above {MESSAGE_MAX_BYTES}")
        head, self._first = self._first[:n], self._first[n:]
        rest: bytes = await super().read(n - len(head)) if len(head) < n else b""
        return head + rest


class TimeoutWriter(StreamWriterAdapter):  # type: ignore[misc]  # amqtt ships no types
    """Cuts off a peer that does not read, so that what waits for it stays bounded."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._transport = writer.transport

    async def drain(self) -> None:
        try:
            await asyncio.wait_for(super().drain(), STALLED_AFTER_S)
        except TimeoutError as error:
            self._transport.abort()
            raise ConnectionError("the subscriber does not read") from error


async def read_version(reader: asyncio.StreamReader) -> tuple[int | None, bytes]:
    """Return the protocol level of the CONNECT that must come first, and the bytes read.

    None where the first packet is no CONNECT of a version since 3.1.1.
    """
    data = await reader.readexactly(2)
    while data[-1] & 0x80 and len(data) < 5:  # the remaining length, 1 to 4 bytes
        data += await reader.readexactly(1)
    if data[0] != 0x10:
        return None, data
    data += await reader.readexactly(7)
    name, level = data[-7:-1], data[-1]
    return (level if name == b"\x00\x04MQTT" else None), data


async def serve(broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client, from CONNECT to the end."""
    try:
        level, first = await asyncio.wait_for(read_version(reader), CONNECT_WAIT_S)
        if level == V311_LEVEL:
            await broker.external_connected(
                PrefixedReader(first, reader), TimeoutWriter(writer), LISTENER
            )
        elif level is not None:
            writer.write(REFUSED_V5 if level >= V5_LEVEL else REFUSED_V3)
            await asyncio.wait_for(writer.drain(), STALLED_AFTER_S)
    except (OSError, EOFError, TimeoutError):
        pass  # the client left, or never spoke
    finally:
        with contextlib.suppress(OSError):
            writer.close()


def configuration() -> BrokerConfig:
    """Anonymous, nothing on $SYS, and no listener of amqtt's own."""
    return BrokerConfig(
        listeners={LISTENER: ListenerConfig(type=ListenerType.EXTERNAL)},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )


async def run(listener: socket.socket, channel: Channel) -> None:
    """Serve until the parent wishes an end; beats so that the parent sees the loop turn."""
    broker = BoundedBroker(configuration())
    await broker.start()
    server = await asyncio.start_server(partial(serve, broker), sock=listener)
    try:
        while not channel.stopping.is_set():
            channel.send("alive")
            await asyncio.sleep(HEARTBEAT_S)
    finally:
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(broker.shutdown(), SHUTDOWN_S)


def main(channel: Channel, _args: object, fds: Mapping[str, int]) -> None:
    """Target of the child: ``fds["listener"]`` is a listening TCP socket."""
    # amqtt logs every client that comes and goes, and an error for each without a DISCONNECT.
    for name in ("amqtt", "transitions", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    asyncio.run(run(socket.socket(fileno=fds["listener"]), channel))
