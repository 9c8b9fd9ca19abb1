"""What refuses an agent, said before Ray is started."""

from __future__ import annotations

import pytest

from agent.ablation.pool.cluster.joining import JoinError, environment, join, other_version
from agent.ablation.pool.cluster.messages import DriverArgs
from tests.support import free_port

OURS = ("2.60.0", "3.11.7")


@pytest.mark.parametrize(
    ("ray", "python", "words"),
    [
        ("2.60.0", "3.11.7", None),
        ("2.60.0", "3.11.2", None),
        ("2.59.1", "3.11.7", "the cluster runs Ray 2.59.1, this agent has Ray 2.60.0"),
        ("2.60.0", "3.12.1", "the cluster runs Python 3.12.1, this agent Python 3.11.7"),
    ],
)
def test_versions_that_differ_are_both_named(ray: str, python: str, words: str | None) -> None:
    assert other_version({"ray_version": ray, "python_version": python}, *OURS) == words


def test_a_head_that_does_not_say_its_version_is_refused() -> None:
    assert "Ray ?" in str(other_version({}, *OURS))


def test_an_address_where_nobody_listens_is_named_and_may_be_tried_again() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(JoinError) as caught:
        join(DriverArgs(address, "a", 0, 1, 1.0, 10.0, "normal"))
    refused = caught.value.refused
    assert (refused.reason, refused.permanent) == ("Unreachable", False)
    assert refused.detail == f"{address}: Connection refused"


def test_token_and_tls_are_what_ray_reads_from_the_environment() -> None:
    plain = environment(None, None, None, None)
    assert plain["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not {name for name in plain if "AUTH" in name or "TLS" in name}
    safe = environment("/t", "/ca", "/crt", "/key")
    assert (safe["RAY_AUTH_MODE"], safe["RAY_AUTH_TOKEN_PATH"]) == ("token", "/t")
    assert safe["RAY_USE_TLS"] == "1"
    assert safe["RAY_TLS_CA_CERT"] == "/ca"
    assert (safe["RAY_TLS_SERVER_CERT"], safe["RAY_TLS_SERVER_KEY"]) == ("/crt", "/key")
