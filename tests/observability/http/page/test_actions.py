"""Acting over HTTP: who may, and that no other page can in an operator's browser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from agent.observability.http.app_state import Acted
from agent.observability.http.limits import GUESSES
from agent.observability.http.page.actions import STATUS
from agent.records import CommandOutcome
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.support import TRUST

TOKEN = "who-shows-this-may-act"
ACK = "/api/v1/actions/ack"
MAY = {"X-Pitwatch-Action": TOKEN}


@pytest.fixture
def server(serve: ServeAgent) -> Served:
    return serve(actions={"token": TOKEN}, public_url="https://plant.example/line1")


@pytest.fixture
def client(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10, trust_env=False, verify=TRUST) as client:
        yield client


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_the_status_says_what_it_came_to(agent: FakeAgent, client: httpx.Client) -> None:
    for outcome in CommandOutcome:
        agent.acted = Acted(outcome, "why")
        answer = client.post(ACK, json={"user": "anna"}, headers=MAY)
        assert answer.status_code == STATUS[outcome]
        assert answer.json() == {"outcome": outcome.value, "detail": "why"}
        assert agent.acts.pop() == ("ack", b'{"user":"anna"}', "127.0.0.1")


def test_who_acted_sees_at_once_what_it_came_to(agent: FakeAgent, client: httpx.Client) -> None:
    """And not the snapshot that all pages share for a moment."""
    for number in range(5):
        client.get("/api/v1/status")
        agent.utc_ms = number
        client.post(ACK, json={}, headers=MAY)
        assert client.get("/api/v1/status").json()["utc_ms"] == number


def test_an_agent_that_stops_is_no_success(agent: FakeAgent, client: httpx.Client) -> None:
    agent.acted = Acted(None, "the agent stops")
    answer = client.post(ACK, json={}, headers=MAY)
    assert (answer.status_code, answer.json()["outcome"]) == (503, "unanswered")


def test_off_by_default_and_without_a_token_nobody_acts(
    agent: FakeAgent, serve: ServeAgent
) -> None:
    with httpx.Client(base_url=serve().url, trust_env=False, verify=TRUST) as off:
        status, why = refused(off.post(ACK, json={}, headers=MAY))
    assert status == 403
    assert "http.actions.token" in why
    assert agent.acts == []


def test_a_wrong_token_is_a_guess_and_a_right_one_is_heard_all_the_same(
    agent: FakeAgent, client: httpx.Client
) -> None:
    none = client.post(ACK, json={})
    assert refused(none)[0] == 401
    assert "Basic" not in none.headers["WWW-Authenticate"], "no browser may ask by itself"
    wrong = [client.post(ACK, json={}, headers={"X-Pitwatch-Action": "guess" * 4})
             for _ in range(int(GUESSES) + 1)]  # fmt: skip
    assert [one.status_code for one in wrong] == [401] * int(GUESSES) + [429]
    assert client.post(ACK, json={}, headers=MAY).status_code == 200
    assert len(agent.acts) == 1


OTHER_PAGES = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[broken"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://plant.example:8443"},
    {"Origin": "https://plant.example.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none", "Origin": "https://plant.example"},
)


def test_another_page_cannot_act_even_with_the_token(
    agent: FakeAgent, client: httpx.Client
) -> None:
    for headers in OTHER_PAGES:
        status, why = refused(client.post(ACK, json={}, headers={**MAY, **headers}))
        assert (status, "another page" in why) == (403, True), headers
    assert agent.acts == []


def test_the_own_page_acts_also_behind_a_proxy_and_gets_no_preflight_answered(
    agent: FakeAgent, server: Served, client: httpx.Client
) -> None:
    for own in (
        {"Origin": server.url},
        {"Origin": server.url.replace("http:", "https:")},  # a proxy speaks https
        {"Origin": "https://plant.example"},  # http.public_url, where a proxy changes Host
        {"Origin": "https://plant.example:443"},
        {"Origin": "https://panel.example", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post(ACK, json={}, headers={**MAY, **own}).status_code == 200, own
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "x-pitwatch-action"}  # fmt: skip
    preflight = client.options(ACK, headers=asked)
    assert preflight.status_code >= 400
    assert not any(name.startswith("access-control") for name in preflight.headers)


def test_a_body_that_is_none_costs_that_request_only(
    agent: FakeAgent, client: httpx.Client
) -> None:
    form = client.post(ACK, data={"user": "anna"}, headers=MAY)
    assert refused(form)[0] == 415
    assert refused(client.get(ACK, headers=MAY))[0] == 405
    large = {**MAY, "Content-Type": "application/json"}
    assert refused(client.post(ACK, content=b"[" * 5000, headers=large))[0] == 413
    with contextlib.suppress(httpx.TransportError):  # closed while it was still sent
        client.post(ACK, content=b"[" * 10_000_000, headers=large)
    assert agent.acts == []
    assert client.post(ACK, json={}, headers=MAY).status_code == 200


def test_whoever_may_not_look_may_not_act(agent: FakeAgent, serve: ServeAgent) -> None:
    server = serve(token="t" * 20, actions={"token": TOKEN})
    with httpx.Client(base_url=server.url, trust_env=False, verify=TRUST) as client:
        assert refused(client.post(ACK, json={}, headers=MAY))[0] == 401
        assert agent.acts == []
        both = client.post(ACK, json={}, headers=MAY, auth=("anna", "t" * 20))
        assert both.status_code == 200
