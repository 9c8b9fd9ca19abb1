"""Who asks, where proxies stand between: the nearest address that no trusted proxy has."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from agent.config.problems import ConfigErrors
from agent.observability.http.forwarded import Origin, TrustedProxies
from agent.observability.http.limits import GUESSES
from agent.preflight import load_config
from tests.observability.conftest import ServeAgent
from tests.observability.support import TRUST

TOKEN = "a-token-of-the-plant"
TRUSTED = TrustedProxies(["127.0.0.1", "10.0.0.0/24", "fd00::/64"])


def origin(peer: str, *headers: str, proto: str = "") -> Origin:
    return TRUSTED.origin(peer, headers, [proto] if proto else [])


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["192.168.1.7"], "192.168.1.7"),
        ("8.8.8.8", ["192.168.1.7"], "8.8.8.8"),  # nobody whose word counts
        ("127.0.0.1", ["1.1.1.1, 192.168.1.7"], "192.168.1.7"),  # the client wrote the first
        ("127.0.0.1", ["192.168.1.7, 10.0.0.5"], "192.168.1.7"),  # two proxies
        ("127.0.0.1", ["192.168.1.7", "10.0.0.5"], "192.168.1.7"),  # in two headers
        ("127.0.0.1", ["10.0.0.8, 10.0.0.5"], "10.0.0.8"),  # nobody but proxies
        ("127.0.0.1", ["192.168.1.7, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["192.168.1.7, unknown, 10.0.0.5"], "10.0.0.5"),
        ("127.0.0.1", ["192.168.1.7, "], "127.0.0.1"),
        ("127.0.0.1", ["192.168.1.7:50112"], "192.168.1.7"),
        ("127.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:10.0.0.5", ["::ffff:192.168.1.7"], "192.168.1.7"),
        ("fd00::5", ["2001:db8::1"], "2001:db8::1"),
        ("", ["192.168.1.7"], ""),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_proxy(
    peer: str, headers: list[str], address: str
) -> None:
    assert origin(peer, *headers).address == address


@pytest.mark.parametrize(
    ("peer", "proto", "scheme"),
    [("127.0.0.1", "https", "https"), ("127.0.0.1", "http, HTTPS", "https"),
     ("127.0.0.1", "gopher", ""), ("127.0.0.1", "", ""), ("8.8.8.8", "https", "")],
)  # fmt: skip
def test_the_scheme_is_that_of_a_trusted_proxy(peer: str, proto: str, scheme: str) -> None:
    assert origin(peer, "192.168.1.7", proto=proto).scheme == scheme


def test_without_proxies_nobody_may_say_who_he_is() -> None:
    assert TrustedProxies([]).origin("127.0.0.1", ["1.1.1.1"], ["https"]) == Origin("127.0.0.1")


def test_each_client_behind_a_trusted_proxy_is_judged_for_itself(serve: ServeAgent) -> None:
    server = serve(host="0.0.0.0", token=TOKEN, trusted_proxies=["127.0.0.1"])
    url = f"http://127.0.0.1:{server.port}"
    with httpx.Client(base_url=url, trust_env=False, verify=TRUST) as client:

        def asked(path: str, address: str, token: str = "wrong") -> int:
            headers = {"X-Forwarded-For": address, "Authorization": f"Bearer {token}"}
            return client.get(path, headers=headers).status_code

        guesses = [asked("/", "192.168.1.7") for _ in range(int(GUESSES) + 5)]
        assert (guesses[0], guesses[-1]) == (401, 429)
        assert asked("/", "192.168.1.8") == 401, "another client has guesses of its own"
        assert asked("/", "192.168.1.7", TOKEN) == 200
        assert asked("/metrics", "192.168.1.7") == 200
        assert asked("/metrics", "8.8.8.8") == 403, "not in http.allow"
        assert asked("/metrics", "8.8.8.8", TOKEN) == 200


def test_a_proxy_that_is_not_trusted_names_nobody(serve: ServeAgent) -> None:
    server = serve(host="0.0.0.0", token=TOKEN)
    headers = {"X-Forwarded-For": "8.8.8.8"}
    url = f"http://127.0.0.1:{server.port}/metrics"
    assert httpx.get(url, headers=headers, trust_env=False, verify=TRUST).status_code == 200


@pytest.mark.parametrize(
    ("value", "place"),
    [('["10.0.0.0/40"]', r"trusted_proxies\[0\]"),
     ('["10.0.0.1", "proxy"]', r"trusted_proxies\[1\]"),
     ('["0.0.0.0/0"]', r"trusted_proxies\[0\]"), ('["::/0"]', r"trusted_proxies\[0\]"),
     ("10.0.0.1", "trusted_proxies"), ("true", "trusted_proxies"), ("[7]", r"trusted_proxies")],
)  # fmt: skip
def test_what_is_no_network_of_proxies_is_refused_with_its_place(
    value: str, place: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"http: {{trusted_proxies: {value}}}\n")
    with pytest.raises(ConfigErrors, match=rf"http\.{place}"):
        load_config(file, environment={})
