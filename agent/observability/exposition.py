"""A registry as text, in the format that the scraper accepts."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

OPENMETRICS = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"


class _WithoutCreated(Collector):
    """Leaves out the ``_created`` samples: one more series for each counter, used by no query."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def expose(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """Return the exposition and its content type.

    OpenMetrics 1.0 when ``accept`` names it (only there exemplars exist), the plain text format
    0.0.4 for everyone else. Nothing of ``accept`` reaches the answer.
    """
    samples = _WithoutCreated(registry)
    if OPENMETRICS in accept:
        text: bytes = openmetrics.generate_latest(samples, version="1.0.0")  # type: ignore[no-untyped-call]
        return text, OPENMETRICS_CONTENT_TYPE
    return generate_latest(samples), CONTENT_TYPE_PLAIN_0_0_4
