"""Another network becomes live: what is judged of it, by which reference, and whether it is the one
that is explained."""

from __future__ import annotations

from dataclasses import replace

from agent import config
from agent.alarms.catalogue import Cause
from agent.alarms.condition import Condition
from agent.alarms.live_model import LiveModel
from agent.alarms.text.languages import LANGUAGES
from agent.alarms.watch import Watch
from agent.records import CameraState, PoolStatus
from tests.alarms.references import MODEL_SHA256, reference, signal
from tests.alarms.support import explanation, fruit, said, status

OLD, NEW = MODEL_SHA256, "b" * 64
PATIENCE_S = 30.0
SIGNALS = [
    signal("suture_margin", 5.0, 0.2, count=60),
    signal("foreground_input", 0.8, 0.15, count=30),
]
OF_OLD = reference(SIGNALS)
OF_NEW = reference(
    [signal("suture_margin", 9.0, 0.2, count=60), SIGNALS[1]], model_sha256=NEW, model_name="new"
)


class Line:
    def __init__(self) -> None:
        self.watch = Watch(config.Alarms(), ("cam1",), {"golden": OF_OLD})
        self.now = 100.0
        self.watch.on_camera(status(CameraState.LIVE, self.now))
        self.goes_live("unet", OLD)
        self.watch.tick(self.now)

    def goes_live(self, name: str, sha256: str) -> None:
        made = {OLD: OF_OLD, NEW: OF_NEW}[sha256]
        self.watch.on_live_model(LiveModel(name, sha256, {"golden": made}, PATIENCE_S))

    def run(
        self,
        seconds: int,
        *,
        model: str = OLD,
        explained: str | None = None,
        margin: float = 5.0,
        reliance: float = 0.2,
        read: bool = True,
    ) -> None:
        """A fruit and an explanation a second."""
        for _ in range(seconds):
            reading = fruit(self.now, read=read)
            seen = replace(
                reading.segmentation, model_sha256=model, margins=(9.0, margin, 4.0), brightness=99
            )
            self.watch.on_fruit(replace(reading, segmentation=seen))
            made = explanation(self.now, reliance)
            self.watch.on_explanation(replace(made, model_sha256=explained or model))
            self.now += 1
            self.watch.tick(self.now)

    def __getitem__(self, cause: Cause) -> Condition:
        return next(c for c in self.watch.tick(self.now) if c.cause == cause)

    @property
    def margin(self) -> float:
        return self.watch.charts()["cam1"].means()["suture_margin"]


def test_charts_go_on_with_the_reference_of_the_new_model() -> None:
    line = Line()
    line.run(300)
    assert line[Cause.SEGMENTATION_DEGRADED].beyond is False
    line.goes_live("new", NEW)
    line.run(600, model=NEW, margin=9.0)
    assert line[Cause.SEGMENTATION_DEGRADED].beyond is False
    assert line.margin == 9.0
    line.run(900, model=NEW, margin=5.0)
    assert line[Cause.SEGMENTATION_DEGRADED].beyond is True


def test_the_new_models_usual_would_be_an_alarm_by_the_old_reference() -> None:
    line = Line()
    line.run(900, margin=1.0)
    assert line[Cause.SEGMENTATION_DEGRADED].beyond is True


def test_late_results_of_the_old_model_are_not_charted_as_the_new_ones() -> None:
    line = Line()
    line.run(120)
    line.goes_live("new", NEW)
    line.run(20, model=OLD, margin=1.0, reliance=0.9)
    line.run(200, model=NEW, margin=9.0)
    assert line.margin == 9.0
    assert line[Cause.BACKGROUND_RELIANCE].value < 0.3
    assert line.watch.charts()["cam1"].held == ""


def test_a_rollback_brings_the_old_reference_back() -> None:
    line = Line()
    line.run(120)
    line.goes_live("new", NEW)
    line.run(300, model=NEW, margin=9.0)
    line.goes_live("unet", OLD)
    line.run(10, model=NEW, margin=9.0)
    line.run(600, model=OLD)
    assert line.margin == 5.0
    assert line[Cause.SEGMENTATION_DEGRADED].beyond is False


def test_a_lane_that_comes_later_is_charted_by_the_live_models_reference() -> None:
    line = Line()
    line.run(60)
    line.goes_live("new", NEW)
    line.watch.configure(config.Alarms(), ("cam1",), ("cam1", "cam2"))
    late = line.watch._lanes["cam2"]
    assert {name: bank.reference for name, bank in late.charts._banks.items()} == {"golden": OF_NEW}
    assert late._retired == {OLD}


def test_workers_that_begin_anew_have_the_time_of_a_start() -> None:
    line = Line()
    line.watch.on_pool(PoolStatus(1, 1, 0, 0, breaker_open=False, reason=""))
    line.run(5)
    line.watch.workers_begin_anew()
    line.watch.on_pool(PoolStatus(1, 0, 0, 1, breaker_open=False, reason=""))
    line.run(100)
    assert line[Cause.WORKERS_DEGRADED].beyond is False
    line.run(100)
    assert line[Cause.WORKERS_DEGRADED].beyond is True


def test_limits_judge_nothing_but_the_fruit_and_explanations_of_the_new_model() -> None:
    line = Line()
    line.run(400, reliance=0.9, read=False)
    assert line[Cause.BACKGROUND_RELIANCE].beyond is True
    assert line[Cause.NO_READ_RATE].beyond is True
    line.goes_live("new", NEW)
    assert line[Cause.BACKGROUND_RELIANCE].beyond is None
    assert line[Cause.NO_READ_RATE].beyond is None
    line.run(60, model=NEW)
    assert line[Cause.BACKGROUND_RELIANCE].beyond is False
    assert line[Cause.NO_READ_RATE].beyond is False


def test_the_number_of_samples_never_falls_over_a_change_of_model() -> None:
    line = Line()
    line.run(100)
    before = line[Cause.NO_READ_RATE].samples
    line.goes_live("new", NEW)
    assert line[Cause.NO_READ_RATE].samples == before


def test_workers_may_take_their_time_to_be_replaced_and_no_more() -> None:
    line = Line()
    line.run(10)
    line.goes_live("new", NEW)
    line.run(int(PATIENCE_S), model=NEW, explained=OLD)
    assert line[Cause.MODEL_MISMATCH].beyond is False
    line.run(3, model=NEW, explained=OLD)
    found = line[Cause.MODEL_MISMATCH]
    assert found.beyond is True
    assert said(found) == "new bbbbbbbb reads the fruit and unet 00000000 is explained"
    line.run(1, model=NEW)
    assert line[Cause.MODEL_MISMATCH].back is True


def test_a_worker_that_loads_a_file_that_was_overwritten_is_noticed() -> None:
    line = Line()
    line.run(60)
    line.run(1, explained="c" * 64)
    assert line[Cause.MODEL_MISMATCH].beyond is True


def test_a_stopped_machine_raises_nothing_after_a_promotion() -> None:
    line = Line()
    line.run(10)
    line.goes_live("new", NEW)
    line.now += 10 * PATIENCE_S
    assert line[Cause.MODEL_MISMATCH].beyond is False


def test_the_alarm_has_words_in_every_language() -> None:
    words = {name: one.alarms[Cause.MODEL_MISMATCH].title for name, one in LANGUAGES.items()}
    assert len(set(words.values())) == len(LANGUAGES)
