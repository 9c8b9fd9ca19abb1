"""Time in another unit than milliseconds is asked about, and nothing else is."""

from __future__ import annotations

import pytest

from agent.machine import parse_machine
from agent.records import MachineState
from agent.unix_time import meant_ms

NOW_MS = 1_760_000_000_123


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1_760_000_000, "seconds"),
        (1_760_000_000.5, "seconds"),
        (NOW_MS * 1e3, "microseconds"),
        (NOW_MS * 1e6, "nanoseconds"),
        (NOW_MS, ""),
        (NOW_MS - 80_000_000, ""),
        (1_660_000_000, ""),  # three years ago in seconds: nobody means that
        (0, ""),
        (-1, ""),
    ],
)
def test_another_unit_is_one_in_which_it_is_about_now(value: float, unit: str) -> None:
    asked = meant_ms(value, NOW_MS)
    assert asked == (f"in {unit}? milliseconds are meant" if unit else "")
    assert meant_ms(value, 5_000.0) == ""  # a clock that was never set tells nothing


def test_a_machine_that_stamps_in_seconds_loses_its_stamp_alone() -> None:
    said = b'{"state": "running", "fruit_id": "F1", "timestamp_ms": 1760000000}'
    heard = parse_machine(said, NOW_MS)
    assert (heard.state, heard.fruit_id) == (MachineState.RUNNING, "F1")
    assert heard.machine_timestamp_ms == 0
    assert heard.left_out == ("timestamp_ms in seconds? milliseconds are meant",)
