"""How an order's time is kept, with an engine that only lets a fake clock run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agent import config
from agent.ablation.core.errors import AblationError, LateError
from agent.ablation.pool.explainer import ENGINE_SHARE, Explainer
from agent.ablation.pool.messages import ImageHeader, Order
from agent.ablation.result import EngineResult, not_explainable
from agent.ablation.studies.studies import Studies
from agent.models.card import ModelCard
from agent.records import Rung, SamplingClass

STEPS = 10


class FakeEngine:
    """Takes ``STEPS`` steps; an elastic rung takes those that fit its deadline, at least one."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self.now = 100.0
        self.calls: list[tuple[Rung, float | None]] = []
        self.studied: list[bool] = []
        self.given_up: list[str] = []
        self.refusal = ""
        self.model = SimpleNamespace(
            name="fake", sha256="0", classes=("background", "suture"), card=ModelCard(name="fake")
        )

    def explain(
        self,
        image: Any,
        aperture: Any = None,
        *,
        rung: Rung,
        deadline_s: float | None = None,
        progress: Any = None,
        studies: Studies | None = None,
        tick: Any = None,
    ) -> EngineResult:
        self.calls.append((rung, deadline_s))
        self.studied.append(studies is not None)
        started, steps = self.now, 0
        while steps < STEPS:
            over = deadline_s is not None and self.now + self.step_s > started + deadline_s
            if rung is not Rung.EXACT and over and steps:
                break
            steps += 1
            self.now += self.step_s
            progress(steps, STEPS)
        if studies is not None and self.refusal:
            raise AblationError(self.refusal)
        if studies is not None:
            self._study(tick)
        return EngineResult(
            classes=(not_explainable("suture", "fake"),),
            rung=rung,
            method="ablation-cam",
            layer="layer",
            path="fake",
            score="margin",
            baseline="zero",
            region_threshold=0.5,
            region_source="predicted",
            left_out=(),
            seconds=self.now - started,
            seconds_by_method={},
            input=np.zeros((3, 8, 8), np.float32),
            logits=np.zeros((2, 8, 8), np.float32),
            mask=np.zeros((8, 8), np.uint8),
            aperture=np.ones((8, 8), np.bool_),
        )

    def _study(self, tick: Any) -> None:
        """Two studies of ten batches, half a second each."""
        for name in ("first", "second"):
            try:
                for _ in range(10):
                    tick(name)
                    self.now += 0.5
            except LateError:
                self.given_up.append(name)


def answers(engine: FakeEngine, every: int, classes: Sequence[SamplingClass]) -> list[str]:
    """Explain one picture per sampling class with 10 s each; the phases that were told."""
    phases: list[str] = []
    settings = config.Ablation(study_every=every)
    explainer = Explainer(engine, settings, phases.append, lambda: engine.now)  # type: ignore[arg-type]
    for sampling_class in classes:
        order = dataclasses.replace(
            an_order(engine, Rung.EXACT, 10.0), sampling_class=sampling_class
        )
        explainer.answer(order, np.zeros((32, 32, 3), np.uint8), None)
    return phases


def an_order(engine: FakeEngine, rung: Rung, left_s: float, compute_s: float = 0.0) -> Order:
    return Order(
        job_id="job",
        lane="cam1",
        frame_id="f",
        captured_utc_ms=0,
        captured_mono=0.0,
        sampling_class=SamplingClass.PERIODIC,
        rung=rung,
        deadline_mono=engine.now + left_s,
        compute_s=compute_s,
        image=ImageHeader(32, 32, 3, False, 0),
    )


def explain(
    engine: FakeEngine, rung: Rung, left_s: float, compute_s: float = 0.0
) -> tuple[Any, list[str]]:
    phases: list[str] = []
    explainer = Explainer(
        engine,  # type: ignore[arg-type]
        config.Ablation(),
        phases.append,
        lambda: engine.now,
    )
    order = an_order(engine, rung, left_s, compute_s)
    return explainer.answer(order, np.zeros((32, 32, 3), np.uint8), None), phases


