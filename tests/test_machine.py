"""What the machine may say, and how a wrong word is refused."""

from __future__ import annotations

import json

import pytest

from agent.machine import MESSAGE_LIMIT_BYTES, MachineMessageError, parse_machine
from agent.records import MachineInfo, MachineState


def test_a_full_message_becomes_the_state_it_says() -> None:
    payload = json.dumps(
        {
            "state": "change-over",
            "fruit_id": 4711,
            "encoder": 12,
            "variety": "Redhaven",
            "lot": "L-7",
            "timestamp_ms": 1,
        }
    ).encode()
    assert parse_machine(payload, 99) == MachineInfo(
        MachineState.CHANGE_OVER, "4711", 12, "Redhaven", "L-7", 99
    )


def test_each_message_is_the_whole_state() -> None:
    assert parse_machine(b'{"state": "running", "lot": null}', 5) == MachineInfo(
        MachineState.RUNNING, received_utc_ms=5
    )


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"", "not JSON"),
        (b"running", "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[" * 4000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "state is missing"),
        (b'{"state": "runing"}', "allowed are unknown, running, stopped"),
        (b'{"state": ["running"]}', "state is"),
        (b'{"state": {"a": 1}}', "state is"),
        (b'{"state": "running", "fruitid": 1}', "unknown key 'fruitid'"),
        (b'{"state": "running", "fruit_id": ""}', "fruit_id must be"),
        (b'{"state": "running", "fruit_id": true}', "fruit_id must be"),
        (b'{"state": "running", "lot": "a\\nb"}', "lot must be"),
        (b'{"state": "running", "variety": 3}', "variety must be"),
        (b'{"state": "running", "encoder": -1}', "encoder must be"),
        (b'{"state": "running", "encoder": 1.5}', "encoder must be"),
        (b'{"state": "running", "encoder": true}', "encoder must be"),
        (b'{"state": "running", "encoder": 99999999999999999999}', "encoder must be"),
        (b" " * (MESSAGE_LIMIT_BYTES + 1), "longer than"),
    ],
)
def test_a_wrong_message_is_refused_with_the_key_and_what_is_allowed(
    payload: bytes, named: str
) -> None:
    with pytest.raises(MachineMessageError, match=named.replace("[", r"\[")):
        parse_machine(payload, 0)
