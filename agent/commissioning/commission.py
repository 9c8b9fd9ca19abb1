"""The course of a commissioning: audit, collect, design, write."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from agent.ablation.core.errors import AblationError
from agent.ablation.engine import Engine
from agent.alarms.charts.budget import Budget
from agent.alarms.charts.reference import Reference, SenseCheck, save_reference
from agent.alarms.light import in_the_dark
from agent.alarms.signals.extract import chromaticity, of_fruit, of_suture
from agent.commissioning.audit import FRUIT, Audit, audit
from agent.commissioning.begin import Kept, check_results, check_variety
from agent.commissioning.claim import claim
from agent.commissioning.conditional import charts_of_samples, together
from agent.commissioning.design import Designed, designed, enough, widened
from agent.commissioning.errors import CommissioningError
from agent.commissioning.line import Passing, Wanted, ordinary_production
from agent.commissioning.plausible import least_plausible
from agent.commissioning.samples import (
    Collected,
    CupSample,
    ExplanationSample,
    FruitSample,
    Sample,
    SampleFile,
    read_samples,
)
from agent.commissioning.sense import Reader, Turn, check_files, remedy
from agent.config import Camera, Config
from agent.models.loaded import LoadedModel
from agent.records import SUTURE, ClassExplanation, Frame
from agent.sampling.uncertain import is_uncertain

AUDIT_EVERY = 7
"""Every so many fruit one is audited, so that twenty are no neighbours."""


@dataclass(frozen=True, slots=True)
class Turned:
    """Pictures of one fruit before and after it was turned by hand."""

    before: Path
    after: Path
    turn: Turn


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. At least ``lots`` of ``lot_minutes``, more where the budget needs more;
    ``explained`` fruit a window. ``camera`` None: the first configured one. What an earlier run
    collected is kept, unless ``resume`` goes on with it or ``discard`` gives it up."""

    variety: str
    out: Path
    camera: str | None = None
    lots: int = 12
    lot_minutes: float = 15.0
    explained: int = 10
    resume: bool = False
    turned: Turned | None = None
    discard: bool = False

    @property
    def collected(self) -> Path:
        return self.out.with_name(self.out.name + ".samples")

    @property
    def pictures(self) -> Path:
        return self.out.with_name(self.out.name + ".audit.png")


@dataclass(frozen=True, slots=True)
class Told:
    """Where progress goes: fruit audited, (lots finished, fruit, explanations), and signals whose
    limits are made, of so many."""

    audited: Callable[[int], None] = lambda _done: None
    collected: Callable[[int, int, int], None] = lambda _lots, _fruit, _explained: None
    judged: Callable[[Audit], None] = lambda _audit: None
    limited: Callable[[int, int], None] = lambda _done, _signals: None


def check(plan: Plan, camera: Camera) -> None:
    """``CommissioningError`` for what can be known of a plan before anything is loaded."""
    check_results(plan.out, plan.collected, Kept(plan.resume, plan.discard))
    check_variety(camera, plan.variety)