def test_an_exact_explanation_that_fits_is_left_alone() -> None:
    engine = FakeEngine(step_s=0.7)
    found, phases = explain(engine, Rung.EXACT, left_s=10.0)
    assert found.rung is Rung.EXACT
    assert engine.calls == [(Rung.EXACT, None)]
    assert phases == [*(f"{n}/10" for n in range(1, 11)), "overlay"]
    assert found.seconds == pytest.approx(7.0)


def test_an_exact_explanation_that_would_come_too_late_becomes_a_partial_one_early() -> None:
    engine = FakeEngine(step_s=1.0)  # 10 s of work, 8 s for the engine
    found, _ = explain(engine, Rung.EXACT, left_s=10.0)
    assert found.rung is Rung.PARTIAL
    (first, second) = engine.calls
    assert first == (Rung.EXACT, None)
    assert second == (Rung.PARTIAL, pytest.approx(ENGINE_SHARE * 8.0))  # 2 s were spent to see it
    assert found.seconds <= 10.0
    assert [overlay.class_name for overlay in found.overlays] == ["suture"]


def test_an_elastic_rung_gets_what_was_booked_for_it_and_never_more_than_the_time_left() -> None:
    engine = FakeEngine(step_s=0.1)
    explain(engine, Rung.PARTIAL, left_s=10.0, compute_s=3.0)
    explain(engine, Rung.COARSE, left_s=2.0, compute_s=3.0)
    explain(engine, Rung.COARSE, left_s=2.0)
    granted = [deadline for _, deadline in engine.calls]
    assert granted == [pytest.approx(3.0), pytest.approx(1.6), pytest.approx(1.6)]


def test_what_every_explanation_must_have_still_ends_at_the_deadline() -> None:
    engine = FakeEngine(step_s=5.0)
    with pytest.raises(LateError, match="1 of 10 steps at the deadline"):
        explain(engine, Rung.COARSE, left_s=4.0)


def test_one_periodic_explanation_in_so_many_is_studied() -> None:
    engine = FakeEngine(step_s=0.01)
    answers(engine, 3, [SamplingClass.PERIODIC] * 7)
    assert engine.studied == [False, False, True, False, False, True, False]
    engine = FakeEngine(step_s=0.01)
    answers(engine, 0, [SamplingClass.PERIODIC] * 3)
    assert engine.studied == [False] * 3


def test_an_operator_or_an_alarm_never_waits_for_a_study() -> None:
    engine = FakeEngine(step_s=0.01)
    waiting = [SamplingClass.OPERATOR, SamplingClass.ALARM]
    answers(engine, 1, [*waiting, SamplingClass.PERIODIC])
    assert engine.studied == [False, False, True]


def test_a_cross_check_that_the_layer_has_no_room_for_does_not_cost_the_explanation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FakeEngine(step_s=0.01)
    engine.refusal = "blocks of 2 cells in a layer of 1 x 1"
    phases = answers(engine, 1, [SamplingClass.PERIODIC])
    assert engine.studied == [True, False]
    assert phases[-1] == "overlay"
    assert [record.message for record in caplog.records] == ["cross_checks_refused"]


def test_studies_end_before_the_deadline_and_tell_what_they_are_at() -> None:
    engine = FakeEngine(step_s=0.1)  # 1 s for the explanation, then two studies of 5 s
    phases = answers(engine, 1, [SamplingClass.PERIODIC])
    assert engine.given_up == ["second"]
    assert "first" in phases
    assert engine.now - 100.0 <= ENGINE_SHARE * 10.0 + 0.5


@pytest.mark.parametrize(
    ("ranges", "drawn"), [({"suture": 3.0}, 3.0), ({"stem": 3.0}, 1.0), (None, 2.0)]
)
def test_the_lines_own_colour_range_is_drawn_with_before_the_cards(
    ranges: dict[str, float] | None, drawn: float
) -> None:
    """A class that the line's reference does not know is drawn in the picture's own range."""
    engine = FakeEngine(step_s=0.1)
    engine.model.card = ModelCard(name="fake", overlay_range={"suture": 2.0})
    settings = config.Ablation()
    explainer = Explainer(engine, settings, lambda _: None, lambda: engine.now, ranges)  # type: ignore[arg-type]
    order = an_order(engine, Rung.EXACT, 10.0)
    (overlay,) = explainer.answer(order, np.zeros((32, 32, 3), np.uint8), None).overlays
    assert overlay.value_range == drawn
