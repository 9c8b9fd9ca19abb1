"""The tables: every alarm has all that an operator needs, and every cause is in them."""

from __future__ import annotations

import re
import string

import pytest

from agent.alarms.catalogue import (
    AGENT,
    BY_CAUSE,
    DEFINITIONS,
    SEVERITY,
    Cause,
    Definition,
    sentence,
    sentence_when_normal,
)
from agent.alarms.condition import Condition
from agent.alarms.suppression import SUPPRESSIONS, Situation, suppressed_by


def test_every_cause_is_defined_once() -> None:
    assert [definition.cause for definition in DEFINITIONS] == list(Cause)
    assert set(BY_CAUSE) == set(Cause)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.cause)
def test_an_alarm_says_what_where_and_what_to_do(definition: Definition) -> None:
    fields = {name for _, name, _, _ in string.Formatter().parse(definition.sentence) if name}
    assert "camera" in fields
    assert fields <= {"camera", "value", "limit", "window", "detail"}
    assert ":" in definition.sentence  # what is wrong: what to do
    assert "/" not in definition.title
    assert definition.priority in SEVERITY
    assert definition.severity in (100, 300, 500, 700, 900)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", definition.cause)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.cause)
@pytest.mark.parametrize("value", [0.25, float("nan"), 1e9])
def test_a_sentence_can_always_be_made(definition: Definition, value: float) -> None:
    condition = Condition(definition.cause, "cam1", True, value=value, limit=0.2, window=10)
    text = sentence(definition, condition)
    assert "cam1" in text
    assert "nan" not in text
    assert "{" not in text
    assert len(text) < 300


def test_quantities_are_written_as_people_say_them() -> None:
    late = Condition(Cause.LATENCY_BUDGET, "cam1", True, value=0.2891, limit=0.214, window=280)
    text = sentence(BY_CAUSE[Cause.LATENCY_BUDGET], late)
    assert "289 ms" in text
    assert "214 ms" in text


def test_what_is_about_the_agent_says_so() -> None:
    definition = BY_CAUSE[Cause.WORKERS_DEGRADED]
    assert "this agent" in sentence(definition, Condition(Cause.WORKERS_DEGRADED, AGENT, True))
    assert "this agent" in sentence_when_normal(definition, AGENT)


def test_silence_is_explained_by_a_standing_machine_for_exactly_four_causes() -> None:
    rows = {row.cause for row in SUPPRESSIONS if row.situation is Situation.NOT_RUNNING}
    assert rows == {
        Cause.CAMERA_LOST,
        Cause.CAMERA_FROZEN,
        Cause.NO_READ_RATE,
        Cause.AGENT_NO_DATA,
    }


def test_what_the_model_looks_at_is_never_suppressed() -> None:
    for cause in (Cause.BACKGROUND_RELIANCE, Cause.FOREGROUND_INSENSITIVE):
        assert suppressed_by(cause, set(Situation)) == ""
