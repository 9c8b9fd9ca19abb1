"""A benchmark that runs unattended: what fails is said, and costs no other row."""

import pytest

from tests.benchmarks.measuring import Took, against, best, median, ratio, slope
from tests.benchmarks.tables import DisagreementError, Row, Table, run_tables


def failing():
    raise DisagreementError("off by 0.1 | of 3\nand more")


def printed(rows, seconds=60.0, clock=lambda: 0.0):
    lines = []
    table = Table("A table", ("case", "s", "bar"), rows)
    return lines, run_tables([table], lines.append, seconds, clock)


def test_a_row_that_fails_is_said_to_and_the_rest_goes_on():
    lines, failed = printed([Row("bad", failing), Row("good", lambda: ("1.0", "met"))])
    assert failed == 1
    assert lines[-2] == "| bad | failed: DisagreementError: off by 0.1 / of 3 |  |"
    assert lines[-1] == "| good | 1.0 | met |"


@pytest.mark.long
def test_a_row_is_said_before_the_next_one_begins():
    seen = []
    lines = []
    rows = [Row("a", lambda: ("1", "")), Row("b", lambda: seen.append(lines[-1]) or ("2", ""))]
    run_tables([Table("T", ("case", "s", "bar"), rows)], lines.append, 60.0, lambda: 0.0)
    assert seen == ["| a | 1 |  |"]


@pytest.mark.long
def test_past_its_time_no_row_is_begun_and_that_is_a_failure():
    times = iter([0.0, 5.0, 61.0])
    begun = []
    rows = [Row(n, lambda n=n: begun.append(n) or ("1", "")) for n in "ab"]
    lines, failed = printed(rows, 60.0, lambda: next(times))
    assert begun == ["a"]
    assert failed == 1
    assert "not run: the time was up" in lines[-1]


def test_a_time_for_all_channels_is_that_of_a_straight_line(monkeypatch):
    monkeypatch.setattr(
        "tests.benchmarks.measuring.took", lambda run: (Took(run(), 2 * run()), None)
    )
    assert slope(lambda n: 3.0 + 0.5 * n, 64) == Took(35.0, 70.0)


def test_a_time_that_falls_with_more_channels_is_refused(monkeypatch):
    monkeypatch.setattr("tests.benchmarks.measuring.took", lambda run: (Took(run(), run()), None))
    with pytest.raises(ArithmeticError, match="too busy"):
        slope(lambda n: 3.0 - 0.1 * n, 64)


def test_medians_ratios_and_bars_are_said_of_the_right_side():
    found = [Took(1.0, 9.0), Took(2.0, 8.0), Took(6.0, 7.0)]
    assert median(found) == Took(2.0, 8.0)
    assert best(found) == Took(6.0, 7.0)
    assert ratio(Took(30.0, 8.0), Took(2.0, 4.0)) == "**15.0** (2.0)"
    assert against(29.9, 30, at_least=True) == ">= 30: missed"
    assert against(99.0, 100, at_least=False) == "<= 100: met"
