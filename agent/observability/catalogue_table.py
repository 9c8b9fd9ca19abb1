"""The catalogue of metrics as a table for the README.

``python -m agent.observability.catalogue_table`` puts it into the README beside this file, in a
source checkout; a test keeps the README equal to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

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


def with_table(readme: str) -> str:
    """Return the text with its table of metrics replaced by the present one."""
    table = "\n".join(lines()) + "\n"
    return re.sub(r"\| metric \|.*\n(?:\|.*\n)+", lambda _: table, readme)


if __name__ == "__main__":
    README = Path(__file__).with_name("README.md")
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
