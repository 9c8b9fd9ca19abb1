"""The form of an answer: what the client accepts, and never what it refuses."""

from __future__ import annotations

import gzip

import httpx
import pytest

from agent.observability.exposition import OPENMETRICS
from agent.observability.http.negotiation import takes_gzip, takes_openmetrics

PROMETHEUS = (
    f"{OPENMETRICS};version=1.0.0;q=0.5,{OPENMETRICS};version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


PROMETHEUS_3 = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;"
    f"q=0.6,{OPENMETRICS};version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,"
    "*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False), ("*/*", False), ("text/plain", False), ("text/html, */*;q=0.1", False),
        (OPENMETRICS, True), (f"{OPENMETRICS}; version=1.0.0; charset=utf-8", True),
        (OPENMETRICS.upper(), True), (PROMETHEUS, True), (PROMETHEUS_3, True),
        (f"{OPENMETRICS};q=0", False), (f"{OPENMETRICS}; q=0.0, */*", False),
        (f"text/plain, {OPENMETRICS};q=0.9", False), (f"text/*;q=0.5, {OPENMETRICS};q=0.9", True),
        (f"text/plain;q=0.2, {OPENMETRICS};version=0.0.1;q=0.1, {OPENMETRICS};q=0.3", True),
        (f"{OPENMETRICS};q=high", False), (f"{OPENMETRICS};q=2", False), (f"x{OPENMETRICS}", False),
        (f"{OPENMETRICS}x", False), (",;,q=1,;", False),
    ],
)  # fmt: skip
def test_openmetrics_is_for_who_names_it_and_likes_it_best(accept: str, openmetrics: bool) -> None:
    assert takes_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("", False), ("gzip", True), ("gzip, deflate, br", True), ("GZIP;Q=1", True),
        ("gzip;q=0", False), ("gzip; q=0.000", False), ("*", True), ("*;q=0", False),
        ("*, gzip;q=0", False), ("identity", False), ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True), ("x-gzip", True), ("gzip;q=x", False), ("br", False),
    ],
)  # fmt: skip
def test_only_who_takes_gzip_gets_it(accept: str, compressed: bool) -> None:
    assert takes_gzip(accept) is compressed


def test_metrics_are_compressed_on_request(client: httpx.Client) -> None:
    plain = client.get("/metrics", headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    with client.stream("GET", "/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(raw))
    assert "Accept-Encoding" in answer.headers["vary"]
    text = gzip.decompress(raw).decode()
    assert len(raw) < len(text) / 2
    names = {line.split()[2] for line in plain.text.splitlines() if line.startswith("# HELP")}
    assert names == {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}


def test_a_form_that_is_refused_is_not_sent(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"Accept": f"{OPENMETRICS};q=0, text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    split = client.get(
        "/metrics", headers=[("Accept", "text/html"), ("Accept", f"{OPENMETRICS};version=1.0.0")]
    )
    assert split.headers["content-type"].startswith(OPENMETRICS)
