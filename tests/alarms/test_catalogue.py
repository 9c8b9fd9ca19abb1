"""The tables: every cause is in them, and what suppresses what."""

from __future__ import annotations

import re

import pytest

from agent.alarms.catalogue import (
    BY_CAUSE,
    DEFINITIONS,
    SEVERITY,
    Cause,
    Definition,
    Situation,
    by_cause,
    suppression_reason,
)


def test_every_cause_is_defined_once() -> None:
    assert [definition.cause for definition in DEFINITIONS] == list(Cause)
    assert set(BY_CAUSE) == set(Cause)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.cause)
def test_an_alarm_has_what_the_wire_asks_for(definition: Definition) -> None:
    assert definition.priority in SEVERITY
    assert definition.severity in (100, 300, 500, 700, 900)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", definition.cause)


def test_silence_is_explained_by_a_standing_machine_for_exactly_four_causes() -> None:
    rows = {row.cause for row in DEFINITIONS if Situation.NOT_RUNNING in row.suppressed_by}
    assert rows == {
        Cause.CAMERA_LOST,
        Cause.CAMERA_FROZEN,
        Cause.NO_READ_RATE,
        Cause.AGENT_NO_DATA,
    }


def test_what_the_model_looks_at_is_suppressed_only_where_a_diagnosis_announces_it_elsewhere() -> (
    None
):
    diagnosed = {
        Cause.BACKGROUND_RELIANCE: {Situation.PICTURES_CHANGED},
        Cause.FOREGROUND_INSENSITIVE: {Situation.PICTURES_CHANGED, Situation.READ_ELSEWHERE},
    }
    for cause, situations in diagnosed.items():
        assert suppression_reason(cause, set(Situation) - situations) == ""
        assert all(suppression_reason(cause, {one}) for one in situations)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.cause)
def test_of_several_situations_the_reason_is_the_one_that_the_enumeration_names_first(
    definition: Definition,
) -> None:
    order = list(Situation)
    listed = definition.suppressed_by
    assert [order.index(one) for one in listed] == sorted(order.index(one) for one in listed)
    for i in range(len(listed)):
        assert suppression_reason(definition.cause, set(listed[i:])) == listed[i].value
    assert suppression_reason(definition.cause, set(Situation) - set(listed)) == ""


def test_what_a_diagnosis_finds_is_announced_under_one_alarm_each() -> None:
    announced = [one for row in DEFINITIONS for one in row.announces]
    assert len(announced) == len(set(announced))
    assert all(row.part is not None for row in DEFINITIONS if row.announces)


def test_a_cause_without_a_row_or_with_two_is_refused_where_the_table_is_made() -> None:
    with pytest.raises(ValueError, match="no row for spool_loss"):
        by_cause([row for row in DEFINITIONS if row.cause is not Cause.SPOOL_LOSS])
    with pytest.raises(ValueError, match="two rows"):
        by_cause([*DEFINITIONS, BY_CAUSE[Cause.SPOOL_LOSS]])
