"""What a camera says of itself, on its way to the metrics of each of its lanes."""

from __future__ import annotations

import numpy as np
import pytest

from agent.capture import picture_reports
from agent.capture.picture_reports import PictureReports
from agent.capture.source import Measurements
from agent.records import Frame
from tests.capture.support import Ledger


def test_what_a_camera_counts_is_counted_for_each_of_its_lanes() -> None:
    ledger = Ledger()
    reports = PictureReports("cam1", ("left", "right"), ledger)
    said = Measurements({"transit": 2, "underrun": 1}, 3, {"missing": 4}, 41.5, -2e-6)
    reports.measured(said)
    reports.measured(Measurements(lost={"transit": 1}))
    for lane in ("left", "right"):
        assert ledger.counts[("pictures_lost", lane, "transit")] == 3
        assert ledger.counts[("pictures_lost", lane, "underrun")] == 1
        assert ledger.counts[("triggers_lost", lane)] == 3
        assert ledger.counts[("camera_packets", lane, "missing")] == 4
        assert ledger.gauges[("camera_temperature_celsius", lane)] == 41.5
        assert ledger.gauges[("camera_clock_offset_seconds", lane)] == -2e-6


def test_what_a_camera_puts_into_a_picture_is_shown_for_its_lane() -> None:
    ledger = Ledger()
    reports = PictureReports("cam1", ("cam1",), ledger)
    picture = np.zeros((4, 4, 3), np.uint8)
    frame = Frame("cam1", "f", 1, 0, 0.0, picture, chunks={"Gain": 6.5, "Mode": "Night"})
    assert reports.showing([frame]) == [frame]
    assert ledger.gauges == {("camera_chunk", "cam1", "Gain"): 6.5}, "a text is no number"


def test_what_must_be_known_of_a_camera_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(picture_reports, "log_event", lambda *told, **_: said.append(told[2]))
    ledger = Ledger()
    reports = PictureReports("cam1", ("cam1",), ledger)
    for _ in range(2):
        reports.measured(Measurements(remarks={"feature_differs": "Gain was set to 6"}))
    assert ledger.counts[("pictures_remarked", "cam1", "feature_differs")] == 2
    assert said == ["picture_remarked"]
