"""Proofs of delivery in their short form; ``python -m tests.soak delivery`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.delivery import broker_kills, kills, outage

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.timeout(600)]


@pytest.mark.long
def test_50_kills_of_the_publishing_process_lose_nothing(tmp_path: Path) -> None:
    lines, failures = kills(tmp_path, 50)
    assert failures == [], "\n".join(lines)


def test_5_kills_of_a_broker_without_persistence_lose_nothing(tmp_path: Path) -> None:
    lines, failures = broker_kills(tmp_path, 5)
    assert failures == [], "\n".join(lines)


def test_half_an_hour_without_a_broker_loses_no_alarm(tmp_path: Path) -> None:
    lines, failures = outage(tmp_path, 0.5)
    assert failures == [], "\n".join(lines)
