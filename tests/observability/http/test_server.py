"""The HTTP server: what each route says, and what it refuses."""

from __future__ import annotations

import json
import math
import threading
import time

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent import config
from agent.observability.http.listener import HttpError, Listener
from agent.records import CameraState, MachineInfo, MachineState, Overlay
from agent.simulator.truth_log import draw_number, read_number
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.samples import alarm, explanation, frame, fruit, overlay, segmentation
from tests.observability.support import TRUST
from tests.support import wait_until


def no_nan(constant: str) -> float:
    raise AssertionError(f"{constant} in JSON")


# --- probes --------------------------------------------------------------------------------------


def test_livez_names_a_loop_that_stalls_and_is_well_when_it_moves_again(
    agent: FakeAgent, serve: ServeAgent
) -> None:
    server = serve(loop_limit_s=1.0)
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        agent.make_ready()
        assert client.get("/livez").json()["ok"]

        def one_stalls() -> bool:
            agent.telemetry.beat("live")
            return client.get("/livez").status_code == 503

        wait_until(one_stalls, 10, "livez fails")
        answer = client.get("/livez")
        (reason,) = answer.json()["reasons"]
        assert reason.startswith("loop desk has not moved for ")
        assert set(answer.json()["loop_age_s"]) == {"live", "desk", "http"}
        agent.telemetry.beat("desk")
        agent.telemetry.beat("live")
        assert client.get("/livez").status_code == 200


def test_what_the_topics_hold_is_described_in_one_object(
    agent: FakeAgent, client: httpx.Client
) -> None:
    answer = client.get("/api/v1/descriptions")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer.text, parse_constant=no_nan) == agent.descriptions


def test_readyz_names_the_state_of_every_source(agent: FakeAgent, client: httpx.Client) -> None:
    assert client.get("/readyz").json() == {"ok": True, "reasons": []}
    agent.sources = {"cam1": CameraState.STALLED, "cam2": CameraState.BACKOFF}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["no source is live: cam1 stalled, cam2 backoff"]


def test_the_probes_answer_while_the_snapshot_hangs(agent: FakeAgent, client: httpx.Client) -> None:
    agent.hold_view = threading.Event()
    hung = threading.Thread(target=lambda: client.get("/api/v1/status"))
    hung.start()
    wait_until(lambda: agent.views == 1)
    for route in ("/livez", "/readyz", "/metrics"):
        assert client.get(route).status_code == 200
    agent.hold_view.set()
    hung.join(10)


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_come_in_the_format_that_the_scraper_asks_for(
    agent: FakeAgent, client: httpx.Client
) -> None:
    agent.telemetry.observe("capture_to_mask_seconds", 0.03, exemplar="cam1-1", camera="cam1")
    plain = client.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    rich = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert rich.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert 'frame_id="cam1-1"' in rich.text
    assert list(text_string_to_metric_families(rich.text))


def test_requests_are_counted_by_template_and_never_by_what_was_asked(
    agent: FakeAgent, client: httpx.Client
) -> None:
    client.get("/livez")
    client.get("/api/v1/frame/cam1.jpg")
    client.get("/api/v1/frame/evil.jpg")
    client.get("/no/such/place?x=1")
    client.post("/livez")
    wait_until(lambda: agent.telemetry.total("http_requests") == 5)
    assert agent.telemetry.breakdown("http_requests", ("route", "status")) == {
        "/livez/200": 1,
        "/api/v1/frame/{camera}.jpg/404": 2,
        "unmatched/404": 1,
        "/livez/405": 1,
    }


# --- status and pictures -------------------------------------------------------------------------


def test_the_status_is_the_snapshot_without_any_nan(agent: FakeAgent, client: httpx.Client) -> None:
    shown = frame(mono=time.monotonic())
    agent.telemetry.count("frames_captured", camera="cam1")
    agent.telemetry.count("frames_segmented", camera="cam1")
    agent.telemetry.count("fruit", camera="cam1")
    agent.newest.on_segmented(shown, segmentation(shown))
    agent.newest.on_fruit(fruit(shown))
    agent.newest.on_explanation(explanation(shown))
    agent.alarms = (alarm(),)
    answer = client.get("/api/v1/status")
    status = json.loads(answer.content, parse_constant=no_nan)
    first, second = status["cameras"]
    assert first["reading"]["angle_deg"] == 12.5
    assert first["frames_in_flight"] == 0
    assert second["reading"] is None
    assert second["capture_to_mask"]["p95_s"] is None
    assert status["explanations"]["newest"][0]["classes"][0]["sensitivity_foreground"] == 0.82
    assert status["alarms"][0]["message"].startswith("Camera cam2")
    assert answer.headers["cache-control"] == "no-store"


