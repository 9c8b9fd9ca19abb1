"""What the metric and status topics say, and of which quality."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.observability.view import (
    AgentView,
    CameraView,
    ClassView,
    ExplanationsView,
    ExplanationView,
    ReadingView,
)
from agent.pipeline.gauges import Reported, agent_state, describe, reported
from agent.records import Quality

BAD, GOOD, UNCERTAIN = Quality.BAD, Quality.GOOD, Quality.UNCERTAIN
READ = ReadingView("f1", 1000, 0.2, True, 37.5, "none", 0.9)
CAMERA = CameraView("cam1", "sim:", "live", fps=4.7, frames_captured=10, reading=READ)
SUTURE = ClassView("suture", True, "", 0.4, 0.1, 0.2)
EXPLAINED = ExplanationView(
    "cam1", "f1", 900, 2.0, "periodic", "exact", "ablation-cam", "encoder4", 1.0, (SUTURE,)
)


def view(camera: CameraView = CAMERA, explained: ExplanationView | None = EXPLAINED) -> AgentView:
    newest = () if explained is None else (explained,)
    return AgentView(
        "pitwatch", "0.1.0", "s1", 2000, 10.0, "hash", "model", "sha", "encoder4",
        cameras=(camera,), explanations=ExplanationsView(newest=newest),
    )  # fmt: skip


def all_of(seen: AgentView) -> dict[tuple[str, str], Reported]:
    return {(one.lane, one.name): one for one in reported(seen, explained_within_s=60.0)}


def angle(**changes: Any) -> tuple[float, Quality]:
    one = all_of(view(replace(CAMERA, **changes)))["cam1", "angle_deg"]
    return one.value, one.quality


def test_an_angle_before_the_first_fruit_is_no_angle_on_the_cutting_line() -> None:
    assert angle(reading=None) == (-1.0, BAD)


def test_an_angle_is_good_while_it_is_that_of_the_fruit_under_the_camera() -> None:
    assert angle() == (37.5, GOOD)
    assert angle(reading=replace(READ, age_s=11.0)) == (37.5, UNCERTAIN)


def test_a_no_read_is_not_averaged_into_good_angles() -> None:
    assert angle(reading=replace(READ, read=False, angle_deg=-1.0)) == (-1.0, BAD)


def test_a_plausibility_that_is_not_known_is_of_bad_quality() -> None:
    def told(reading: ReadingView) -> tuple[float, Quality]:
        one = all_of(view(replace(CAMERA, reading=reading)))["cam1", "plausibility"]
        return one.value, one.quality

    assert told(replace(READ, plausibility=0.75)) == (0.75, GOOD)
    assert told(READ) == (0.0, BAD)


def test_the_angle_of_a_camera_that_does_not_deliver_is_held_with_quality_bad() -> None:
    assert angle(state="frozen") == (37.5, BAD)
    assert angle(state="backoff") == (37.5, BAD)


def test_an_explanation_of_long_ago_does_not_stay_good() -> None:
    def reliance(**changes: Any) -> tuple[float, Quality]:
        one = all_of(view(explained=replace(EXPLAINED, **changes)))
        return one["cam1", "suture_context_reliance"].value, (
            one["cam1", "suture_context_reliance"].quality
        )

    assert reliance() == (0.2, GOOD)
    assert reliance(age_s=61.0) == (0.2, BAD)


def test_what_is_known_of_a_frozen_camera_by_explaining_it_is_not_good() -> None:
    one = all_of(view(replace(CAMERA, state="frozen")))["cam1", "suture_sensitivity_foreground"]
    assert one.quality is BAD


def test_a_number_that_is_not_known_is_zero_with_quality_bad() -> None:
    one = all_of(view(replace(CAMERA, fps=float("nan"))))["cam1", "fps"]
    assert (one.value, one.quality) == (0.0, BAD)


def test_every_metric_that_is_published_is_described() -> None:
    described = describe(("suture",))
    assert {name for _, name in all_of(view())} == set(described)


def test_an_agent_whose_cameras_connect_for_the_first_time_starts_and_is_not_degraded() -> None:
    fresh = replace(CAMERA, state="connecting", frames_captured=0)
    assert agent_state(view(fresh)) == ("starting", "cam1 connecting")
    assert agent_state(view()) == ("running", "")
    assert agent_state(view(replace(CAMERA, state="connecting"))) == (
        "degraded",
        "cam1 connecting",
    )
    lost = replace(CAMERA, state="backoff", frames_captured=0)
    assert agent_state(view(lost)) == ("degraded", "cam1 backoff")
