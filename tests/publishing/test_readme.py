"""The messages in the stage's README are what the agent sends."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import agent.publishing
from agent.config import Commands
from agent.machine import parse_machine
from agent.publishing.commands import FIELDS, CommandReader, Moment, parse
from agent.publishing.connection.events import Received
from agent.publishing.schemas import load_schema
from agent.publishing.wire.composer import Composer
from agent.publishing.wire.deadband import Sample
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.lexical import check_lexically
from tests.support.documentation import commands_in

README = (Path(agent.publishing.__file__).parent / "README.md").read_text()
EXAMPLES = dict(re.findall(r"`B/([\w/-]+)`[^`]*```json\n(.*?)\n```", README, re.DOTALL))
COMPOSER = Composer(examples.settings())
MADE = {
    "status": ("status", COMPOSER.status(
        "running", "", online=True, uptime_s=1.0, last_frame_ms=1)),
    "meta": ("meta", COMPOSER.meta(0.0)),
    "metric/cam1/fps": (
        "metric", COMPOSER.metric("cam1", "fps", Sample(1.0, Quality.GOOD, 1), 0.0)),
    "fruit/cam1": ("fruit", COMPOSER.fruit(examples.fruit(), "cam1", 0.0)),
    "explanation/cam1": ("explanation", COMPOSER.explanation(examples.explanation(), 0.0)),
    "cam/cam1/suture/meta": (
        "cam_meta", COMPOSER.cam(examples.explanation(), examples.overlay(), 0.0)),
    "alarm/camera_lost-cam1": ("alarm", COMPOSER.alarm(examples.alarm(), None, 0.0)[1]),
    "cmd/result": ("cmd_result", COMPOSER.command_result(examples.command(), "done", "", 0.0)),
    "event/alarm": ("event_alarm", COMPOSER.alarm(examples.alarm(), None, 0.0)[0]),
}  # fmt: skip


@pytest.mark.parametrize("topic", MADE)
def test_each_example_is_valid_and_has_the_keys_that_are_sent(topic: str) -> None:
    schema, entry = MADE[topic]
    said = check_lexically(EXAMPLES[topic].replace("\n", "").encode())
    Draft202012Validator(load_schema(schema)).validate(said)
    assert entry.messages[-1].topic == f"{examples.BASE}/{topic}"
    assert list(said) == list(check_lexically(entry.messages[-1].payload))


def test_the_example_of_the_machine_is_accepted() -> None:
    said = EXAMPLES["machine"]
    Draft202012Validator(load_schema("machine")).validate(check_lexically(said.encode()))
    assert parse_machine(said.encode(), 1).fruit_id == "4711"


def test_the_example_of_a_command_is_accepted() -> None:
    said = EXAMPLES["cmd/ack"].replace("\n", "").encode()
    Draft202012Validator(load_schema("cmd_ack")).validate(check_lexically(said))
    assert parse("ack", said)[1] == ""


def test_the_line_that_is_ready_for_each_command_passes_the_reader_of_commands() -> None:
    """As the shell makes it of the page: what would be published, and what becomes of it."""
    lines = [one for one in commands_in(README) if one.startswith("mosquitto_pub ")]
    script = 'mosquitto_pub() { printf \'%s\\t%s\\n\' "$6" "$8"; }\n' + "\n".join(lines)
    said = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    published = [one.partition("\t") for one in said.stdout.splitlines()]
    assert sorted(topic.rpartition("/")[2] for topic, _, _ in published) == sorted(FIELDS)
    reader = CommandReader(Commands(allow=tuple(FIELDS)), examples.BASE)
    now = Moment(1.0, time.time_ns() // 1_000_000)
    ids = set()
    for topic, _, payload in published:
        name = topic.rpartition("/")[2]
        assert topic in reader.topics
        schema = Draft202012Validator(load_schema(f"cmd_{name}"))
        schema.validate(check_lexically(payload.encode()))
        command = reader.read(Received(topic, payload.encode(), retained=False), now)
        assert command.refusal is None, command.detail
        ids.add(command.command_id)
    assert len(ids) == len(FIELDS)


def test_every_topic_of_the_table_is_in_the_readme() -> None:
    assert set(EXAMPLES) == {*MADE, "machine", "cmd/ack"}
