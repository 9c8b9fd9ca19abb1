"""What a client accepts, by its ``Accept`` headers (RFC 9110, section 12). Pure.

A quality of 0 means "not this one". A header that makes no sense accepts what is always there:
the plain form.
"""

from __future__ import annotations

import re

from agent.observability.exposition import OPENMETRICS

PLAIN = "text/plain"
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def qualities(header: str) -> dict[str, float]:
    """Return the quality of each name in an ``Accept`` header, in lower case; 1.0 where none is
    said, 0.0 where it is none. Of a name that comes twice, as other versions of it, the best."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name:
            found[name] = max(_quality(parameters), found.get(name, 0.0))
    return found


def takes_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics is named, and liked no less than plain text."""
    wanted = qualities(accept)
    plain = wanted.get(PLAIN, wanted.get("text/*", wanted.get("*/*", 0.0)))
    openmetrics = wanted.get(OPENMETRICS, 0.0)
    return openmetrics > 0.0 and openmetrics >= plain


def takes_gzip(accept_encoding: str) -> bool:
    """Whether the answer may be compressed, and that is liked no less than as it is."""
    wanted = qualities(accept_encoding)
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0.0 and gzip >= wanted.get("identity", 0.0)


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return float(value) if _QUALITY.fullmatch(value.strip()) else 0.0
    return 1.0
