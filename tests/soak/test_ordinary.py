"""What half an hour of ordinary production is judged by."""

from __future__ import annotations

from tests.soak.ordinary import Charts, held_again


def labels(**names: str) -> frozenset[tuple[str, str]]:
    return frozenset(names.items())


def transition(name: str, value: float) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    told = labels(alarm="explanation_drift", camera="cam1", transition=name)
    return {("pitwatch_alarm_transitions_total", told): value}


def test_an_alarm_that_was_raised_is_found_and_no_other_transition() -> None:
    charts = Charts()
    charts.take(transition("quality", 2) | transition("initial", 1) | transition("raised", 0))
    assert charts.raised == {}
    charts.take(transition("raised", 1))
    assert charts.raised == {"explanation_drift-cam1": 1}


def test_charts_are_given_as_shares_of_their_limits() -> None:
    one = labels(camera="cam1", signal="score", side="low", chart="ewma")
    charts = Charts()
    charts.take({("pitwatch_chart_value", one): 0.4, ("pitwatch_chart_limit", one): 1.6})
    assert charts.used == {"score low ewma": 0.25}


def test_charts_that_begin_late_are_not_held_but_those_that_stop_are() -> None:
    begun = "a event=charts_held x=1\nb event=charts_at_work camera=cam1\n"
    assert held_again(begun) == 0
    assert held_again(begun + "c event=charts_held x=1\n") == 1
