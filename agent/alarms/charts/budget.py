"""One setting, at most one false alarm in so many days, shared out over all charts and rules. Pure.

False-alarm rates add up whatever the charts have to do with each other, so equal shares bound the
whole: each one-sided chart, and each fixed rule, may alarm falsely once in

    arl = days * margin * points_a_day * (charts + rules)

points. ``margin`` is what is designed against what is promised: with 3, limits are set for one in
90 days where one in 30 is allowed, so that the upper 95 % bound of what then happens stays within
it.
"""

from __future__ import annotations

from dataclasses import dataclass

DESIGN_MARGIN = 3.0
CHARTS_A_SIDE = 3
"""EWMA, CUSUM and Shewhart: each side of a signal that can be wrong has one of each."""
FIXED_RULES = 4
"""Per lane: no-read rate, background reliance, foreground sensitivity, image quality."""


@dataclass(frozen=True, slots=True)
class Budget:
    """``days``: production days with one false alarm at most; ``hours_a_day`` of production;
    ``window_s``: one point of a chart; ``lanes``: how many are charted alike."""

    days: float = 30.0
    hours_a_day: float = 8.0
    window_s: float = 60.0
    lanes: int = 1
    margin: float = DESIGN_MARGIN

    @property
    def points_a_day(self) -> float:
        return self.hours_a_day * 3600.0 / self.window_s

    def shares(self, sides: int) -> int:
        """How many charts and rules share the budget, with so many charted sides a lane."""
        return (sides * CHARTS_A_SIDE + FIXED_RULES) * self.lanes

    def arl(self, sides: int) -> float:
        """Points between two false alarms of one chart or rule."""
        return self.days * self.margin * self.points_a_day * self.shares(sides)