@dataclass(slots=True)
class Commissioning:
    """One run over one camera with one model."""

    config: Config
    camera: Camera
    model: LoadedModel
    plan: Plan
    told: Told = field(default_factory=Told)

    def run(self) -> Reference:
        """Everything; ``CommissioningError`` with the reasons where there is nothing to bless.

        What was collected stays beside the output until the reference is written, so that an
        interrupted run can go on.
        """
        check(self.plan, self.camera)
        sense = self._sense()
        before = self._before()
        passing = ordinary_production(
            self.config,
            self.camera,
            self.model,
            Wanted(self.plan.variety, 60.0 * self.plan.lot_minutes, before.end_mono),
        )
        kept: list[Passing] = []
        frames = list(islice(self._every(passing, kept), FRUIT))
        if len(frames) < FRUIT:
            fruit = sum(not one.reading.empty for one in kept)
            raise CommissioningError(
                f"{self.camera.name}: {fruit} fruit of {self.plan.variety} before the source "
                f"ended; the audit alone needs {FRUIT * AUDIT_EVERY}"
            )
        engine = self._engine()
        found = audit(engine, frames, self.told.audited)
        self.told.judged(found)
        if not found.passed:
            reasons = "; ".join(one.text for one in found.findings if not one.passed)
            raise CommissioningError(f"{self.model.label} is refused: {reasons}")
        collected = self._collect(engine, chain(kept, passing), before)
        reference = self._reference(engine, designed(collected, self.budget), collected, found)
        reference = reference.model_copy(update={"sense": sense})
        save_reference(reference, self.plan.out)
        self.plan.collected.unlink(missing_ok=True)
        return reference

    def _sense(self) -> SenseCheck | None:
        """That of the angle; refused where it is the wrong one."""
        if self.plan.turned is None:
            return None
        before, after, turn = self.plan.turned.before, self.plan.turned.after, self.plan.turned.turn
        found = check_files(Reader(self.config, self.camera, self.model), before, after, turn)
        if found.mirrored:
            raise CommissioningError(remedy(self.camera, found))
        return found

    @property
    def budget(self) -> Budget:
        """The configured one, over every lane of every camera."""
        asked = self.config.alarms.budget
        lanes = sum(len(camera.effective_lanes()) for camera in self.config.cameras)
        return Budget(asked.days, asked.hours_a_day, asked.window_s, max(1, lanes))

    def _engine(self) -> Engine:
        if SUTURE not in self.config.ablation.classes:
            raise CommissioningError("ablation.classes: the suture is what is watched")
        try:
            return Engine(self.model, self.config.ablation, self.config.model.layer)
        except AblationError as error:
            raise CommissioningError(f"{self.model.label}: {error}") from error

    @property
    def _header(self) -> dict[str, object]:
        return {
            "samples": 3,
            "source": self.camera.source,
            "variety": self.plan.variety,
            "model_sha256": self.model.sha256,
        }

    def _before(self) -> Collected:
        if self.plan.resume and self.plan.collected.exists():
            return read_samples(self.plan.collected, self._header)
        return Collected()

    @staticmethod
    def _every(passing: Iterator[Passing], kept: list[Passing]) -> Iterator[Frame]:
        """Every ``AUDIT_EVERY``-th fruit's frame; what passes is kept for collecting."""
        fruit = 0
        for one in passing:
            kept.append(one)
            fruit += not one.reading.empty
            if not one.reading.empty and fruit % AUDIT_EVERY == 0:
                yield one.frame

    def _collect(self, engine: Engine, passing: Iterator[Passing], before: Collected) -> Collected:
        """Until ``plan.lots`` lots are whole and a reference can be made of them, or the source
        ends."""
        every_s = self.config.alarms.budget.window_s / self.plan.explained
        resumed = self.plan.resume and self.plan.collected.exists()
        check(self.plan, self.camera)  # another run may have begun to collect meanwhile
        file = SampleFile(self.plan.collected, self._header, resumed)
        due: dict[str, float] = {}
        judged = 0
        try:
            for one in passing:
                seen = one.reading.segmentation
                if one.reading.empty:
                    self._add(before, file, _cup_sample(one))
                    continue
                if in_the_dark(seen):  # not charted, so not learnt
                    continue
                self._add(before, file, _fruit_sample(one))
                unsure = is_uncertain(seen, self.config.sampling)  # nor these
                if seen.captured_mono >= due.get(seen.lane, -np.inf) and not unsure:
                    due[seen.lane] = seen.captured_mono + every_s
                    self._add(before, file, _explanation_sample(engine, one))
                whole = len(before.lots) - len(due)
                self.told.collected(whole, len(before.fruit), len(before.explanations))
                if whole >= self.plan.lots and whole > judged:
                    judged = whole
                    if enough(before, self.budget):
                        break
        finally:
            file.close()
        return before

    @staticmethod
    def _add(collected: Collected, file: SampleFile, sample: Sample) -> None:
        collected.add(sample)
        file.add(sample)

    def _reference(
        self, engine: Engine, made: Designed, collected: Collected, found: Audit
    ) -> Reference:
        budget, preprocessing = self.budget, self.model.preprocessing
        charts = charts_of_samples(
            made.signals,
            together(made.points, made.signals),
            budget,
            (made.lots, made.lot_points),
            self.told.limited,
        )
        if charts is not None:
            made = widened(made, charts.run_length_that_holds(made.run_length))
        run = None if charts is None else charts.run(made.run_length)
        return Reference(
            variety=self.plan.variety,
            model_name=self.model.name,
            model_sha256=self.model.sha256,
            layer=engine.layer,
            score=self.config.ablation.score.value,
            width_px=preprocessing.width_px,
            height_px=preprocessing.height_px,
            made_utc=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            source=self.camera.name,
            lots=made.lots,
            lot_points=made.lot_points,
            fruit=len(collected.fruit),
            explanations=len(collected.explanations),
            window_s=budget.window_s,
            budget_days=budget.days,
            budget_margin=budget.margin,
            budget_lanes=budget.lanes,
            hours_a_day=budget.hours_a_day,
            run_length=made.run_length,
            conditional_days=run,
            claim=claim(made, budget, run),
            profile=tuple(made.profile.tolist()),
            overlay_range=dict(made.overlay_range),
            cups=made.cups,
            min_plausibility=least_plausible(collected.fruit, self.config.segmentation),
            signals=made.signals,
            left_out=dict(made.left_out),
            audit=found.findings,
        )


def _fruit_sample(one: Passing) -> FruitSample:
    seen = one.reading.segmentation
    angle = seen.reading.angle_deg if seen.reading.read else None
    return FruitSample(one.lot, seen.captured_mono, of_fruit(one.reading), angle)


def _cup_sample(one: Passing) -> CupSample:
    seen = one.reading.segmentation
    return CupSample(one.lot, seen.captured_mono, chromaticity(seen))


def _explanation_sample(engine: Engine, one: Passing) -> ExplanationSample:
    """A fruit that the engine refuses counts as one without any signal."""
    mono = one.reading.segmentation.captured_mono
    try:
        classes = engine.explain(one.frame.image, one.frame.aperture).classes
    except AblationError:
        return ExplanationSample(one.lot, mono, {}, np.zeros(0), {})
    suture = next(each for each in classes if each.class_name == SUTURE)
    return ExplanationSample(
        lot=one.lot,
        mono=mono,
        values=of_suture(suture, None),
        deltas=suture.deltas,
        peaks={each.class_name: _peak(each) for each in classes if each.explainable},
    )


def _peak(found: ClassExplanation) -> float:
    return float(np.abs(found.map).max()) if found.map.size else 0.0
