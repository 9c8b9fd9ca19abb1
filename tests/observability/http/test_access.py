"""Who may see what of the HTTP server, on this machine and on an address that others reach."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from agent import config
from agent.config.problems import ConfigErrors
from agent.observability.http.access import Access, RequestFacts
from agent.observability.http.limits import ADDRESSES_MAX, GUESSES, AddressBuckets
from agent.observability.http.listener import HttpError, Listener
from agent.observability.http.signing import Signer
from agent.preflight import load_config
from agent.records import Overlay
from tests.observability.conftest import FakeAgent, ServeAgent
from tests.observability.http.served import Served
from tests.observability.samples import explanation, frame
from tests.observability.support import TRUST
from tests.publishing.certificates import Authority
from tests.support import wait_until

TOKEN = "a-token-of-the-plant"
OPEN = ("/livez", "/readyz", "/metrics")
CLOSED = ("/", "/api/v1/status", "/api/v1/frame/cam1.jpg", "/nothing")


def asked(path: str, address: str = "10.0.0.9", query: str = "", **headers: str) -> RequestFacts:
    return RequestFacts(path, query, address, headers)


def access(*, loopback: bool = False, **settings: object) -> Access:
    return Access(config.Http(**settings), Signer(TOKEN, 600), loopback=loopback)


@pytest.fixture
def public(serve: ServeAgent) -> Served:
    return serve(host="0.0.0.0", token=TOKEN)


def client_of(server: Served, **options: object) -> httpx.Client:
    url = f"{server.url.partition(':')[0]}://127.0.0.1:{server.port}"
    options = {"verify": TRUST, **options}
    return httpx.Client(base_url=url, trust_env=False, timeout=10, **options)


# --- the settings --------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "plant-pc"])
def test_a_public_address_without_a_token_is_refused_before_anything_starts(host: str) -> None:
    with pytest.raises(ValidationError, match=r"token is missing: page and pictures"):
        config.Http(host=host)
    assert config.Http(host=host, page=False).token is None
    assert config.Http(host=host, token=TOKEN).page


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"token": "short"}, "at least 16"),
        ({"allow": ["10.0.0.0/40"]}, r"allow\.0 is not a network"),
        ({"tls": {"certificate": "c.pem"}}, r"tls\.key is missing"),
        ({"tls": {"client_ca": "c.pem"}}, r"tls\.certificate is missing"),
    ],
)
def test_what_makes_no_sense_is_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config.Http(**settings)


def test_the_token_shows_nowhere() -> None:
    assert TOKEN not in repr(config.Http(token=TOKEN))


# --- the decision --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True), ("192.168.7.7", True), ("::ffff:10.1.2.3", True), ("fd00::1", True),
        ("127.0.0.1", True), ("8.8.8.8", False), ("2001:db8::1", False), ("", False),
        ("no address", False),
    ],
)  # fmt: skip
def test_probes_and_metrics_are_for_the_networks_of_the_allow_list(
    address: str, allowed: bool
) -> None:
    gate = access(host="0.0.0.0", token=TOKEN)
    for path in OPEN:
        denied = gate.denied(asked(path, address), 0.0)
        assert (denied is None) is allowed
        assert denied is None or (denied.status, "http.allow" in denied.reason) == (403, True)


def test_a_page_that_is_switched_off_is_off_for_everyone() -> None:
    gate = access(host="0.0.0.0", page=False)
    denied = gate.denied(asked("/", authorization=f"Bearer {TOKEN}"), 0.0)
    assert denied is not None
    assert denied.status == 403
    assert gate.denied(asked("/livez"), 0.0) is None


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", "Basic !!!", "Basic /w==", "Digest x", "Bearer \xff", TOKEN],
)
def test_no_odd_header_opens_the_page(header: str) -> None:
    denied = access(host="0.0.0.0", token=TOKEN).denied(asked("/", authorization=header), 0.0)
    assert denied is not None
    assert denied.status == 401


def test_a_token_is_asked_for_on_loopback_too_once_there_is_one() -> None:
    gate = access(loopback=True, token=TOKEN)
    assert gate.denied(asked("/", "127.0.0.1", host="localhost"), 0.0) is not None
    assert gate.denied(asked("/", "127.0.0.1", authorization=f"Bearer {TOKEN}"), 0.0) is None


# --- links to pictures ---------------------------------------------------------------------------


def test_a_link_opens_its_picture_until_it_is_over() -> None:
    signer = Signer("secret", 600)
    path, _, query = signer.signed("/api/v1/frame/cam1.jpg", 1000.0).partition("?")
    assert signer.holds(path, query, 1599.0)
    assert not signer.holds(path, query, 1600.0)
    assert not signer.holds("/api/v1/frame/cam2.jpg", query, 1001.0)
    assert not Signer("another", 600).holds(path, query, 1001.0)
    assert Signer("secret", 600).holds(path, query, 1001.0), "a restart keeps the links"


@pytest.mark.parametrize(
    "query",
    ["", "until=9", "until=9999999999&signature=", "until=x&signature=00", "until=-1&signature=0",
     "until=9999999999999999&signature=0", "until=²&signature=0", "&" * 5000,
     "until=9999999999&signature=é"],
)  # fmt: skip
def test_no_odd_link_opens_anything_or_fails(query: str) -> None:
    assert not Signer("secret", 600).holds("/api/v1/frame/cam1.jpg", query, 0.0)


def test_a_link_opens_no_page() -> None:
    gate = access(host="0.0.0.0", token=TOKEN)
    query = Signer(TOKEN, 600).signed("/api/v1/status", 0.0).partition("?")[2]
    assert gate.denied(asked("/api/v1/status", query=query), 1.0) is not None


# --- one server on every address -----------------------------------------------------------------


def test_on_a_public_address_each_route_has_its_rule(
    agent: FakeAgent, public: Served, caplog: pytest.LogCaptureFixture
) -> None:
    assert not public.loopback
    overlay = Overlay("suture", "image/png", b"\x89PNG not really", 8, 8)
    agent.newest.on_explanation(explanation(frame(), (overlay,)))
    with client_of(public) as client:
        for path in OPEN:
            assert client.get(path).status_code == 200
        for path in CLOSED:
            answer = client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic")
        assert client.post("/machine", json={"state": "running"}).status_code == 401
        told = client.get("/", headers={"X-Pitwatch-Page": "1"})
        assert told.headers["www-authenticate"].startswith("Bearer"), "no dialogue once a second"
        assert client.get("/", auth=("anyone", TOKEN)).status_code == 200
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/v1/status", headers=bearer).status_code == 200
        assert client.post("/machine", json={"state": "running"}, headers=bearer).is_success
        picture = client.get(public.signed("/api/v1/cam/cam1/suture"))
        assert (picture.status_code, picture.content) == (200, overlay.data)
        assert client.get("/api/v1/cam/cam1/suture?until=1&signature=00").status_code == 401
    assert TOKEN not in caplog.text
    assert len(agent.machine) == 1


def test_on_loopback_a_link_is_the_plain_path(server: Served) -> None:
    assert server.signed("/api/v1/frame/cam1.jpg") == "/api/v1/frame/cam1.jpg"


def test_who_guesses_tokens_is_refused_and_keeps_nobody_of_that_address_out(
    agent: FakeAgent, public: Served
) -> None:
    overlay = Overlay("suture", "image/png", b"\x89PNG not really", 8, 8)
    agent.newest.on_explanation(explanation(frame(), (overlay,)))
    with client_of(public) as client:
        guesses = [client.get("/", auth=("x", f"wrong-{i}")) for i in range(int(GUESSES) + 10)]
        assert guesses[0].status_code == 401
        assert (guesses[-1].status_code, guesses[-1].headers["retry-after"]) == (429, "5")
        assert "www-authenticate" not in guesses[-1].headers
        for _ in range(3):
            assert client.get("/", auth=("x", TOKEN)).status_code == 200
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            assert client.get("/api/v1/status", headers=bearer).status_code == 200
            assert client.get(public.signed("/api/v1/cam/cam1/suture")).status_code == 200
        assert client.get("/").status_code == 401, "a browser is still asked for its password"
        assert client.get("/livez").status_code == 200
    wait_until(lambda: agent.telemetry.total("http_requests", status="429") >= 1)


@pytest.mark.long
def test_who_floods_without_a_token_keeps_nobody_with_one_out(serve: ServeAgent) -> None:
    server = serve(host="0.0.0.0", token=TOKEN, limits={"burst": 3, "requests_per_s": 1.0})
    with client_of(server) as client:
        answers = [client.get("/").status_code for _ in range(20)]
        assert 429 in answers
        right = [client.get("/api/v1/status", auth=("x", TOKEN)).status_code for _ in range(20)]
        assert set(right) == {200}
        link = server.signed("/api/v1/frame/cam1.jpg")
        assert {client.get(link).status_code for _ in range(20)} == {404}, "none yet, not refused"


def test_a_right_token_opens_probes_and_metrics_from_anywhere() -> None:
    gate = access(host="0.0.0.0", token=TOKEN)
    for path in OPEN:
        denied = gate.denied(asked(path, "8.8.8.8", authorization="Bearer wrong"), 0.0)
        assert denied is not None
        assert (denied.status, denied.guess) == (403, True)
        assert gate.denied(asked(path, "8.8.8.8", authorization=f"Bearer {TOKEN}"), 0.0) is None


def test_who_asks_from_the_servers_own_address_is_on_this_machine() -> None:
    gate = access(host="0.0.0.0", token=TOKEN, allow=["192.168.0.0/16"])
    assert gate.denied(replace(asked("/livez", "8.8.8.8"), own_address="8.8.8.8"), 0.0) is None
    denied = gate.denied(replace(asked("/livez", "8.8.8.9"), own_address="8.8.8.8"), 0.0)
    assert denied is not None


def test_a_token_beyond_ascii_opens_as_browsers_and_scripts_send_it() -> None:
    token = "schlüssel-des-werks"
    gate = access(host="0.0.0.0", token=token)
    basic = base64.b64encode(f"anna:{token}".encode()).decode()
    sent = token.encode().decode("latin-1")  # how a server reads the bytes of a header
    for header in (f"Basic {basic}", f"Bearer {sent}"):
        assert gate.denied(asked("/", authorization=header), 0.0) is None


# --- the rate ------------------------------------------------------------------------------------


def test_an_address_may_burst_and_then_keep_its_rate() -> None:
    buckets = AddressBuckets(100.0, 400.0)
    assert sum(buckets.take("a", 0.0) for _ in range(1000)) == 400
    assert buckets.take("b", 0.0), "another address has its own"
    assert sum(buckets.take("a", 1.0) for _ in range(1000)) == 100


def test_the_memory_of_addresses_is_bounded() -> None:
    buckets = AddressBuckets(100.0, 400.0)
    for i in range(5 * ADDRESSES_MAX):
        buckets.take(str(i), 0.0)
    assert len(buckets._buckets) == ADDRESSES_MAX


def test_the_rate_that_is_configured_is_in_force(serve: ServeAgent) -> None:
    server = serve(limits={"burst": 3, "requests_per_s": 1.0})
    with client_of(server) as client:
        answers = [client.get("/api/v1/status").status_code for _ in range(20)]
        assert answers[:3] == [200, 200, 200]
        assert 429 in answers
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("connections", 7), ("connections", 4097), ("connections", "many"), ("connections", 9.5),
        ("requests_per_s", 0), ("requests_per_s", -1), ("requests_per_s", "fast"),
        ("burst", 0), ("burst", 1.5), ("burst", 100_001), ("speed", 1),
    ],
)  # fmt: skip
def test_a_bad_limit_is_refused_with_its_key(key: str, value: object, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"http: {{limits: {{{key}: {value}}}}}\n")
    with pytest.raises(ConfigErrors, match=rf"http\.limits\.{key}"):
        load_config(file, environment={})


# --- TLS -----------------------------------------------------------------------------------------


def test_a_client_certificate_opens_the_page_and_a_strangers_does_not(
    serve: ServeAgent, tmp_path: Path
) -> None:
    authority, stranger = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    certificate, key = authority.issue("server")
    tls = {"certificate": certificate, "key": key, "client_ca": authority.certificate}
    server = serve(host="0.0.0.0", tls=tls)
    assert server.url.startswith("https://")

    def context(of: Authority | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(authority.certificate))
        made.check_hostname = False
        if of is not None:
            made.load_cert_chain(*map(str, of.issue("person")))
        return made

    with client_of(server, verify=context(None)) as client:
        assert client.get("/livez").status_code == 200
        answer = client.get("/")
        assert (answer.status_code, "client certificate" in answer.json()["error"]) == (403, True)
    with client_of(server, verify=context(authority)) as client:
        assert client.get("/").status_code == 200
    with client_of(server, verify=context(stranger)) as client, pytest.raises(httpx.HTTPError):
        client.get("/")


def test_a_key_that_does_not_fit_is_an_error_before_anything_starts(
    agent: FakeAgent, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, _ = authority.issue("one")
    _, key = authority.issue("another")
    with pytest.raises(HttpError, match=r"http\.tls: certificate, key and client_ca do not fit"):
        Listener(config.Http(port=0, tls={"certificate": certificate, "key": key}))
