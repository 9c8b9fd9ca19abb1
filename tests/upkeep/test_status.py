"""What ``pitwatch status`` calls trouble, of answers of a running agent."""

from __future__ import annotations

from typing import Any

import pytest

from agent.records import AlarmState
from agent.upkeep.asking import Answer
from agent.upkeep.status import TROUBLE, WELL, exit_code, troubles


def view(*alarms: dict[str, Any]) -> Answer:
    return Answer({"cameras": [{"name": "cam1", "state": "live"}], "alarms": list(alarms)})


@pytest.mark.parametrize("state", AlarmState)
def test_an_active_alarm_is_trouble_unless_somebody_or_something_has_silenced_it(
    state: AlarmState,
) -> None:
    silenced = state in (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
    answer = view({"alarm_id": "latency-cam1", "active": True, "state": state.value})
    assert troubles(answer) == ([] if silenced else ["alarm latency-cam1"])
    assert exit_code(answer) == (WELL if silenced else TROUBLE)


def test_an_alarm_that_has_ended_is_no_trouble() -> None:
    assert exit_code(view({"alarm_id": "latency-cam1", "active": False, "state": "UNACK"})) == WELL
