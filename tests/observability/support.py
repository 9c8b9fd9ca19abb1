"""What the tests of this stage share: a clock that stands still, and a touch on every metric."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from agent.telemetry import CATALOGUE, Kind, Telemetry

TRUST = httpx.create_ssl_context(trust_env=False)
"""What httpx would read anew, from the certificates of all authorities, for every client."""


@dataclass
class FakeClock:
    """A clock that moves when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def touch_everything(telemetry: Telemetry) -> None:
    """Use every metric of the catalogue once, with plausible label values."""
    for metric in CATALOGUE:
        labels = {label: "cam1" if label == "camera" else "some" for label in metric.labels}
        if metric.kind is Kind.COUNTER:
            telemetry.count(metric.name, **labels)
        elif metric.kind is Kind.HISTOGRAM:
            telemetry.observe(metric.name, 0.03, exemplar="cam1-7f-000042", **labels)
        elif metric.name != "loop_age_seconds":
            telemetry.gauge(metric.name, 1.0, **labels)
    telemetry.beat("live")
