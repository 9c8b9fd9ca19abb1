"""What the wiring adds to an alarm: its picture, and a closer look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.observability.newest import Newest
from agent.pipeline.evidence import evidence_of
from agent.pipeline.follow_up import FOLLOW_UP_S, follow_up_s
from agent.records import Alarm
from tests.observability import samples


def alarm(cause: str, transition: str = "raised", **changes: object) -> Alarm:
    record = replace(samples.alarm(), alarm_id=f"{cause}-cam1", camera_id="cam1")
    return replace(record, **{"transition": transition, "suppressed": False} | changes)


@pytest.mark.parametrize("cause", ["background_reliance", "foreground_insensitive", "no_read_rate"])
def test_an_alarm_about_what_the_model_sees_is_followed_up(cause: str) -> None:
    assert follow_up_s(alarm(cause)) == FOLLOW_UP_S
    assert follow_up_s(alarm(cause, "cleared")) == 0.0
    assert follow_up_s(alarm(cause, quiet=True)) == 0.0


@pytest.mark.parametrize("cause", ["latency_budget", "camera_lost", "workers_degraded"])
def test_an_alarm_that_explanations_cannot_help_is_not_followed_up(cause: str) -> None:
    assert follow_up_s(alarm(cause)) == 0.0


def test_a_picture_that_cannot_be_drawn_does_not_hold_back_its_alarm() -> None:
    newest = Newest(("cam1",))
    frame = samples.frame()
    newest.on_segmented(
        frame, replace(samples.segmentation(frame), mask=np.zeros((0, 0), np.uint8))
    )
    assert evidence_of(alarm("camera_lost"), newest) is None


def test_the_picture_behind_an_alarm_is_that_of_its_raising_only() -> None:
    newest = Newest(("cam1",))
    newest.on_segmented(samples.frame(), samples.segmentation(samples.frame()))
    assert evidence_of(alarm("camera_lost"), newest) is not None
    assert evidence_of(alarm("camera_lost", "cleared"), newest) is None
    assert evidence_of(alarm("camera_lost", quiet=True), newest) is None
