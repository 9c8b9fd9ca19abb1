"""A registry as text, in the format that the scraper accepts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"


def expose(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """Return the exposition and its content type.

    OpenMetrics 1.0 when ``accept`` names it (only there exemplars exist), the plain text format
    0.0.4 for everyone else. Nothing of ``accept`` reaches the answer.
    """
    if OPENMETRICS in accept:
        text: bytes = openmetrics.generate_latest(registry, version="1.0.0")  # type: ignore[no-untyped-call]
        return text, OPENMETRICS_CONTENT_TYPE
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
