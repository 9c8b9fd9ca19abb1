"""The charts of one lane: one bank a variety, the announced one at work, or none and why. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.alarms.charts.bank import ChartBank, ChartValue, Judgement
from agent.alarms.charts.newest import PictureCheck
from agent.alarms.charts.reference import Reference
from agent.alarms.condition import Condition
from agent.alarms.signals.extract import chromaticity, of_explanation, of_fruit
from agent.records import Explanation, FruitReading, SamplingClass

CHARTED_CLASSES = frozenset({SamplingClass.PERIODIC, SamplingClass.ALARM})
"""Of which explanations charts are made. Fruit of which the model is unsure are explained far more
often than they come, and their explanations differ by several deviations: how many of them a window
holds depends on the load, and would be charted as a drift. A reference is made of sure fruit too.
"""
MINUTE_S = 60.0
FOLLOW_UP_EVERY_S = 600.0
"""A chart that stays beyond half of its limit asks for more explanations so often, not always: one
lane must not take them away from the others for a whole shift."""


@dataclass(frozen=True, slots=True)
class Usual:
    """``low`` and ``high``: what is usual of a signal by the reference; ``mean``: of its newest
    window, NaN before there is one; ``held``: why it is not compared now. All NaN without a
    reference."""

    held: str
    low: float = math.nan
    high: float = math.nan
    mean: float = math.nan


class LaneCharts:
    """``references`` by variety. Without any, nothing is charted and nothing is held.

    While ``held`` says why, nothing is taken and every chart stays where it is: the machine stands
    or changes over, a variety without a reference runs, or the model is not the reference's.
    """

    def __init__(self, references: Mapping[str, Reference]) -> None:
        self._banks = {variety: ChartBank(one) for variety, one in references.items()}
        self._variety = next(iter(references)) if len(references) == 1 else ""
        self._announced: str | None = None
        self._since_mono = -math.inf
        self._standing = False
        self._foreign = ""
        self._followed_mono = -math.inf

    @property
    def configured(self) -> bool:
        """Whether there is any reference."""
        return bool(self._banks)

    @property
    def held(self) -> str:
        """Why nothing is charted now, in words; empty while charts are at work."""
        if not self._banks:
            return "no reference is configured"
        if self._standing:
            return "the machine does not run"
        if not self._variety:
            return "no variety is announced, and there are several"
        if self._variety not in self._banks:
            return f"variety {self._variety} has no reference"
        return self._foreign

    def announce(self, variety: str | None, now: float) -> None:
        """The machine's word on the variety; None says nothing. What was captured before belongs to
        the one before."""
        if variety is None or variety == self._announced:
            return
        before, self._announced, self._variety = self._bank, variety, variety
        self._foreign = ""
        if before is not self._bank:
            self._since_mono = now
            if before is not None:
                before.hold()
            if self._bank is not None:
                self._bank.reset()

    def replace(self, references: Mapping[str, Reference], now: float) -> None:
        """Chart by these from now on, each chart anew. What was captured before is left out."""
        if self._bank is not None:
            self._bank.hold()
        self._banks = {variety: ChartBank(one) for variety, one in references.items()}
        only = next(iter(references)) if len(references) == 1 else ""
        self._variety = self._announced or only
        self._since_mono, self._foreign = now, ""

    def stand(self, standing: bool, now: float) -> None:
        """Freeze while the machine stands; what was captured before it runs again is left out."""
        if standing:
            if not self._standing and self._bank is not None:
                self._bank.hold()
            self._since_mono = now
        self._standing = standing

    def on_fruit(self, reading: FruitReading, values: Mapping[str, float] | None = None) -> None:
        """Take one fruit, and its signals where they are known already."""
        seen, bank = reading.segmentation, self._bank_for(reading)
        if bank is None:
            return
        angle = seen.reading.angle_deg if seen.reading.read else None
        known = of_fruit(reading) if values is None else values
        bank.on_fruit(known, angle, seen.captured_mono)

    def on_cup(self, reading: FruitReading, values: Mapping[str, float] | None = None) -> None:
        """Take one empty cup, and its signals where they are known already."""
        seen, bank = reading.segmentation, self._bank_for(reading)
        if bank is None:
            return
        colour = chromaticity(seen) if values is None else values["chromaticity"]
        bank.newest.on_cup(colour, seen.captured_mono)

    def check_pictures(self, now: float) -> PictureCheck | None:
        """The newest pictures against the reference; None while held, and for too few."""
        bank = self._bank
        return None if bank is None or self.held else bank.newest.check(now)

    @property
    def window_s(self) -> float:
        """Of one point of the charts at work; that of a minute where there are none."""
        bank = self._bank
        return MINUTE_S if bank is None else bank.reference.window_s

    def on_explanation(self, explanation: Explanation) -> None:
        """Take one explanation. One of another model or layer holds the charts: nothing is known of
        what is usual for it, and its being another one is no finding of a chart."""
        bank = self._bank
        if bank is None:
            return
        self._foreign = foreign(bank.reference, explanation)
        if self._foreign:
            bank.hold()
        if self.held or explanation.captured_mono < self._since_mono:
            return
        if explanation.sampling_class not in CHARTED_CLASSES:
            return
        bank.on_explanation(of_explanation(explanation, bank.profile), explanation.captured_mono)

    def tick(self, now: float) -> None:
        """Close windows whose time is over."""
        bank = self._bank
        if bank is not None and not self.held:
            bank.tick(now)

    def judged(self, cause: str) -> Judgement | None:
        """The most advanced chart of this cause; None while held, or where there is none."""
        bank = self._bank
        return None if bank is None or self.held else bank.judged(cause)

    def kept(self, cause: str) -> Judgement | None:
        """What the charts said of this cause when the machine stopped; None while it runs."""
        bank = self._bank
        return bank.judged(cause) if self._standing and bank is not None else None

    def follow_up_due(self, now: float) -> bool:
        """Whether more explanations are wanted from now on: asked once, then not for a while."""
        bank = self._bank
        moving = bank is not None and not self.held and bank.moving()
        if not moving or now - self._followed_mono < FOLLOW_UP_EVERY_S:
            return False
        self._followed_mono = now
        return True

    def means(self) -> dict[str, float]:
        """Newest window mean of every charted signal."""
        return {} if self._bank is None else self._bank.means()

    def usual(self, signal: str) -> Usual:
        """What is usual of one signal for the variety that runs, and what it is now."""
        bank = self._bank
        found = bank.signal(signal) if bank is not None else None
        if bank is None or found is None:
            return Usual(self.held or "the reference does not have it")
        return Usual(self.held, *found.usual, bank.means().get(signal, math.nan))

    def chart_values(self) -> list[ChartValue]:
        """Every chart of the variety that runs."""
        return [] if self._bank is None else list(self._bank.chart_values())

    def _bank_for(self, reading: FruitReading) -> ChartBank | None:
        """The charts that this reading counts for, after what it says of the variety."""
        seen = reading.segmentation
        if not self._banks:
            return None
        self.announce(seen.machine.variety, seen.captured_mono)
        bank = self._bank
        counts = not self.held and seen.captured_mono >= self._since_mono
        if bank is None or not counts:
            return None
        of_another = seen.model_sha256 not in ("", bank.reference.model_sha256)
        return None if of_another else bank

    @property
    def _bank(self) -> ChartBank | None:
        return self._banks.get(self._variety)


def foreign(reference: Reference, explanation: Explanation) -> str:
    """In words, why this explanation cannot be compared with the reference; empty where it can."""
    if explanation.model_sha256 != reference.model_sha256:
        return f"the reference was made with another model than {explanation.model_name}"
    if explanation.layer != reference.layer:
        return f"the reference was made at layer {reference.layer}, not {explanation.layer}"
    if explanation.score != reference.score:
        return f"the reference was made with score {reference.score}, not {explanation.score}"
    return ""


def with_charts(
    fixed: Condition, found: Judgement | None, kept: Judgement | None = None
) -> Condition:
    """A condition of a fixed limit, joined with its charts: either raises it, both must be back.

    ``kept``: the last judgement of charts that are held; where that was beyond, it is unknown now.

    Where only the chart is beyond, value and limit are the signal's and the near end of what is
    usual. A condition that cannot be judged stays so.
    """
    if kept is not None and kept.beyond and fixed.beyond is False:
        return replace(fixed, beyond=None, back=False)
    if found is None or fixed.beyond is None or fixed.beyond or not found.beyond:
        return fixed
    return replace(
        fixed,
        beyond=True,
        back=False,
        value=found.value,
        limit=found.usual[1] if found.sign > 0 else found.usual[0],
        window=found.count,
        detail=found.detail,
    )