def test_many_viewers_share_one_snapshot(agent: FakeAgent, client: httpx.Client) -> None:
    client.get("/api/v1/status")
    began, before = time.monotonic(), agent.views
    for _ in range(20):
        client.get("/api/v1/status")
    assert agent.views - before <= 1 + (time.monotonic() - began) / 0.5


def test_a_frame_comes_as_a_picture_with_the_mask_outlined(
    agent: FakeAgent, client: httpx.Client
) -> None:
    assert client.get("/api/v1/frame/cam1.jpg").status_code == 404
    shown = frame(side=128)
    agent.newest.on_segmented(shown, segmentation(shown))
    answer = client.get("/api/v1/frame/cam1.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (128, 128, 3)
    plain = np.abs(picture.astype(int) - shown.image).sum(axis=2)
    assert (plain > 100).sum() > 50  # the outline
    assert np.median(plain) < 30  # and nothing else


def test_a_frame_is_encoded_once_and_known_to_the_client_by_its_id(
    agent: FakeAgent, client: httpx.Client
) -> None:
    shown = frame()
    agent.newest.on_segmented(shown, segmentation(shown))
    tag = client.get("/api/v1/frame/cam1.jpg").headers["etag"]
    again = client.get("/api/v1/frame/cam1.jpg", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    following = frame(seq=2)
    agent.newest.on_segmented(following, segmentation(following))
    changed = client.get("/api/v1/frame/cam1.jpg", headers={"If-None-Match": tag})
    assert changed.status_code == 200


def test_a_large_frame_is_shown_smaller(agent: FakeAgent, client: httpx.Client) -> None:
    shown = frame(side=2000)
    agent.newest.on_segmented(shown, segmentation(shown))
    answer = client.get("/api/v1/frame/cam1.jpg")
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (960, 960, 3)


def test_a_frame_by_its_id_comes_small_where_it_is_one_of_many(
    agent: FakeAgent, client: httpx.Client
) -> None:
    shown = frame("cam1", seq=1, mono=time.monotonic(), side=1200)
    agent.newest.on_segmented(shown, segmentation(shown))
    agent.newest.on_fruit(fruit(shown))
    path = f"/api/v1/frame/cam1.jpg?frame={shown.frame_id}"
    large, small = client.get(path), client.get(path + "&small=1")
    sides = [
        cv2.imdecode(np.frombuffer(one.content, np.uint8), cv2.IMREAD_COLOR).shape[:2]  # type: ignore[union-attr]
        for one in (large, small)
    ]
    assert sides == [(960, 960), (480, 480)]
    assert large.headers["ETag"] != small.headers["ETag"]
    assert "immutable" in small.headers["Cache-Control"]


def test_a_picture_is_that_of_the_frame_whose_id_is_asked_for(
    agent: FakeAgent, client: httpx.Client
) -> None:
    for seq in range(12):
        shown = frame(seq=seq, side=256)
        draw_number(shown.image, seq)
        agent.newest.on_segmented(shown, segmentation(shown))
        agent.newest.on_fruit(fruit(shown, cup_empty=seq == 10))
    address = "/api/v1/frame/cam1.jpg"
    for seq in (5, 9, 11):
        answer = client.get(address, params={"frame": f"cam1-7f-{seq:06d}"})
        picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert read_number(np.asarray(picture, np.uint8)) == seq
        assert answer.headers["cache-control"] == "private, max-age=600, immutable"
    for gone in ("cam1-7f-000000", "cam1-7f-000010", "cam2-7f-000011", "x" * 300, "..%2f"):
        answer = client.get(address, params={"frame": gone})
        assert (answer.status_code, "error" in answer.json()) == (404, True), gone
    assert client.get(address).headers["cache-control"] == "no-cache"


def test_a_heat_map_of_another_frame_is_not_found(agent: FakeAgent, client: httpx.Client) -> None:
    agent.newest.on_explanation(explanation(frame(seq=1), (overlay("suture"),)))
    agent.newest.on_explanation(explanation(frame(seq=2), (overlay("stem"),)))
    for path in ("suture", "suture/map", "suture/mean", "stem", "stem/map", "stem/mean"):
        found = [
            client.get(f"/api/v1/cam/cam1/{path}", params={"frame": f"cam1-7f-{seq:06d}"})
            for seq in (1, 2)
        ]
        first = path in (
            "suture",
            "suture/map",
        )  # the map of the suture is that of the first explanation
        assert [one.status_code for one in found] == ([200, 404] if first else [404, 200]), path
        lost = found[1] if first else found[0]
        assert "is not that of frame" in lost.json()["error"]


@pytest.mark.parametrize(("kind", "side"), [("mean", 240), ("map", 360)])
def test_a_heat_map_and_its_control_are_made_once_for_all_who_look(
    kind: str, side: int, agent: FakeAgent, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"/api/v1/cam/cam1/suture/{kind}"
    assert client.get(address).status_code == 404
    agent.newest.on_explanation(explanation(frame(), (overlay("suture"),)))
    first = client.get(address)
    picture = cv2.imdecode(np.frombuffer(first.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (side, side, 3)
    monkeypatch.setattr(cv2, "imencode", lambda *_: pytest.fail("encoded twice"))
    assert client.get(address).content == first.content
    assert client.get(address, params={"frame": frame().frame_id}).content == first.content
    assert client.get(f"/api/v1/cam/cam1/nothing/{kind}").status_code == 404


def test_the_evidence_of_an_alarm_is_found_by_its_event(
    agent: FakeAgent, client: httpx.Client
) -> None:
    for event in range(40):
        agent.newest.on_evidence(f"e{event}", Overlay("", "image/jpeg", b"%d" % event, 8, 8))
    assert client.get("/api/v1/evidence/e39").content == b"39"
    assert client.get("/api/v1/evidence/e39.jpg").headers["content-type"] == "image/jpeg"
    assert client.get("/api/v1/evidence/e0").status_code == 404  # the newest 32 are in memory
    assert len(client.get("/api/v1/status").json()["evidence"]) == 32


def test_evidence_that_only_the_disk_has_is_fetched_from_there(
    agent: FakeAgent, client: httpx.Client
) -> None:
    agent.kept_evidence["e0"] = ("image/png", b"of an earlier start")
    agent.newest.on_evidence("e0", None)
    for path in ("/api/v1/evidence/e0", "/api/v1/evidence/e0.png"):
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, b"of an earlier start")
        assert answer.headers["content-type"] == "image/png"
    assert client.get("/api/v1/status").json()["evidence"] == ["e0"]
    missing = client.get("/api/v1/evidence/' OR 1=1 --")
    assert (missing.status_code, "no picture" in missing.text) == (404, True)


@pytest.mark.parametrize("suffix", ["", ".png", ".jpg"])
def test_the_newest_overlay_of_a_class_has_its_own_content_type(
    suffix: str, agent: FakeAgent, client: httpx.Client
) -> None:
    overlay = Overlay("suture", "image/png", b"\x89PNG not really", 8, 8)
    agent.newest.on_explanation(explanation(frame(), (overlay,)))
    answer = client.get(f"/api/v1/cam/cam1/suture{suffix}")
    assert (answer.status_code, answer.content) == (200, overlay.data)
    assert answer.headers["content-type"] == "image/png"
    assert client.get(f"/api/v1/cam/cam1/stem{suffix}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/frame/nobody.jpg",
        "/api/v1/frame/..%2f..%2fetc%2fpasswd.jpg",
        "/api/v1/frame/%2e%2e.jpg",
        "/api/v1/cam/cam1/..%2f..%2fetc%2fpasswd",
        "/api/v1/cam/nobody/suture.jpg",
        "/../../etc/passwd",
        "//etc/passwd",
        "/page.html",
        "/%00",
    ],
)
def test_a_path_names_no_file_and_an_unknown_camera_is_not_found(
    path: str, client: httpx.Client
) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]


def test_the_page_is_self_contained_and_its_policy_allows_nothing_else(
    client: httpx.Client,
) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http:" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in answer.text
    assert "innerHTML" not in answer.text


# --- the machine ---------------------------------------------------------------------------------


def test_the_machine_says_its_state_by_post(agent: FakeAgent, client: httpx.Client) -> None:
    answer = client.post("/machine", json={"state": "running", "fruit_id": "4711", "encoder": 3})
    assert answer.status_code == 204
    (info,) = agent.machine
    assert info == MachineInfo(
        MachineState.RUNNING,
        "4711",
        3,
        received_utc_ms=info.received_utc_ms,
        arrived_mono=info.arrived_mono,
    )
    assert abs(info.arrived_mono - time.monotonic()) < 60
    assert abs(info.received_utc_ms / 1000 - time.time()) < 60
    assert agent.telemetry.breakdown("machine_messages", ("transport", "outcome")) == {
        "http/accepted": 1
    }


def test_a_value_that_cannot_be_used_costs_its_key_and_is_named(
    agent: FakeAgent, client: httpx.Client
) -> None:
    answer = client.post("/machine", json={"state": "running", "fruit_id": "7" * 10_240})
    assert (answer.status_code, answer.text) == (
        200,
        "left out: fruit_id must be 1 to 64 printable characters\n",
    )
    (info,) = agent.machine
    assert (info.state, info.fruit_id) == (MachineState.RUNNING, None)
    assert agent.telemetry.total("machine_messages", outcome="incomplete") == 1


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b'{"state": "runing"}', "application/json", 400, "allowed are unknown, running"),
        (b'{"stat": "running"}', "application/json", 400, "unknown key 'stat'"),
        (b"", "application/json", 400, "not JSON"),
        (b'{"state": NaN}', "application/json; charset=utf-8", 400, "state is 'nan'"),
        (b" " * 65_537, "application/json", 413, "longer than 65536 bytes"),
        (b" " * 5_000_000, "application/json", 413, "longer than 65536 bytes"),
        (b'{"state": "running"}', "text/plain", 415, "application/json"),
        (b"state=running", "application/x-www-form-urlencoded", 415, "application/json"),
    ],
)
def test_a_wrong_machine_message_is_refused_with_the_reason(
    content: bytes, content_type: str, status: int, reason: str,
    agent: FakeAgent, client: httpx.Client,
) -> None:  # fmt: skip
    answer = client.post("/machine", content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert agent.machine == []
    assert agent.telemetry.total("machine_messages", outcome="invalid") == 1


def test_a_mistake_of_the_agent_is_an_answer_without_its_details(
    agent: FakeAgent, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(camera: str) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(agent.newest, "frame", fail)
    answer = client.get("/api/v1/frame/cam1.jpg")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert client.get("/livez").status_code == 200
    wait_until(lambda: agent.telemetry.total("http_requests", status="500") == 1)


# --- who may ask, and where ----------------------------------------------------------------------


def test_a_web_page_cannot_reach_the_agent_through_a_name_of_its_own(
    client: httpx.Client,
) -> None:
    for path in ("/", "/api/v1/status", "/machine"):
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost:9464"}).status_code == 200
    assert client.get("/livez", headers={"Host": "10.0.0.7"}).status_code == 200


def test_the_name_under_which_the_agent_is_public_is_taken(serve: ServeAgent) -> None:
    server = serve(public_url="https://line1.plant.example/pitwatch")
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        assert client.get("/", headers={"Host": "line1.plant.example"}).status_code == 200


def test_a_port_in_use_is_an_error_before_anything_starts(agent: FakeAgent, server: Served) -> None:
    with pytest.raises(HttpError, match=rf"127\.0\.0\.1:{server.port} is in use by another"):
        Listener(config.Http(port=server.port))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_an_error(host: str, agent: FakeAgent) -> None:
    with pytest.raises(HttpError, match="address of this machine"):
        Listener(config.Http(host=host, port=0, page=False))


def test_ipv6_loopback_is_served_too(serve: ServeAgent) -> None:
    server = serve(host="::1")
    assert server.url == f"http://[::1]:{server.port}"
    assert (
        httpx.get(f"{server.url}/api/v1/status", trust_env=False, verify=TRUST).status_code == 200
    )


def test_the_server_ends_within_a_second_and_frees_its_port(
    agent: FakeAgent, serve: ServeAgent
) -> None:
    server = serve()
    agent.hold_view = threading.Event()

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/api/v1/status", trust_env=False, verify=TRUST)

    hung = threading.Thread(target=ask)
    hung.start()
    wait_until(lambda: agent.views == 1)
    began = time.monotonic()
    assert server.stop()
    assert time.monotonic() - began < 3.0  # one second, and patience for a busy machine
    agent.hold_view.set()
    hung.join(10)
    Listener(config.Http(port=server.port)).socket.close()


def test_nan_is_nowhere_in_an_empty_status(client: httpx.Client) -> None:
    status = json.loads(client.get("/api/v1/status").content, parse_constant=no_nan)
    assert status["cameras"][0]["fps"] is None
    assert not any(isinstance(v, float) and math.isnan(v) for v in status.values())
