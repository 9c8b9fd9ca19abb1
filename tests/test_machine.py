"""What the machine may say, and how a wrong word is refused."""

from __future__ import annotations

import json

import pytest

from agent.machine import MESSAGE_LIMIT_BYTES, MachineMessageError, parse_machine
from agent.records import MachineInfo, MachineState, Origin


def test_a_full_message_becomes_the_state_it_says() -> None:
    payload = json.dumps(
        {
            "state": "change-over",
            "fruit_id": 4711,
            "encoder": 12,
            "variety": "Redhaven",
            "lot": "L-7",
            "timestamp_ms": 1_760_000_000_000.0,
            "lane": "left",
        }
    ).encode()
    assert parse_machine(payload, 99, 7.5, stored=True) == MachineInfo(
        MachineState.CHANGE_OVER,
        "4711",
        12,
        "Redhaven",
        "L-7",
        received_utc_ms=99,
        machine_timestamp_ms=1_760_000_000_000,
        arrived_mono=7.5,
        lane="left",
        origin=Origin.STORED,
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
        (b'{"state": ["running"], "lot": true, "timestamp_ms": 5}', "state is"),
        (b'{"state": "running", "lot": "A", "lot": "B"}', "key 'lot' twice"),
        (b'\xef\xbb\xbf{"state": "running"}', "byte order mark"),
        ('{"state": "running"}'.encode("utf-16"), "UTF-16"),
        (b'{"state": "running", "fruitid": 1}', "unknown key 'fruitid'"),
        (b'{"state": "running", "lane": 3}', "lane must be"),
        (b'{"state": "running", "lane": ""}', "lane must be"),
        (b" " * (MESSAGE_LIMIT_BYTES + 1), "longer than"),
    ],
)
def test_a_wrong_message_is_refused_with_the_key_and_what_is_allowed(
    payload: bytes, named: str
) -> None:
    with pytest.raises(MachineMessageError, match=named.replace("[", r"\[")):
        parse_machine(payload, 0)


def test_whole_numbers_may_come_as_floats_wherever_a_number_may_stand() -> None:
    said = b'{"state": "running", "fruit_id": 4711.0, "encoder": 12.0, "lot": 7.0}'
    info = parse_machine(said, 0)
    assert (info.fruit_id, info.encoder, info.lot, info.left_out) == ("4711", 12, "7", ())


@pytest.mark.parametrize("said", ['"runing"', '["running"]', '{"a": 1}', "NaN", "3"])
def test_a_state_that_does_not_exist_is_unknown_and_costs_no_fruit_its_id(said: str) -> None:
    info = parse_machine(f'{{"state": {said}, "fruit_id": "F1", "lot": "L"}}'.encode(), 0)
    assert (info.state, info.fruit_id, info.lot) == (MachineState.UNKNOWN, "F1", "L")
    (words,) = info.left_out
    assert "state is" in words
    assert "allowed are unknown, running, stopped" in words


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fruit_id", '""'),
        ("fruit_id", "1.5"),
        ("fruit_id", "1e300"),
        ("lot", "NaN"),
        ("encoder", "9" * 5000),
        ("fruit_id", "true"),
        ("fruit_id", f'"{"7" * 10_240}"'),
        ("fruit_id", '["F1"]'),
        ("lot", '"a\\nb"'),
        ("variety", "3"),
        ("encoder", "-1"),
        ("encoder", "1.5"),
        ("encoder", "true"),
        ("encoder", "NaN"),
        ("encoder", "1e400"),
        ("encoder", "99999999999999999999"),
        ("timestamp_ms", "NaN"),
        ("timestamp_ms", "-Infinity"),
        ("timestamp_ms", "-1"),
        ("timestamp_ms", '"now"'),
        ("timestamp_ms", "253402300800000"),
    ],
)
def test_a_value_that_cannot_be_used_costs_its_key_and_nothing_else(key: str, value: str) -> None:
    rest = {"fruit_id": '"F1"', "encoder": "7", "lot": '"L"', "timestamp_ms": "5"} | {key: value}
    pairs = ", ".join(f'"{name}": {text}' for name, text in rest.items())
    info = parse_machine(f'{{"state": "running", {pairs}}}'.encode(), 0)
    found = {
        "fruit_id": info.fruit_id,
        "encoder": info.encoder,
        "lot": info.lot,
        "timestamp_ms": info.machine_timestamp_ms or None,
        "variety": info.variety,
    }
    good = {"fruit_id": "F1", "encoder": 7, "lot": "L", "timestamp_ms": 5, "variety": None}
    assert found == good | {key: None}
    assert [words.split()[0] for words in info.left_out] == [key]
