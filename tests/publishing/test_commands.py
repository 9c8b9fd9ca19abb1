"""Commands of operators: nothing acts outside its schema, and everybody is answered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.config import Commands
from agent.publishing.commands import (
    BURST,
    FIELDS,
    MESSAGE_LIMIT_BYTES,
    OPTIONAL,
    CommandReader,
    Moment,
)
from agent.publishing.connection.events import Received
from agent.publishing.schemas import COMMANDS, load_schema
from agent.records import Command, CommandOutcome
from agent.strict_json import read_object
from tests.publishing import examples
from tests.publishing.examples import BASE, STAMP
from tests.publishing.lexical import check_lexically
from tests.publishing.rig import Rig, running
from tests.support import wait_until
from tests.support.mosquitto import Observer, mosquitto

EVERYTHING = Commands(allow=tuple(FIELDS))
NOW = Moment(1000.0, STAMP)
VALID: dict[str, dict[str, Any]] = {
    "ack": {"alarm_id": "camera_lost-cam1", "event_id": "s1-4"},
    "comment": {"alarm_id": "camera_lost-cam1", "event_id": "s1-4", "text": "cable replaced"},
    "shelve": {"alarm_id": "camera_lost-cam1", "duration_s": 600},
    "unshelve": {"alarm_id": "camera_lost-cam1"},
    "disable": {"alarm_id": "camera_lost-cam1"},
    "enable": {"alarm_id": "camera_lost-cam1"},
    "explain": {"camera": "cam1"},
    "sampling": {"period_s": 5.0},
    "variety": {"variety": "Redhaven", "lot": ""},
}


def payload(name: str, **changes: Any) -> dict[str, Any]:
    common = {"command_id": "c-1", "issued_ms": STAMP, "user": "anna"}
    return common | VALID.get(name, {}) | changes


def judge(
    name: str,
    said: Any,
    settings: Commands = EVERYTHING,
    *,
    now: Moment = NOW,
    **received: Any,
) -> Command:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    event = Received(
        **{"topic": f"{BASE}/cmd/{name}", "payload": body, "retained": False, **received}
    )
    return CommandReader(settings, BASE).read(event, now)


def test_every_command_has_a_schema_and_the_other_way_round() -> None:
    assert set(COMMANDS) == set(FIELDS) == set(VALID)


@pytest.mark.parametrize("name", VALID)
def test_a_valid_command_passes_the_gate_and_its_schema(name: str) -> None:
    Draft202012Validator(load_schema(f"cmd_{name}")).validate(payload(name))
    command = judge(name, payload(name))
    assert command.refusal is None, command.detail
    assert dict(command.arguments) == VALID[name]
    assert (command.name, command.command_id, command.user) == (name, "c-1", "anna")


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_a_command_may_name_besides_is_in_its_schema_too(name: str) -> None:
    said = payload(name, event_id="s1-4")
    Draft202012Validator(load_schema(f"cmd_{name}")).validate(said)
    assert judge(name, said).arguments["event_id"] == "s1-4"
    assert judge(name, payload(name, event_id="")).refusal is CommandOutcome.INVALID
    assert judge("disable", payload("disable", event_id="s1-4")).refusal is CommandOutcome.INVALID


@pytest.mark.parametrize(
    ("said", "outcome", "named"),
    [
        (b"", CommandOutcome.INVALID, "JSON"),
        (b"[" * 4000, CommandOutcome.INVALID, "JSON"),
        (b"{" + b" " * 5000 + b"}", CommandOutcome.INVALID, "4096"),
        (b'{"user":"a","user":"b"}', CommandOutcome.INVALID, "key 'user' twice"),
        (payload("ack", issued_ms=float("nan")), CommandOutcome.INVALID, "issued_ms"),
        (json.dumps(payload("ack")).encode("utf-16"), CommandOutcome.INVALID, "UTF-16"),
        (payload("ack", surprise=1), CommandOutcome.INVALID, "surprise"),
        (payload("ack", user=""), CommandOutcome.INVALID, "user"),
        (payload("ack", user="a\nb"), CommandOutcome.INVALID, "user"),
        (payload("ack", event_id=None), CommandOutcome.INVALID, "event_id"),
        (payload("ack", issued_ms=True), CommandOutcome.INVALID, "issued_ms"),
        (payload("ack", issued_ms=STAMP - 61_000), CommandOutcome.EXPIRED, "61 s"),
        (payload("ack", issued_ms=STAMP + 61_000), CommandOutcome.INVALID, "ahead"),
        (payload("ack", issued_ms=STAMP // 1000), CommandOutcome.EXPIRED, "in seconds? millisec"),
        (payload("ack", issued_ms=STAMP * 1000), CommandOutcome.INVALID, "in microseconds? mill"),
    ],
)
def test_a_wrong_command_is_refused_and_told_why(
    said: Any, outcome: CommandOutcome, named: str
) -> None:
    command = judge("ack", said)
    assert command.refusal is outcome
    assert named in command.detail


@pytest.mark.parametrize(
    ("duration_s", "asked"),
    [(600_000, True), (86_400_000, True), (86_400_001, False), (-600_000, False), ("600", False)],
)
def test_milliseconds_for_seconds_are_asked_about(duration_s: object, asked: bool) -> None:
    command = judge("shelve", payload("shelve", duration_s=duration_s))
    assert command.refusal is CommandOutcome.INVALID
    assert "duration_s must be a number from 1 to 86400" in command.detail
    assert ("in milliseconds? seconds are meant" in command.detail) is asked


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(payload("shelve", duration_s=float("nan"))).encode(),
        json.dumps(payload("shelve", duration_s=float("inf"))).encode(),
        b"\xef\xbb\xbf" + json.dumps(payload("shelve")).encode(),
        json.dumps(payload("shelve")).encode("utf-16"),
        json.dumps(payload("shelve"))[:-1].encode() + b', "duration_s": 60}',
    ],
)
def test_the_answer_to_a_wrong_command_has_its_id_where_that_can_be_read(said: bytes) -> None:
    command = judge("shelve", said)
    assert command.refusal is CommandOutcome.INVALID
    assert (command.command_id, command.user) == ("c-1", "anna")


def test_an_id_that_stands_twice_is_no_id() -> None:
    said = json.dumps(payload("ack"))[:-1].encode() + b', "command_id": "c-2"}'
    assert judge("ack", said).command_id == ""


def test_retained_commands_do_not_use_up_the_rate_of_the_others() -> None:
    reader = CommandReader(EVERYTHING, BASE)
    body = json.dumps(payload("ack")).encode()
    stored = Received(f"{BASE}/cmd/ack", body, True)
    for _ in range(BURST + 10):
        assert reader.read(stored, NOW).refusal is CommandOutcome.RETAINED
    assert reader.read(Received(f"{BASE}/cmd/ack", body, False), NOW).refusal is None


def test_a_retained_command_is_refused() -> None:
    assert judge("ack", payload("ack"), retained=True).refusal is CommandOutcome.RETAINED


def test_a_command_that_does_not_exist_is_refused() -> None:
    command = judge("self-destruct", payload("ack"))
    assert (command.name, command.refusal) == ("other", CommandOutcome.INVALID)


def test_what_changes_sampling_or_takes_alarms_out_of_service_is_off_by_default() -> None:
    outcomes = {name: judge(name, payload(name), Commands()).refusal for name in VALID}
    refused = {name for name, refusal in outcomes.items() if refusal is CommandOutcome.NOT_ALLOWED}
    assert refused == {"sampling", "disable", "enable"}
    assert all(outcomes[name] is None for name in set(VALID) - refused)


def test_a_flood_is_limited_and_recovers() -> None:
    reader = CommandReader(EVERYTHING, BASE)
    event = Received(f"{BASE}/cmd/ack", json.dumps(payload("ack")).encode(), False)
    outcomes = [reader.read(event, NOW).refusal for _ in range(BURST + 10)]
    assert outcomes.count(CommandOutcome.RATE_LIMITED) == 10
    assert reader.read(event, Moment(NOW.mono + 1, NOW.utc_ms)).refusal is None


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("scada/answers/7", "scada/answers/7"),
        ("", ""),
        ("a/+/b", ""),
        ("#", ""),
        (f"{BASE}/status", ""),
        (BASE, ""),
        ("$SYS/x", ""),
        ("spBv1.0/g/NDATA/n", ""),
        ("x" * 201, ""),
    ],
)
def test_an_answer_goes_where_it_was_asked_for_but_never_among_the_agent_s_own_topics(
    asked: str, used: str
) -> None:
    assert judge("ack", payload("ack"), response_topic=asked).response_topic == used


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = sorted(
    {key for fields in VALID.values() for key in fields} | {"command_id", "issued_ms", "user"}
)


@st.composite
def nearly_valid(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid command with something put in, taken out or replaced."""
    name = draw(st.sampled_from(sorted(VALID)))
    said = payload(name, issued_ms=draw(st.integers(STAMP - 59_000, STAMP + 59_000)))
    for _ in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(KEYS) | st.text(max_size=8))
        if draw(st.booleans()):
            said[key] = draw(JSON)
        else:
            said.pop(key, None)
    return name, json.dumps(said).encode()


