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
from agent.publishing.commands import BURST, FIELDS, OPTIONAL, CommandReader, Moment
from agent.publishing.connection.events import Received
from agent.publishing.schemas import COMMANDS, load_schema
from agent.records import Command, CommandOutcome
from tests.publishing import examples
from tests.publishing.examples import BASE, STAMP
from tests.publishing.lexical import check_lexically
from tests.publishing.rig import running
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
        (b'{"user":"a","user":"b"}', CommandOutcome.INVALID, "JSON"),
        (payload("ack", surprise=1), CommandOutcome.INVALID, "surprise"),
        (payload("ack", user=""), CommandOutcome.INVALID, "user"),
        (payload("ack", user="a\nb"), CommandOutcome.INVALID, "user"),
        (payload("ack", event_id=None), CommandOutcome.INVALID, "event_id"),
        (payload("ack", issued_ms=True), CommandOutcome.INVALID, "issued_ms"),
        (payload("ack", issued_ms=STAMP - 61_000), CommandOutcome.EXPIRED, "61 s"),
        (payload("ack", issued_ms=STAMP + 61_000), CommandOutcome.INVALID, "ahead"),
    ],
)
def test_a_wrong_command_is_refused_and_told_why(
    said: Any, outcome: CommandOutcome, named: str
) -> None:
    command = judge("ack", said)
    assert command.refusal is outcome
    assert named in command.detail


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
        try:
            valid = Draft202012Validator(load_schema(f"cmd_{name}")).is_valid(json.loads(body))
        except ValueError:
            valid = False
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
def test_a_command_that_somebody_retained_is_refused_at_every_connect(
    tmp_path: Path, protocol: str
) -> None:
    with mosquitto(tmp_path) as broker, Observer(broker.port) as scada:
        said = payload("ack", issued_ms=time.time_ns() // 1_000_000)
        scada.client.publish(f"{BASE}/cmd/ack", json.dumps(said), qos=1, retain=True)
        scada.wait("cmd/ack")
        with running(broker.url, protocol=protocol) as rig:
            wait_until(lambda: rig.commands, 10, "the command")
            assert rig.commands[0].refusal is CommandOutcome.RETAINED


def test_an_example_of_a_command_is_one_that_the_gate_makes() -> None:
    made = judge("ack", payload("ack", command_id="7f3c", event_id="event-1"))
    assert made == examples.command()
