"""Datagrams of GigE Vision: what is sent, and what of that which comes is an answer."""

from __future__ import annotations

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.sources.genicam.gige import gvcp, lookup


def discovery(serial: bytes = b"40012345", user: bytes = b"lane1") -> bytes:
    payload = bytearray(0xF8)
    payload[0x0A:0x10] = bytes.fromhex("00305312ab34")
    payload[0x24:0x28] = bytes((10, 0, 0, 21))
    for begin, text in ((0x48, b"Maker"), (0x68, b"Model 5"), (0x88, b"1.2")):
        payload[begin : begin + len(text)] = text
    payload[0xD8 : 0xD8 + len(serial)] = serial
    payload[0xE8 : 0xE8 + len(user)] = user
    return bytes(payload)


def acknowledged(kind: int, number: int, payload: bytes, status: int = 0) -> bytes:
    return struct.pack(">HHHH", status, kind, len(payload), number) + payload


def test_a_request_says_what_it_is_and_asks_for_an_answer() -> None:
    asked = gvcp.request(gvcp.READ_REGISTER, 7, struct.pack(">I", gvcp.CONTROL_PRIVILEGE))
    assert asked == bytes.fromhex("42010080 0004 0007 00000a00")
    assert gvcp.request(gvcp.DISCOVERY, 1, broadcast=True) == bytes.fromhex("4211000200000001")


def test_a_camera_is_read_out_of_its_answer() -> None:
    found = gvcp.parse_found(discovery())
    assert found == gvcp.Found(
        "10.0.0.21", "00:30:53:12:ab:34", "Maker", "Model 5", "1.2", "40012345", "lane1"
    )
    # A name may fill its field without a zero at the end; what is no text must not break a line.
    odd = gvcp.parse_found(discovery(b"S" * 16, b"\xffa\nb\0rest"))
    assert odd is not None
    assert (odd.serial, odd.user_name) == ("S" * 16, "\ufffdab")
    assert gvcp.parse_found(discovery()[:-1]) is None


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"\0" * 7,
        acknowledged(0x0003, 2, b"\0" * 4),
        acknowledged(0x0081, 1, b"\0" * 4),
        acknowledged(0x0003, 1, b"\0" * 4, status=0x8006),
        acknowledged(0x0003, 1, b"\0" * 4)[:-1],
    ],
    ids=["nothing", "cut", "to another", "of another kind", "refused", "shorter than it says"],
)
def test_what_is_no_answer_to_the_question_is_none(datagram: bytes) -> None:
    assert gvcp.answer(datagram, gvcp.DISCOVERY, 1) is None
    good = acknowledged(0x0003, 1, b"\1" * 4)
    assert gvcp.answer(good, gvcp.DISCOVERY, 1) == b"\1" * 4


@given(st.binary(max_size=600))
def test_any_datagram_is_survived(datagram: bytes) -> None:
    payload = gvcp.answer(datagram, gvcp.DISCOVERY, 1)
    if payload is not None:
        gvcp.parse_found(payload)


def test_a_camera_that_answers_late_to_a_question_asked_again_is_heard() -> None:
    """The first answer is dropped, a stranger's word comes between."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
        try:
            camera.bind(("127.0.0.77", gvcp.PORT))
        except OSError as error:
            pytest.skip(f"the port of cameras is taken here: {error}")
        camera.settimeout(20)

        def answers() -> None:
            camera.recvfrom(100)
            _, client = camera.recvfrom(100)
            camera.sendto(b"who is there?", client)
            camera.sendto(acknowledged(0x0081, 2, b"\0\0\0\2"), client)

        thread = threading.Thread(target=answers)
        thread.start()
        assert gvcp.read_register("127.0.0.77", gvcp.CONTROL_PRIVILEGE) == 2
        thread.join()


@pytest.mark.parametrize(
    ("privilege", "owner", "said"),
    [
        (0, None, ""),
        (None, None, ""),
        (2, 0x0A000009, "controlled by 10.0.0.9"),
        (2, 0, "another client controls it, and the camera does not say which"),
        (1, None, "another client controls it, and the camera does not say which"),
    ],
)
def test_by_whom_a_camera_is_controlled_is_said_where_it_says_it(
    monkeypatch: pytest.MonkeyPatch, privilege: int | None, owner: int | None, said: str
) -> None:
    told = {gvcp.CONTROL_PRIVILEGE: privilege, gvcp.PRIMARY_ADDRESS: owner}
    monkeypatch.setattr(gvcp, "read_register", lambda _, register: told[register])
    assert lookup.refusal("10.0.0.21") == said


def test_an_address_where_nothing_listens_gives_no_camera() -> None:
    assert gvcp.ask("127.0.0.78", answer_s=0.02) is None
