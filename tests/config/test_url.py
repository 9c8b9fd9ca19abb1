"""Addresses: what is understood, what is refused, and what is masked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.url import check_stream, has_credentials, parse_broker, parse_host_port
from agent.redaction import mask_url


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://admin:hunter2@10.0.0.9/h264", "rtsp://***@10.0.0.9/h264"),
        ("mqtt://user@host:1883", "mqtt://***@host:1883"),
        ("rtsp://a:p@ss/w@rd@cam/1", "rtsp://***@cam/1"),
        ("http://cam/?user=x&password=hunter2&n=1", "http://cam/?user=x&password=***&n=1"),
        ("http://cam/?TOKEN=abc", "http://cam/?TOKEN=***"),
        ("sim:?rate=280&seed=3", "sim:?rate=280&seed=3"),
        ("/data/a@b/c", "/data/a@b/c"),
        ("mqtt://host:1883", "mqtt://host:1883"),
        ("", ""),
    ],
)
def test_credentials_are_masked_and_nothing_else(text: str, masked: str) -> None:
    assert mask_url(text) == masked
    assert has_credentials(text) == (text != masked)


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=20))
def test_no_password_survives_masking(password: str) -> None:
    assert mask_url(f"rtsp://user:{password}@camera/live") == "rtsp://***@camera/live"


@pytest.mark.parametrize(
    ("text", "host", "port", "tls"),
    [
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtt://10.0.0.1:2883/", "10.0.0.1", 2883, False),
        ("mqtts://[::1]:8884", "::1", 8884, True),
    ],
)
def test_a_broker_has_a_host_a_port_and_perhaps_tls(
    text: str, host: str, port: int, tls: bool
) -> None:
    address = parse_broker(text)
    assert (address.kind, address.host, address.port, address.tls) == ("network", host, port, tls)


def test_user_and_password_may_be_escaped() -> None:
    address = parse_broker("mqtt://plant%40acme:p%2Fw%23@broker")
    assert (address.username, address.password) == ("plant@acme", "p/w#")
    assert "p/w#" not in repr(address)


def test_two_words_are_brokers_as_well() -> None:
    assert [parse_broker(word).kind for word in ("embedded", "none")] == ["embedded", "none"]


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost", "localhost:1883", "tcp://h", "http://h", "mqtt://", "mqtt://:1883",
        "mqtt://h:x", "mqtt://h:70000", "mqtt://h:-1", "mqtt://h/path", "mqtt://h?x=1", "mqtt://[::1",
        "mqtt://u:p/w@h", "mqtt://h h", "Embedded",
    ],
)  # fmt: skip
def test_what_is_no_broker_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|is"):
        parse_broker(text)


@pytest.mark.parametrize("scheme", ["tcp", "mqtt"])
def test_an_error_does_not_repeat_the_password(scheme: str) -> None:
    with pytest.raises(ValueError, match="has") as caught:
        parse_broker(f"{scheme}://user:hunter2@h/x")
    assert "hunter2" not in str(caught.value)


def test_a_listening_address_is_host_and_port() -> None:
    assert parse_host_port("0.0.0.0:9464") == ("0.0.0.0", 9464)
    assert parse_host_port("[::1]:0") == ("::1", 0)


@pytest.mark.parametrize("text", ["", "9464", "host", ":9464", "h:", "h:x", "http://h:1", "u@h:1"])
def test_what_is_no_listening_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|is"):
        parse_host_port(text)


@pytest.mark.parametrize(("sign", "code"), [("#", "%23"), ("/", "%2F"), ("?", "%3F")])
def test_a_raw_sign_in_a_password_is_answered_with_how_to_write_it(sign: str, code: str) -> None:
    with pytest.raises(ValueError, match=f"written as {code}") as caught:
        check_stream(f"rtsp://joe:hun{sign}ter2@camera:8554/live")
    assert "hun" not in str(caught.value)
    with pytest.raises(ValueError, match=f"written as {code}"):
        check_stream(f"rtsp://joe:{sign}hunter2@camera/live")
    check_stream(f"rtsp://joe:hun{code}ter2@camera:8554/live")


@pytest.mark.parametrize(
    "text",
    ["rtsp://camera:554/user@1/live", "rtsp://camera/live?user=a@b", "rtsp://u:p@camera/live#a@b"],
)
def test_an_at_sign_behind_the_host_is_no_password(text: str) -> None:
    check_stream(text)


@pytest.mark.parametrize("text", ["rtsp://", "rtsp://h:x/1", "rtsp://h:99999/1", "rtsp://[x/1"])
def test_a_stream_without_a_usable_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|is"):
        check_stream(text)


def test_a_stream_may_have_credentials_and_a_port() -> None:
    check_stream("rtsp://u:p@camera:8554/live")
