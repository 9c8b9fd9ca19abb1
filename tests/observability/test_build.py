"""The snapshot: what the stages said, in books that agree with the metrics."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from agent.observability.build import Now, build_view
from agent.observability.http.rpc import AgentService
from agent.observability.newest import Newest
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView, CameraView
from agent.records import CameraState, CameraStatus, Overlay
from tests.observability.conftest import FakeAgent
from tests.observability.samples import explanation, frame, fruit, segmentation
from tests.observability.support import FakeClock

FIRST = AgentView(
    agent_id="line-1", version="0.1.0", session="7f", utc_ms=0, uptime_s=0.0, config_hash="c",
    model_name="default", model_sha256="ab", layer="decoder1",
)  # fmt: skip


@pytest.fixture
def telemetry() -> PrometheusTelemetry:
    return PrometheusTelemetry(CollectorRegistry(), FakeClock(), strict=True)


def build(newest: Newest, telemetry: PrometheusTelemetry, **said: object) -> AgentView:
    now = Now(mono=1000.5, utc_ms=1, started_mono=990.0, **said)  # type: ignore[arg-type]
    first = replace(FIRST, cameras=tuple(CameraView(lane, "sim:", "") for lane in newest.lanes))
    return build_view(first, now, newest, telemetry)


def test_the_books_of_frames_jobs_and_messages_balance(telemetry: PrometheusTelemetry) -> None:
    telemetry.count("frames_captured", 10, camera="cam1")
    telemetry.count("frames_segmented", 6, camera="cam1")
    telemetry.count("frames_dropped", 3, camera="cam1", stage="capture", reason="expired")
    telemetry.count("jobs_selected", 5, camera="cam1", **{"class": "periodic"})
    telemetry.count("jobs_completed", 3, camera="cam1", rung="exact")
    telemetry.count("jobs_dropped", 1, camera="cam1", stage="pool", reason="deadline")
    telemetry.count("messages_enqueued", 9, topic_family="fruit")
    telemetry.count("messages_delivered", 7, topic_family="fruit")
    telemetry.count("messages_dropped", 1, topic_family="fruit", reason="offline")
    view = build(Newest(["cam1"]), telemetry)
    (camera,) = view.cameras
    assert (camera.frames_captured, camera.frames_segmented) == (10, 6)
    assert (camera.frames_dropped, camera.frames_in_flight) == (3, 1)
    assert camera.drops == {"capture/expired": 3}
    jobs, messages = view.explanations, view.messages
    assert (jobs.selected, jobs.completed, jobs.dropped, jobs.in_flight) == (5, 3, 1, 1)
    assert (messages.enqueued, messages.delivered, messages.dropped) == (9, 7, 1)
    assert (messages.in_flight, messages.drops) == (1, {"fruit/offline": 1})
    assert view.uptime_s == 10.5


def test_each_camera_has_its_own_newest_and_a_lane_the_state_of_its_source(
    telemetry: PrometheusTelemetry,
) -> None:
    newest = Newest(["cam1", "cam2"])
    first = frame("cam2", mono=1000.0)
    newest.on_segmented(first, segmentation(first))
    newest.on_fruit(fruit(first, read=False))
    newest.on_explanation(explanation(first))
    status = CameraStatus("both", ("cam1", "cam2"), CameraState.STALLED, "no frame", 998.5)
    view = build(newest, telemetry, statuses=(status,))
    one, two = view.cameras
    assert (one.reading, one.state, one.state_age_s) == (None, "stalled", 2.0)
    assert two.reading is not None
    assert (two.reading.read, two.reading.reason, two.reading.age_s) == (False, "no_suture", 0.5)
    assert two.frame_age_s == 0.5
    assert math.isnan(one.frame_age_s)
    (explained,) = view.explanations.newest
    assert (explained.camera, explained.age_s, explained.seconds) == ("cam2", 0.5, 0.84)
    assert view.explanations.compute.p50_s == 0.84


def test_an_empty_cup_is_no_reading_and_a_stranger_is_ignored() -> None:
    newest = Newest(["cam1"])
    newest.on_fruit(fruit(replace(frame(), chunks={"Gain": 6.5})))
    newest.on_fruit(fruit(frame(seq=2), cup_empty=True))
    reading = newest.reading("cam1", 1000.0)
    assert reading is not None
    assert reading.chunks == {"Gain": 6.5}, "what its camera put into this picture"
    assert reading.frame_id.endswith("000001")
    stranger = frame("cam9")
    newest.on_segmented(stranger, segmentation(stranger))
    newest.on_fruit(fruit(stranger))
    newest.on_explanation(explanation(stranger))
    assert newest.frame("cam9") is None
    assert newest.reading("cam9", 0.0) is None
    assert newest.overlay("cam9", "suture") is None


def test_a_class_that_was_left_out_keeps_its_last_overlay() -> None:
    newest = Newest(["cam1"])
    suture, stem = (Overlay(name, "image/png", name.encode(), 1, 1) for name in ("suture", "stem"))
    newest.on_explanation(explanation(frame(), (suture, stem)))
    newer = Overlay("suture", "image/png", b"newer", 1, 1)
    newest.on_explanation(explanation(frame(seq=2), (newer,)))
    assert newest.overlay("cam1", "suture") == newer
    assert newest.overlay("cam1", "stem") == stem
    found = newest.explanation("cam1", 1002.0)
    assert found is not None
    assert [(one.class_name, one.frame_id, one.age_s) for one in found.maps] == [
        ("suture", "cam1-7f-000002", 2.0), ("stem", "cam1-7f-000001", 2.0)
    ]  # fmt: skip
    assert newest.overlay("cam1", "stem", "cam1-7f-000001") == stem
    assert newest.overlay("cam1", "stem", "cam1-7f-000002") is None


def test_the_snapshot_as_json_has_no_nan_and_no_enum(agent: FakeAgent) -> None:
    agent.statuses = (CameraStatus("cam1", ("cam1",), CameraState.LIVE, "µ", 0.0),)
    text = AgentService(agent.state()).status()
    said = json.loads(text, parse_constant=pytest.fail)
    camera = said["cameras"][0]
    assert (camera["state"], camera["cause"], camera["fps"]) == ("live", "µ", None)
    assert (said["machine"]["state"], said["alarms"]) == ("unknown", [])
    assert "µ".encode() in text
