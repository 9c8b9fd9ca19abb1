"""The history over HTTP: small, cacheable, and behind the same door as the rest."""

from __future__ import annotations

import gzip
import json

import httpx

from tests.observability.conftest import NO_HISTORY, FakeAgent, ServeAgent
from tests.observability.support import TRUST

LANE = "/api/v1/history/cam1"


def test_a_lane_is_sent_once_and_then_named_by_its_tag(
    agent: FakeAgent, client: httpx.Client
) -> None:
    first = client.get(LANE)
    assert first.json() == NO_HISTORY
    tag = first.headers["ETag"]
    again = client.get(LANE, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    agent.history["cam1"] = {**NO_HISTORY, "end_s": [1], "no_read": [float("nan")]}
    fresh = client.get(LANE, headers={"If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.json()["no_read"] == [None]


def test_eight_hours_are_a_few_kilobytes_on_the_wire(
    agent: FakeAgent, client: httpx.Client
) -> None:
    minutes = range(480)
    figures = {name: [round(0.01 * (i * 7 % 97), 4) for i in minutes] for name in NO_HISTORY}
    agent.history["cam1"] = {
        **figures, "hours": 8, "alarms": [], "end_s": [1_796_000_000 + 60 * i for i in minutes],
    }  # fmt: skip
    with client.stream("GET", LANE, headers={"Accept-Encoding": "gzip"}) as answer:
        wire = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(wire))["end_s"]) == 480
    assert len(wire) < 16_384
    plain = client.get(LANE, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


def test_alarms_of_before_are_served_and_an_unknown_lane_is_404(
    agent: FakeAgent, client: httpx.Client
) -> None:
    agent.past_alarms = {"alarms": [{"event_id": "e1"}]}
    assert client.get("/api/v1/alarms").json() == agent.past_alarms
    assert client.get("/api/v1/history/cam9").status_code == 404
    assert client.get("/api/v1/history/" + "x" * 500).status_code == 404


def test_the_history_wants_the_token_of_the_page(serve: ServeAgent) -> None:
    server = serve(token="t" * 20)
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        for path in (LANE, "/api/v1/alarms"):
            assert client.get(path).status_code == 401
            assert client.get(path, auth=("anna", "t" * 20)).status_code == 200
