"""The history behind the page: what a minute and an occurrence are, by a test's clock."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.alarms.catalogue import Cause
from agent.alarms.level import Judged, Level
from agent.pipeline.page.history import HistoryKeeper, Minutes, Occurrences
from agent.records import Alarm, AlarmState, Quality
from agent.storage.database import Database
from agent.storage.history import History, HistoryClocks
from tests.observability.samples import alarm
from tests.publishing.examples import Books, FakeClock

UTC_MS = 1_796_000_000_000


def judged(value: float, *, low: bool = False, quality: Quality = Quality.GOOD) -> Judged:
    return Judged(Level(value, 0.2, 0.05, 300, 280, low=low), quality)


def raised(event_id: str = "s1-1", **changes: object) -> Alarm:
    made = replace(
        alarm("no_read_rate-a"), camera_id="a", event_id=event_id, active_since_ms=UTC_MS
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def cleared(of: Alarm, at_ms: int = UTC_MS + 60_000) -> Alarm:
    return replace(of, active=False, state=AlarmState.NORM, transition="cleared",
                   active_since_ms=0, cleared_at_ms=at_ms)  # fmt: skip


def test_a_minute_keeps_the_worst_that_an_alarm_compared_and_the_fruit_of_it() -> None:
    minutes = Minutes({"a": (100, 4), "b": (0, 0)}, now=0.0)
    for value in (0.1, 0.3, 0.05):
        low = judged(value, low=True)
        both = {Cause.NO_READ_RATE: judged(value), Cause.FOREGROUND_INSENSITIVE: low}
        minutes.sample({"a": both})
    assert not minutes.due(59.0)
    assert minutes.due(60.0)
    one, other = minutes.take({"a": (380, 24), "b": (0, 0)}, 60.0)
    assert (one.lane, one.mono, one.seconds) == ("a", 60.0, 60.0)
    assert one.figures == {"no_read": 0.3, "no_read_limit": 0.2, "foreground": 0.05,
                           "foreground_limit": 0.2, "fruit": 280, "unread": 20}  # fmt: skip
    assert other.figures == {"fruit": 0, "unread": 0}, "what nobody knew is missing, never 0"


@pytest.mark.parametrize(
    "unknown",
    [
        judged(0.5, quality=Quality.BAD),
        judged(0.5, quality=Quality.UNCERTAIN),
        judged(float("nan")),
    ],
)
def test_what_no_alarm_goes_by_is_no_number(unknown: Judged) -> None:
    minutes = Minutes({"a": (0, 0)}, now=0.0)
    minutes.sample({"a": {Cause.NO_READ_RATE: unknown}})
    (one,) = minutes.take({"a": (0, 0)}, 60.0)
    assert set(one.figures) == {"fruit", "unread"}


def test_a_process_that_was_stopped_for_an_hour_has_seen_no_hour() -> None:
    (one,) = Minutes({"a": (0, 0)}, now=0.0).take({"a": (0, 0)}, 3600.0)
    assert one.seconds == 90.0


def test_an_occurrence_keeps_its_sentence_and_gets_its_end_and_who_acknowledged() -> None:
    book, first = Occurrences(), raised(message="Fruit are not read.")
    assert book.take(replace(first, quiet=True), 100.0, UTC_MS) is None, "nobody was told"
    begun = book.take(first, 110.0, UTC_MS + 10_000)
    assert begun is not None
    assert (begun.mono, begun.utc_ms, begun.lasts) == (100.0, UTC_MS, True)
    acked = replace(first, transition="acked", acked=True, acked_by="anna", acked_at_ms=UTC_MS + 1)
    book.take(acked, 120.0, UTC_MS + 20_000)
    said = replace(acked, transition="comment", comment="lamp", message="now another sentence")
    book.take(said, 130.0, UTC_MS + 30_000)
    assert book.lasting == {"s1-1"}
    over = book.take(cleared(said), 160.0, UTC_MS + 3_660_000)  # the clock was set by an hour
    assert over is not None
    assert (over.lasts, over.duration_s) == (False, 60.0)
    assert over.record["message"] == "Fruit are not read."
    assert (over.record["acked_by"], over.record["comment"]) == ("anna", "lamp")
    late = book.take(replace(cleared(said), transition="acked", acked_by="bea"), 900.0, UTC_MS)
    assert late is not None
    assert late.duration_s == 60.0, "an acknowledgement after the end makes it no longer"
    assert book.lasting == set()


def test_what_is_over_and_not_known_is_no_new_occurrence() -> None:
    assert Occurrences().take(cleared(raised()), 0.0, UTC_MS) is None
    assert Occurrences().take(replace(raised(), event_id=""), 0.0, UTC_MS) is None


class Agent:
    """One start after another on one database."""

    def __init__(self) -> None:
        self.clock, self.utc_ms = FakeClock(), UTC_MS
        self.database = Database(None, Books(), self.clock)
        self.start()

    def start(self, *alarms: Alarm, boot: str = "boot-1") -> None:
        clocks = HistoryClocks(self.clock, lambda: self.utc_ms, lambda: True)
        history = History(self.database, Books(), clocks, boot)
        self.keeper = HistoryKeeper(history, {"a": "cam", "b": "cam"}, lambda: {"a": (0, 0)})
        self.keeper.restore(alarms)

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.utc_ms += int(1000 * seconds)

    @property
    def alarms(self) -> list[tuple[object, ...]]:
        found = self.keeper.alarms()["alarms"]
        assert isinstance(found, list)
        return [(one["event_id"], one["lasts"], one["duration_s"]) for one in found]


def test_an_alarm_that_stands_over_a_restart_goes_on_and_one_that_ended_meanwhile_is_closed() -> (
    None
):
    agent, stands = Agent(), raised()
    ends, unseen = raised("s1-2", alarm_id="b-a"), raised("s1-3", alarm_id="c-a")
    agent.keeper.note([stands, ends, unseen])
    agent.wait(60)
    agent.start(stands, cleared(ends, UTC_MS + 30_000))
    assert agent.alarms == [("s1-3", False, None), ("s1-2", False, 30.0), ("s1-1", True, None)]
    agent.wait(60)
    agent.start(stands, boot="boot-2")  # only the wall clock tells
    agent.keeper.note([cleared(stands)])
    assert agent.alarms[-1] == ("s1-1", False, 120.0)


def test_alarms_that_stand_when_the_history_begins_are_in_it() -> None:
    agent = Agent()
    hidden = raised("s1-2", alarm_id="b-a", state=AlarmState.SUPPRESSED, suppressed=True)
    agent.wait(600)
    agent.start(raised(), hidden, replace(cleared(raised()), alarm_id="c-a", event_id=""))
    assert agent.alarms == [("s1-1", True, None)]


def test_a_lane_has_the_marks_of_itself_and_of_its_camera_and_columns_of_one_length() -> None:
    agent = Agent()
    for camera_id in ("a", "b", "cam", "agent"):
        agent.keeper.note(
            [raised(f"e-{camera_id}", alarm_id=f"x-{camera_id}", camera_id=camera_id)]
        )
    agent.keeper.tick({"a": {Cause.NO_READ_RATE: judged(0.1)}})
    agent.wait(60)
    agent.keeper.tick({})
    agent.wait(0.5)
    agent.keeper.tick({"a": {Cause.NO_READ_RATE: judged(0.9)}})  # within a second: not looked at
    agent.wait(59.5)
    agent.keeper.tick({})
    lane = agent.keeper.lane("a")
    assert [one["event_id"] for one in lane["alarms"]] == ["e-cam", "e-a"]  # type: ignore[attr-defined]
    assert lane["no_read"] == [0.1, None]
    assert lane["end_s"] == [UTC_MS // 1000 + 60, UTC_MS // 1000 + 120]
    lengths = {len(column) for column in lane.values() if isinstance(column, list)}
    assert lengths == {2}
    assert agent.keeper.lane("nobody's")["end_s"] == []
