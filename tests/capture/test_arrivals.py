"""Which files of a watched folder are complete: pure, with the time as an argument."""

from __future__ import annotations

from agent.capture.sources.arrivals import GIVE_UP_S, SETTLE_S, Arrivals, Stamp


def written(at: int, size: int = 100) -> Stamp:
    """A file whose last event was a write."""
    return Stamp(size, mtime_ns=at, ctime_ns=at)


def placed(at: int, size: int = 100) -> Stamp:
    """One that was renamed after its last write."""
    return Stamp(size, mtime_ns=at - 5, ctime_ns=at)


def names(arrivals: Arrivals, found: dict[str, Stamp], now: float) -> list[str]:
    return [each.name for each in arrivals.look(found, now)]


def test_a_file_renamed_into_place_counts_at_once() -> None:
    assert names(Arrivals(), {"a.png": placed(9)}, 0.0) == ["a.png"]


def test_a_file_that_is_written_counts_when_it_has_settled() -> None:
    arrivals = Arrivals()
    assert names(arrivals, {"a.png": written(1)}, 0.0) == []
    assert names(arrivals, {"a.png": written(2, 200)}, 0.15) == []
    assert names(arrivals, {"a.png": written(2, 200)}, 0.15 + 0.9 * SETTLE_S) == []
    (arrival,) = arrivals.look({"a.png": written(2, 200)}, 0.16 + SETTLE_S)
    assert (arrival.name, arrival.since, arrival.last) == ("a.png", 0.15, False)


def test_they_come_in_order_of_arrival_and_the_unfinished_hold_nobody_up() -> None:
    arrivals = Arrivals()
    found = {"c.png": placed(30), "a.png": placed(50), "b.png": placed(50), "d.png": written(10)}
    assert names(arrivals, found, 0.0) == ["c.png", "a.png", "b.png"]


def test_a_file_is_tried_once_a_change_and_a_last_time() -> None:
    arrivals = Arrivals()
    found = {"a.png": placed(5)}
    assert names(arrivals, found, 0.0) == ["a.png"]
    assert names(arrivals, found, 1.0) == []
    (last,) = arrivals.look(found, GIVE_UP_S)
    assert last.last
    arrivals.done("a.png")
    assert not arrivals.names


def test_a_slow_copy_that_goes_on_is_never_given_up() -> None:
    arrivals = Arrivals()
    for second in range(int(3 * GIVE_UP_S)):
        found = {"a.png": written(second, 100 * second)}
        assert not any(each.last for each in arrivals.look(found, second))
    assert arrivals.names


def test_what_lay_there_at_the_first_look_is_told_from_what_came() -> None:
    arrivals = Arrivals()
    (old,) = arrivals.look({"a.png": placed(5)}, 0.0)
    arrivals.done("a.png")
    (new,) = arrivals.look({"b.png": placed(6)}, 1.0)
    assert (old.backlog, new.backlog) == (True, False)


def test_what_came_while_nobody_looked_tells_its_own_time() -> None:
    arrivals = Arrivals()
    arrivals.look({}, 0.0)
    arrivals.look({}, 1.0)
    (late,) = arrivals.look({"a.png": placed(5)}, 3.0)
    arrivals.done("a.png")
    (new,) = arrivals.look({"b.png": placed(6)}, 3.1)
    assert (late.backlog, new.backlog) == (True, False)


def test_a_file_that_vanishes_is_forgotten() -> None:
    arrivals = Arrivals()
    arrivals.look({"a.png": written(5)}, 0.0)
    assert names(arrivals, {}, 0.1) == []
    assert not arrivals.names
