"""MQTT's properties, options and reason codes, to and from paho's objects. Pure."""

from __future__ import annotations

import re

from paho.mqtt.client import DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.publishing.connection.events import UNLIMITED, Ended, Opened
from agent.publishing.connection.link import Cause
from agent.publishing.wire.messages import JSON, Message

INBOUND_LIMIT_BYTES = 64 * 1024
"""Nothing that the agent listens to is larger; under MQTT 5 the broker withholds what is."""

_UNAUTHORISED = (134, 135, 138, 140)  # bad user name or password, not authorised, banned, method
_UNSUPPORTED = 132
_ENDINGS = {
    142: Cause.TAKEN_OVER,
    150: Cause.TOO_FAST,
    154: Cause.NO_RETAIN,
    155: Cause.NO_QOS,
}
"""DISCONNECT (section 3.14.2.1) and CONNACK of MQTT 5: what the next connection can do better."""
_KEEPALIVE = 141
_WITH_WILL = 4
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def connect_properties() -> Properties:
    """Return those of a CONNECT: the largest packet that we take."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = INBOUND_LIMIT_BYTES
    return properties


def publish_properties(message: Message, age_s: float) -> Properties:
    """Return those of a PUBLISH; its expiry is what is left of it after ``age_s``."""
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = message.content_type
    properties.PayloadFormatIndicator = int(message.content_type == JSON)
    if message.spec.expiry_s:
        properties.MessageExpiryInterval = max(1, message.spec.expiry_s - int(age_s))
    if message.correlation:
        properties.CorrelationData = message.correlation
    return properties


def subscribe_options(*, state: bool, stored: bool = True) -> SubscribeOptions:
    """Return those of a subscription. Retained messages keep their flag, so that a command that was
    published retained is known by it; of a state the flag says that the broker had stored it.

    ``stored`` false: what the broker has stored is not wanted, at no subscription.
    """
    return SubscribeOptions(
        qos=1,
        retainAsPublished=not state,
        retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
        if stored
        else SubscribeOptions.RETAIN_DO_NOT_SEND,
    )


def disconnect_with_will() -> ReasonCode:
    """Return the reason of a DISCONNECT after which the broker publishes the will."""
    return ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL)


def opened(properties: Properties | None) -> Opened:
    """Return the event of a CONNACK that says yes, with the limits that the broker names."""
    return Opened(
        getattr(properties, "ReceiveMaximum", UNLIMITED),
        getattr(properties, "MaximumPacketSize", UNLIMITED),
        getattr(properties, "MaximumQoS", 2),
        bool(getattr(properties, "RetainAvailable", True)),
        bool(getattr(properties, "WildcardSubscriptionAvailable", True)),
    )


def refused(reason: ReasonCode) -> Ended:
    """Return the event of a CONNACK that says no."""
    cause = _ENDINGS.get(reason.value, Cause.REFUSED)
    if cause in (Cause.TAKEN_OVER, Cause.TOO_FAST):  # no connection that these could be said of
        cause = Cause.REFUSED
    if reason.value == _UNSUPPORTED:
        cause = Cause.UNSUPPORTED
    elif reason.value in _UNAUTHORISED:
        cause = Cause.UNAUTHORISED
    return Ended(cause, label(reason))


def ended(flags: DisconnectFlags, reason: ReasonCode, *, was_open: bool) -> Ended:
    """Return the event of a connection that is closed, by whichever side."""
    cause = Cause.LOST if was_open else Cause.NO_ANSWER
    if flags.is_disconnect_packet_from_server and was_open:
        cause = _ENDINGS.get(reason.value, cause)
    if was_open and reason.value == _KEEPALIVE:
        cause = Cause.SILENT
    wanted = not reason.is_failure and not flags.is_disconnect_packet_from_server
    return Ended(cause, label(reason), wanted)


def label(reason: ReasonCode) -> str:
    """Return the specification's name of a reason as a label: ``not_authorized``."""
    return _NOT_A_WORD.sub("_", reason.getName().lower())
