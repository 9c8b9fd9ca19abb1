"""Change-overs by the clock: when they go on, and what stands still in them."""

from __future__ import annotations

import datetime

import pytest
from pydantic import ValidationError

from agent import config
from agent.alarms.schedule import in_change_over
from agent.alarms.watch import Watch
from agent.records import CameraState, MachineInfo, MachineState
from tests.alarms.support import fruit, status, utc_ms

MONDAY = datetime.datetime(2026, 11, 23)


def at(day: int, hour: int, minute: int, second: int = 0) -> datetime.datetime:
    return MONDAY + datetime.timedelta(days=day, hours=hour, minutes=minute, seconds=second)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (at(0, 13, 59, 59), False),
        (at(0, 14, 0), True),
        (at(0, 14, 19, 59), True),
        (at(0, 14, 20), False),
        (at(4, 14, 5), True),
        (at(5, 14, 5), False),
    ],
)
def test_it_goes_on_from_its_minute_for_its_minutes_on_its_days(
    when: datetime.datetime, expected: bool
) -> None:
    weekdays = ("mon", "tue", "wed", "thu", "fri")
    planned = config.ChangeOver(at="14:00", minutes=20, days=weekdays)
    assert in_change_over((planned,), when) is expected


def test_one_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    planned = config.ChangeOver(at="23:50", minutes=30, days=("sun",))
    assert in_change_over((planned,), at(6, 23, 55))
    assert in_change_over((planned,), at(7, 0, 19, 59))
    assert not in_change_over((planned,), at(7, 0, 20))
    assert not in_change_over((planned,), at(6, 0, 10)), "of Saturday's there is none"


def test_without_days_it_is_every_day_and_of_several_any_will_do() -> None:
    both = (config.ChangeOver(at="06:00", minutes=5), config.ChangeOver(at="18:00", minutes=5))
    assert all(in_change_over(both, at(day, 18, 1)) for day in range(7))
    assert not in_change_over(both, at(0, 12, 0))
    assert not in_change_over((), at(0, 18, 1))


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"at": "24:00", "minutes": 5}, "at"),
        ({"at": "6:00", "minutes": 5}, "at"),
        ({"at": "06:00", "minutes": 0}, "minutes"),
        ({"at": "06:00", "minutes": 721}, "minutes"),
        ({"at": "06:00"}, "minutes"),
        ({"at": "06:00", "minutes": 5, "days": ["monday"]}, "days"),
        ({"at": "06:00", "minutes": 5, "days": []}, "days"),
    ],
)
def test_a_misspelt_one_is_refused_and_named(wrong: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config.Alarms(change_overs=(wrong,))
    assert refused.value.errors()[0]["loc"][:3] == ("change_overs", 0, place)


class Line:
    """Fruit without an angle, as after a change of variety, and a change-over at 14:00."""

    def __init__(self) -> None:
        planned = config.ChangeOver(at="14:00", minutes=20)
        self.watch = Watch(config.Alarms(change_overs=(planned,)), ("cam1",))
        self.now = 100.0
        self.watch.on_camera(status(CameraState.LIVE, self.now))

    def run(self, local: datetime.datetime, seconds: int = 90) -> dict[str, object]:
        for _ in range(seconds):
            for i in range(5):
                self.watch.on_fruit(fruit(self.now + i / 5, read=False))
            self.now += 1
            found = self.watch.tick(self.now, local)
        return {each.alarm_id: each for each in found}


def test_fruit_of_a_scheduled_change_over_raise_nothing() -> None:
    line = Line()
    running = MachineInfo(state=MachineState.RUNNING, received_utc_ms=utc_ms(line.now))
    line.watch.on_machine(running)
    assert not line.run(at(0, 14, 1))["no_read_rate-cam1"].beyond
    assert line.watch.charts()["cam1"].held, "the charts stand still"
    assert line.run(at(0, 14, 21))["no_read_rate-cam1"].beyond


def test_a_wall_clock_that_steps_past_it_ends_it() -> None:
    line = Line()
    line.run(at(0, 14, 1), 5)
    assert not line.run(at(0, 14, 1))["no_read_rate-cam1"].beyond
    assert line.run(at(0, 9, 0))["no_read_rate-cam1"].beyond
