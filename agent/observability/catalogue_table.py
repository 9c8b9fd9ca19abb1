"""The catalogue of metrics as a table for the README.

``python -m agent.observability.catalogue_table`` prints it; a test keeps the README equal to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from agent.observability.prometheus import PREFIX
from agent.telemetry import CATALOGUE, Kind, Metric


def exported_name(metric: Metric) -> str:
    """Return the name as Prometheus sees it; of a histogram, what its three series share."""
    return PREFIX + metric.name + ("_total" if metric.kind is Kind.COUNTER else "")


def lines() -> Iterator[str]:
    """Yield the table in Markdown, one line per metric."""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{exported_name(metric)}` | {metric.kind.value} | {labels} | {metric.help} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
