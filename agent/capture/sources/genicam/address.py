"""Which camera a ``genicam://`` source names, and which of those that are there it is. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

FORMS = "genicam://serial/NUMBER, genicam://ip/ADDRESS, genicam://user/NAME"

By = Literal["serial", "ip", "user"]


@dataclass(frozen=True, slots=True)
class Address:
    """``by`` one of a camera's names, and that name."""

    by: By
    value: str

    def __str__(self) -> str:
        return f"genicam://{self.by}/{self.value}"


def parse_address(source: str) -> tuple[Address, Mapping[str, str]]:
    """Take a source apart: the address, and the options behind ``?`` as texts. ``ValueError``.

    >>> parse_address("genicam://ip/10.0.0.21?trigger=off")
    (Address(by='ip', value='10.0.0.21'), {'trigger': 'off'})
    """
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise ValueError(f"is none of {FORMS}") from error
    by, value = parts.netloc.lower(), unquote(parts.path.removeprefix("/"))
    if not value or parts.fragment:
        raise ValueError(f"is none of {FORMS}")
    match by:
        case "ip":
            try:
                ipaddress.IPv4Address(value)
            except ValueError as error:
                raise ValueError(f"{value!r} is no IPv4 address") from error
        case "serial" | "user":
            pass
        case _:
            raise ValueError(f"is none of {FORMS}")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ValueError("has an option twice")
    return Address(by, value), options