@pytest.mark.long
@given(
    st.tuples(
        st.sampled_from([*VALID, "result", "x"]) | st.text(max_size=10), st.binary(max_size=200)
    )
    | st.tuples(st.sampled_from(sorted(VALID)), JSON.map(lambda v: json.dumps(v).encode()))
    | nearly_valid()
)
@hypothesis_settings(max_examples=400)
def test_whatever_arrives_never_crashes_and_what_passes_is_within_its_schema(
    sent: tuple[str, bytes],
) -> None:
    name, body = sent
    command = judge(name, body)
    if command.refusal is None:
        said = json.loads(body)
        Draft202012Validator(load_schema(f"cmd_{name}")).validate(said)
        assert set(command.arguments) == set(VALID[name])
    elif name in VALID and command.refusal is CommandOutcome.INVALID:
        said = read_object(body, MESSAGE_LIMIT_BYTES)
        schema = Draft202012Validator(load_schema(f"cmd_{name}"))
        valid = not said.wrong and schema.is_valid(dict(said.values))
        unprintable = "printable" in command.detail  # a schema of JSON cannot say this
        assert not valid or unprintable or "ahead" in command.detail, command.detail


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("version", [5, 4])
def test_an_answer_comes_on_the_response_topic_with_its_correlation(
    tmp_path: Path, version: int
) -> None:
    protocol = "5" if version == 5 else "3.1.1"
    with (
        mosquitto(tmp_path) as broker,
        Observer(broker.port, version=version) as scada,
        running(broker.url, protocol=protocol) as rig,
    ):
        wait_until(lambda: "/cmd/+" in broker.log, 10, "its subscription")
        said = payload("ack", issued_ms=time.time_ns() // 1_000_000)
        properties = None
        if version == 5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = "scada/answers"
            properties.CorrelationData = b"\x01\x02"
        scada.client.publish(f"{BASE}/cmd/ack", json.dumps(said), qos=1, properties=properties)
        wait_until(lambda: rig.commands, 10, "the command")
        (command,) = rig.commands
        assert command.refusal is None
        assert command.correlation == (b"\x01\x02" if version == 5 else b"")
        rig.publisher.answer(command, CommandOutcome.DONE, "")
        topic = "scada/answers" if version == 5 else f"{BASE}/cmd/result"
        answer = check_lexically(scada.wait(topic)[-1].payload)
        Draft202012Validator(load_schema("cmd_result")).validate(answer)
        assert (answer["command_id"], answer["outcome"]) == ("c-1", "done")
        assert len(rig.commands) == 1  # its own answer is no command
        assert rig.books.total("commands", "ack", "done") == 1


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_what_somebody_retained_below_cmd_is_never_carried_out_nor_judged_at_each_connect(
    tmp_path: Path, protocol: str
) -> None:
    """Under MQTT 5 it is not asked for; under 3.1.1 it is refused once a start."""
    file = tmp_path / "kept.db"
    keeps = (
        f"persistence true\npersistence_location {tmp_path}/\npersistence_file {file.name}\n"
        "autosave_interval 1\nautosave_on_changes true"
    )
    with mosquitto(tmp_path, keeps) as broker, Observer(broker.port) as scada:
        said = payload("ack", issued_ms=time.time_ns() // 1_000_000)
        scada.client.publish(f"{BASE}/cmd/ack", json.dumps(said), qos=1, retain=True)
        wait_until(lambda: file.exists() and b"c-1" in file.read_bytes(), 10, "it is stored")
        with running(broker.url, protocol=protocol) as rig:
            ask(scada, rig, "c-live-1")
            broker.kill()
            broker.start()
            rig.wait_count(2, "broker_connects", "connected")
            rig.wait_online()
            ask(scada, rig, "c-live-2")
            refused = [c for c in rig.commands if c.refusal is CommandOutcome.RETAINED]
            assert [c.command_id for c in refused] == ([] if protocol == "5" else ["c-1"])


def ask(scada: Observer, rig: Rig, command_id: str) -> None:
    """Send a command until it has come, and with it all that the broker sent before."""

    def arrived() -> bool:
        said = payload("ack", command_id=command_id, issued_ms=time.time_ns() // 1_000_000)
        scada.client.publish(f"{BASE}/cmd/ack", json.dumps(said), qos=1)
        return any(command.command_id == command_id for command in list(rig.commands))

    wait_until(arrived, 15, f"command {command_id}")


def test_an_example_of_a_command_is_one_that_the_gate_makes() -> None:
    made = judge("ack", payload("ack", command_id="7f3c", event_id="event-1"))
    assert made == examples.command()
