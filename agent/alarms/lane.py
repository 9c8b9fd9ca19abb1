"""What is watched on one lane: its fruit, its explanations, and whether there are any. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from agent import config
from agent.alarms.catalogue import Cause, Situation, suppression_reason
from agent.alarms.charts.charted import LaneCharts, with_charts
from agent.alarms.charts.reference import Reference
from agent.alarms.condition import Condition, Detail
from agent.alarms.data_flow import DataFlow
from agent.alarms.diagnosis.diagnosis import Diagnosis
from agent.alarms.diagnosis.observations import NewestAngles, Observations
from agent.alarms.level import Judged, Level, deadband_of
from agent.alarms.light import LightWatch, in_the_dark
from agent.alarms.live_model import LiveModel
from agent.alarms.machine import MachineWatch
from agent.alarms.text.language import Fact
from agent.alarms.windows import MeanWindow, QuantileWindow
from agent.records import (
    SUTURE,
    Explanation,
    FruitReading,
    JobFailure,
    MachineState,
    NoReadReason,
    Quality,
    SegmentedFrame,
)

FRUIT_LEAST = 50
"""No share of fruit is judged on fewer: at a limit of 20 % its standard error is then 6 %."""
LATENCY_DEADBAND = 0.1  # of the limit


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a lane must know of the rest. ``live``: its camera delivers; ``explaining``: there are
    workers; ``unavailable``: its alarms that are shelved or out of service."""

    live: bool
    situations: Collection[Situation]
    explaining: bool
    now: float
    unavailable: Collection[Cause] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The newest frame that stands behind a judgement."""

    frame_id: str = ""
    model: str = ""
    captured_utc_ms: int = 0
    captured_mono: float = -math.inf


class LaneWatch:
    """Windows of one lane, and the conditions that they make."""

    def __init__(
        self,
        name: str,
        limits: config.AlarmLimits,
        references: Mapping[str, Reference] | None = None,
    ) -> None:
        self.name = name
        self.machine = MachineWatch()
        self.charts = LaneCharts(references or {})
        self.levels: dict[Cause, Judged] = {}
        """What fixed limits were last compared with, each over the window of its alarm; replaced
        with every ``conditions``, never changed."""
        self._judging: dict[Cause, Judged] = {}
        self._limits = limits
        self._no_reads = MeanWindow(limits.fruit_window)
        self._unusable = MeanWindow(limits.fruit_window)
        self._latency = QuantileWindow(limits.fruit_window, 0.95)
        self._reliance = MeanWindow(limits.explanations_window)
        self._sensitivity = MeanWindow(limits.explanations_window)
        self._angles = NewestAngles()
        self._diagnosis = Diagnosis()
        self._fruit = _Seen()
        self._explained = _Seen()
        self._light = LightWatch(limits)
        self._pictured = _Seen()
        self._data = DataFlow(name, limits)
        self._retired: frozenset[str] = frozenset()  # networks that were live before

    def configure(self, limits: config.AlarmLimits) -> None:
        """Judge by other limits from now on; what was seen stays, as far as it fits the windows."""
        self._limits = limits
        for fruit in (self._no_reads, self._unusable, self._latency):
            fruit.resize(limits.fruit_window)
        for explained in (self._reliance, self._sensitivity):
            explained.resize(limits.explanations_window)
        self._light.configure(limits)
        self._data.configure(limits)

    # --- input -----------------------------------------------------------------------------------

    def on_fruit(self, reading: FruitReading, values: Mapping[str, float] | None = None) -> None:
        """Take one reading, and its signals where they are known already. While the machine stands
        or the camera is frozen it says nothing about the line."""
        seen = reading.segmentation
        self.machine.update(seen.machine, seen.captured_utc_ms)
        if self.machine.standing or reading.camera_frozen:
            return
        self._data.on_reading(seen.captured_mono)
        if seen.model_sha256 in self._retired:  # a last fruit of the network before
            return
        if reading.empty:
            self.charts.on_cup(reading, values)
            return
        if in_the_dark(seen):  # on an empty line black cups would be all the fruit that there are
            return
        self._data.on_fruit(seen.captured_mono)
        self.charts.on_fruit(reading, values)
        self._unusable.add(float(seen.reading.reason is NoReadReason.IMAGE_QUALITY))
        self._no_reads.add(0.0 if seen.reading.read else 1.0)
        self._angles.add(seen.reading.angle_deg if seen.reading.read else None)
        self._latency.add(max(0.0, seen.done_mono - seen.captured_mono))
        self._fruit = _Seen(
            seen.frame_id, self._explained.model, seen.captured_utc_ms, seen.captured_mono
        )

    def on_picture(self, seen: SegmentedFrame) -> None:
        """Take one picture, whatever it shows: only of the light does it say anything. In free run
        a fruit that is dark makes no reading, so readings cannot tell."""
        self.machine.update(seen.machine, seen.captured_utc_ms)
        if self.machine.standing:
            return
        self._light.on_picture(seen)
        self._pictured = _Seen(
            seen.frame_id, self._explained.model, seen.captured_utc_ms, seen.captured_mono
        )

    def on_explanation(self, explanation: Explanation) -> None:
        """Take one explanation; only one that says something of the suture counts as fresh."""
        suture = [each for each in explanation.classes if each.class_name == SUTURE]
        if self.machine.standing or not suture or explanation.model_sha256 in self._retired:
            return
        self.charts.on_explanation(explanation)
        each = suture[0]
        # Of the input: at the layer, the skips of a healthy network bypass an occlusion.
        reliance = each.input_context_reliance if each.explainable else math.nan
        sensitivity = each.input_sensitivity_foreground if each.explainable else math.nan
        defined = self._reliance.add(reliance), self._sensitivity.add(sensitivity)
        self._data.on_failure("" if any(defined) else each.reason or "undefined for the suture")
        if any(defined) and explanation.captured_mono > self._explained.captured_mono:
            self._data.on_explanation(explanation.captured_mono)
            self._explained = _Seen(
                explanation.frame_id,
                explanation.model_name,
                explanation.captured_utc_ms,
                explanation.captured_mono,
            )

    def on_live_model(self, model: LiveModel, retired: frozenset[str], now: float) -> None:
        """Another network is live: charts of its references, and limits judge nothing but its own
        fruit and explanations. Late ones of the ``retired`` count no more."""
        self._retired = retired
        self.charts.replace(model.references, now)
        for window in (self._no_reads, self._reliance, self._sensitivity):
            window.clear()
        self._angles = NewestAngles()

    def on_failure(self, failure: JobFailure) -> None:
        """Remember why there is no explanation."""
        self._data.on_failure(failure.reason.replace("_", " "))

    # --- conditions ------------------------------------------------------------------------------

    def conditions(self, around: Surroundings) -> list[Condition]:
        """Every condition of this lane now, findings attributed."""
        self._judging = {}
        found = list(self._found(around))
        self.levels = self._judging
        observations = Observations(
            pictures=self.charts.check_pictures(around.now),
            scattered=self._angles.scattered,
            explained=self._sensitivity.samples,
            enough=self._limits.explanations_window,
            window_s=self.charts.window_s,
            unavailable=around.unavailable,
            charting=self.charts.configured and not self.charts.held,
        )
        return self._diagnosis.attribute(found, observations, around.now)

    def _found(self, around: Surroundings) -> Iterator[Condition]:
        """What rules and charts say, each for itself."""
        now, limits = around.now, self._limits
        running = self.machine.running(now)
        self._data.tick(running, now)
        if not running:
            self._light.stand()
        self.charts.stand(not running, now)
        self.charts.tick(now)
        pictures = self._pictures(around)
        yield pictures
        level = self._level(self._no_reads, limits.no_read_rate)
        yield self._fixed_and_charted(Cause.NO_READ_RATE, around, level)
        yield self._judged(
            Cause.LATENCY_BUDGET,
            around,
            self._fruit,
            self._fruit_quality(around),
            Level(
                self._latency.value,
                limits.latency_p95_s,
                LATENCY_DEADBAND * limits.latency_p95_s,
                self._no_reads.samples,
                len(self._latency),
            ),
        )
        level = self._level(self._reliance, limits.background_reliance)
        yield self._fixed_and_charted(Cause.BACKGROUND_RELIANCE, around, level, self._reliance)
        level = self._level(self._sensitivity, limits.foreground_sensitivity, low=True)
        yield self._fixed_and_charted(
            Cause.FOREGROUND_INSENSITIVE, around, level, self._sensitivity
        )
        if self.charts.configured:
            yield self._charted(Cause.SEGMENTATION_DEGRADED, around, self._fruit)
            yield self._charted(Cause.EXPLANATION_DRIFT, around, self._explained)
        situations = set(around.situations)
        if _is_dark(pictures) and Cause.IMAGE_QUALITY not in around.unavailable:
            situations.add(Situation.IMAGE_QUALITY)
        yield self._data.condition(self.machine, situations, around.explaining, now)

    @staticmethod
    def _level(window: MeanWindow, limit: float, low: bool = False) -> Level:
        deadband = deadband_of(limit)
        return Level(window.mean, limit, deadband, window.samples, len(window), low=low)

    def _fixed_and_charted(
        self, cause: Cause, around: Surroundings, level: Level, window: MeanWindow | None = None
    ) -> Condition:
        """A fixed limit and the charts of the same cause; ``window``: of explanations."""
        if window is None:
            seen, quality = self._fruit, self._fruit_quality(around)
        else:
            enough = window.full and not window.undefined
            seen = self._explained
            quality = self._quality(around, seen.captured_mono, enough)
        fixed = self._judged(cause, around, seen, quality, level)
        return with_charts(fixed, self.charts.judged(cause), self.charts.kept(cause))

    def _pictures(self, around: Surroundings) -> Condition:
        """Pictures that are dark or cannot be read, against a fixed limit; what changed in them, by
        charts."""
        cause, quality = Cause.IMAGE_QUALITY, self._fruit_quality(around)
        level = self._level(self._unusable, self._limits.image_quality)
        fixed = replace(
            self._judged(cause, around, self._fruit, quality, level),
            detail=Detail(Fact.UNREADABLE, {"share": level.value}) if level.window else "",
        )
        fixed = self._light_or(fixed, around)
        return with_charts(fixed, self.charts.judged(cause), self.charts.kept(cause))

    def _light_or(self, unreadable: Condition, around: Surroundings) -> Condition:
        """The light is named where cups turned dark: it is why they cannot be read. Cups alone,
        without fruit, are enough to know that it is as usual."""
        said_to_run = self.machine.state is MachineState.RUNNING
        dark = self._light.state(said_to_run, around.now)
        quality = self._quality(around, self._light.newest_mono, self._light.enough)
        one = replace(unreadable, samples=unreadable.samples + dark.level.samples)
        if quality is not Quality.GOOD:
            return one
        if not dark.beyond and unreadable.beyond is not None:
            return replace(one, back=one.back and dark.back)
        found = self._judged(Cause.IMAGE_QUALITY, around, self._pictured, quality, dark.level)
        return replace(
            found, back=dark.back, samples=one.samples, detail=dark.detail if dark.beyond else ""
        )

    def _charted(self, cause: Cause, around: Surroundings, seen: _Seen) -> Condition:
        """A condition that only charts can judge: value 1 is the limit of the most advanced one."""
        found = self.charts.judged(cause)
        quality = self._quality(around, seen.captured_mono, enough=found is not None)
        known = found is not None and quality is Quality.GOOD
        return Condition(
            cause=cause,
            subject=self.name,
            beyond=found.beyond if found is not None and known else None,
            back=known and found is not None and not found.beyond,
            value=found.used if found is not None else 0.0,
            limit=1.0,
            quality=quality,
            samples=found.points if found is not None else 0,
            window=found.count if found is not None else 0,
            detail=found.detail if found is not None else self.charts.held,
            suppressed_by=suppression_reason(cause, around.situations),
            frame_id=seen.frame_id,
            model=seen.model,
            captured_utc_ms=seen.captured_utc_ms,
            captured_mono=max(0.0, seen.captured_mono),
        )

    def _judged(
        self, cause: Cause, around: Surroundings, seen: _Seen, quality: Quality, level: Level
    ) -> Condition:
        known = quality is Quality.GOOD
        self._judging[cause] = Judged(level, quality)
        return Condition(
            cause=cause,
            subject=self.name,
            beyond=level.beyond if known else None,
            back=level.back if known else False,
            value=level.value if math.isfinite(level.value) else 0.0,
            limit=level.limit,
            deadband=level.deadband,
            quality=quality,
            samples=level.samples,
            window=level.window,
            suppressed_by=suppression_reason(cause, around.situations),
            frame_id=seen.frame_id,
            model=seen.model,
            captured_utc_ms=seen.captured_utc_ms,
            captured_mono=max(0.0, seen.captured_mono),
        )

    def _fruit_quality(self, around: Surroundings) -> Quality:
        enough = len(self._no_reads) >= min(FRUIT_LEAST, self._limits.fruit_window)
        return self._quality(around, self._data.reading_mono, enough)

    def _quality(self, around: Surroundings, newest_mono: float, enough: bool) -> Quality:
        """Of a judgement whose newest sample was captured then, on ``enough`` samples or not."""
        if not around.live or not self._data.fresh(newest_mono, around.now):
            return Quality.BAD
        return Quality.GOOD if enough else Quality.UNCERTAIN


def _is_dark(pictures: Condition) -> bool:
    """Whether it is the light that is missing."""
    detail = pictures.detail
    dark = isinstance(detail, Detail) and detail.fact in (Fact.DARK, Fact.ONLY_DARK)
    return dark and bool(pictures.beyond)
