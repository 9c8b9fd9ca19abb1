"""Addresses in the configuration: the broker, a camera's source, a listening socket.

Every error text here is free of the address itself, because an address may hold a password.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from agent.redaction import mask_url

BROKER_PORTS = {"mqtt": 1883, "mqtts": 8883}
BROKER_FORMS = "mqtt://HOST:PORT, mqtts://HOST:PORT, embedded, or none"
SOURCE_FORMS = (
    "sim:, a folder, FOLDER?watch=1, a video file, file:///PATH, v4l2:///dev/videoN, "
    "rtsp[s]://HOST/PATH, genicam://serial/NUMBER (or ip/ADDRESS, user/NAME)"
)

_AUTHORITY = re.compile(r"[a-z]+://([^/?#]*)([/?#])(.*)", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"^[A-Za-z0-9._:%-]{1,253}$")


def has_credentials(text: str) -> bool:
    """True when masking would hide something."""
    return mask_url(text) != text


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker as the configuration names it. ``host`` and ``port`` are set for a network one."""

    kind: Literal["network", "embedded", "none"]
    host: str = ""
    port: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_broker(text: str) -> BrokerAddress:
    """Read ``mqtt.broker``; ``ValueError`` says what is wrong without repeating the text."""
    if text in ("embedded", "none"):
        return BrokerAddress(kind="embedded" if text == "embedded" else "none")
    if "://" not in text:
        raise ValueError("has no mqtt:// or mqtts:// in front")
    parts = _split(text)
    if parts.scheme not in BROKER_PORTS:
        raise ValueError(f"has a scheme that is not known: {parts.scheme}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("has something after the port; escape /, ? and # in a password as %2F ...")
    return BrokerAddress(
        kind="network",
        host=_host(parts),
        port=_port(parts, BROKER_PORTS[parts.scheme]),
        tls=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )


def parse_host_port(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT`` (an IPv6 address in brackets); ``ValueError`` for anything else."""
    if "/" in text or "@" in text:
        raise ValueError("is not HOST:PORT")
    parts = _split(f"//{text}")
    port = _port(parts, -1)
    if port < 0:
        raise ValueError("has no port")
    return _host(parts), port


def check_stream(text: str) -> None:
    """``ValueError`` when ``rtsp://`` or ``rtsps://`` is followed by no usable host and port.

    A user or password with a raw /, ? or # ends the address where it stands: it is told how to
    write it.
    """
    _check_password(text)
    parts = _split(text)
    _host(parts)
    _port(parts, 554)


def _check_password(text: str) -> None:
    """A number after the colon is a port, and an @ behind it one of the path."""
    match = _AUTHORITY.match(text)
    if match is None or "@" in match[1] or "@" not in match[3]:
        return
    _, colon, port = match[1].partition(":")
    if colon and not port.isdecimal():
        raise ValueError(
            f"has {match[2]} in its user or password, where it is written as"
            f" %{ord(match[2]):02X} (/ as %2F, ? as %3F, # as %23, @ as %40, % as %25)"
        )


def is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that hold no IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def is_loopback(host: str) -> bool:
    """Whether a host is this computer only; of a name nothing but ``localhost`` is known."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _split(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError as error:  # brackets that hold no IPv6 address
        raise ValueError("is not a URL") from error


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not _HOST.match(host):
        raise ValueError("has no host name, or one with characters that no host name has")
    return host


def _port(parts: SplitResult, default: int) -> int:
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("has a port that is not a number from 0 to 65535") from error
    return default if port is None else port
