"""The table of faults is whole and true: what it names exists, and what exists is named in it."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
import yaml
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.alarms.catalogue import Cause
from agent.observability.catalogue_table import exported_name
from agent.publishing.connection.packets import label
from agent.scoring.protocol import PROTOCOL, SHORTCUT, Kind, load_protocol
from agent.simulator.faults import FAULTS
from agent.telemetry import BY_NAME, CATALOGUE
from agent.training.faulty import MODEL_FAULTS
from tests.soak.faults import Fault, FaultTableError, Named, read_faults

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
OF_THE_PROTOCOL = {
    label(ReasonCode(PacketTypes.PUBACK, name)) for name in ("Not authorized", "Quota exceeded")
}
TABLE = read_faults()


@pytest.fixture(scope="module")
def words() -> frozenset[str]:
    """Every text, number, class and field that stands in the agent's code: what a label may say."""
    found: set[str] = set()
    for file in (ROOT / "agent").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | int):
                found.add(str(node.value))
            elif isinstance(node, ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return frozenset(found | OF_THE_PROTOCOL)


@functools.cache
def names_in(file: str) -> frozenset[str]:
    """What a file of tests defines: functions, classes and tables."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {node.name for node in tree.body if isinstance(node, defined)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return frozenset(names)


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alerts() -> set[str]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def answers() -> set[Cause]:
    return {cause for one in TABLE.faults for cause in (*one.alarms, *one.any_of)}


def is_event(name: str, words: frozenset[str]) -> bool:
    """Whether it stands in the code, or is put together there of two texts."""
    return name in words or any({name[:at], name[at:]} <= words for at in range(1, len(name)))


def labels_said(kind: str) -> list[tuple[str, Named]]:
    return [(one.id, named) for one in TABLE.faults for named in getattr(one, kind)]


def test_the_table_is_long_enough_to_be_one() -> None:
    assert len(TABLE.faults) > 150


@pytest.mark.parametrize("cause", list(Cause))
def test_every_alarm_is_the_answer_to_a_fault(cause: Cause) -> None:
    assert cause in answers()


def test_every_alert_is_the_answer_to_a_fault_and_there_is_no_other() -> None:
    assert {name for one in TABLE.faults for name in one.alerts} == alerts()


def test_every_section_of_the_runbook_is_reached() -> None:
    reached = {cause.value for cause in answers()} | alerts()
    more = {one.runbook for one in TABLE.faults if one.runbook}
    assert more <= set(sections())
    assert set(sections()) <= reached | more


def test_what_the_runbook_quotes_is_said_by_the_agent(words: frozenset[str]) -> None:
    quoted = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", RUNBOOK.read_text(encoding="utf-8")))
    assert {one for one in quoted if not one.startswith("pitwatch_")} - words == set()


def test_what_the_alerts_select_is_said_by_the_agent(words: frozenset[str]) -> None:
    """An alert on a label value that there is not never fires, and nobody sees that it does not."""
    texts = (file.read_text(encoding="utf-8") for file in (ALERTS, ALERTS.with_name("rules.yml")))
    found = re.findall(r'([a-z_]+)(?:=|!=|=~|!~)"([^"{}]+)"', "".join(texts))
    selected = {one for name, text in found if name != "job" for one in text.split("|")}
    assert {"live", "superseded", "new_model"} <= selected
    assert selected <= words, selected - words


def test_every_metric_of_the_runbook_tells_of_a_fault_or_it_is_said_why_not() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(pitwatch_[a-z_]+)`", text, flags=re.MULTILINE))
    told = {named.name for _, named in labels_said("metrics")}
    assert told.isdisjoint(TABLE.not_of_faults)
    assert told | set(TABLE.not_of_faults) == {metric.name for metric in CATALOGUE}
    assert rows == {exported_name(BY_NAME[name]) for name in told | set(TABLE.not_of_faults)}


def test_every_metric_has_the_labels_that_are_named(words: frozenset[str]) -> None:
    wrong = [
        f"{fault}: {named.name}{dict(named.labels)}"
        for fault, named in labels_said("metrics")
        if named.name not in BY_NAME
        or not set(named.labels) <= set(BY_NAME[named.name].labels)
        or not set(named.labels.values()) <= words
    ]
    assert wrong == []


def test_every_log_event_is_one_of_the_agents(words: frozenset[str]) -> None:
    wrong = [
        f"{fault}: {named.name}{dict(named.labels)}"
        for fault, named in labels_said("log")
        if not (is_event(named.name, words) and set(named.labels.values()) <= words)
    ]
    assert wrong == []


def test_what_makes_a_fault_is_there() -> None:
    wrong = [
        f"{one.id}: {maker.file}::{maker.name}"
        for one in TABLE.faults
        for maker in one.made
        if not (ROOT / maker.file).is_file() or maker.name not in names_in(maker.file)
    ]
    assert wrong == []


def test_every_fault_that_can_be_planted_is_in_the_table_once() -> None:
    planted = [one.planted for one in TABLE.faults if one.planted]
    assert sorted(planted) == sorted({*FAULTS, *MODEL_FAULTS, SHORTCUT})


def test_planted_faults_have_the_alarms_that_a_scoring_counts_as_right() -> None:
    by_name = {one.planted: one for one in TABLE.faults if one.planted}
    scored = load_protocol(PROTOCOL).faults
    wrong = [
        name
        for name, fault in scored.items()
        if fault.kind is not Kind.CONTROL and set(fault.right) != set(by_name[name].any_of)
    ]
    assert wrong == []


def test_an_answer_is_whole_and_nothing_else() -> None:
    fault = Fault(
        id="a",
        where="disk",
        what="",
        kept="",
        alarms=(Cause.SPOOL_LOSS,),
        any_of=(Cause.CAMERA_LOST, Cause.AGENT_NO_DATA),
        may=(Cause.LATENCY_BUDGET,),
    )
    right = {Cause.SPOOL_LOSS, Cause.AGENT_NO_DATA}
    assert fault.is_answered_by(frozenset(right))
    assert fault.is_answered_by(frozenset(right | {Cause.LATENCY_BUDGET}))
    assert not fault.is_answered_by(frozenset({Cause.SPOOL_LOSS}))
    assert not fault.is_answered_by(frozenset({Cause.AGENT_NO_DATA}))
    assert not fault.is_answered_by(frozenset(right | {Cause.IMAGE_QUALITY}))


ROW = {
    "id": "disk-full",
    "where": "disk",
    "what": "The disk is full.",
    "made": ["tests/a.py::test_a"],
    "log": "storage_degraded{cause=not_durable}",
    "kept": "every event",
}


def read_rows(folder: Path, *rows: object) -> tuple[Fault, ...]:
    file = folder / "faults.yaml"
    file.write_text(yaml.safe_dump({"faults": list(rows)}), encoding="utf-8")
    return read_faults(file).faults


def test_a_row_is_read_as_it_stands(tmp_path: Path) -> None:
    (one,) = read_rows(tmp_path, ROW | {"alarms": "spool_loss", "by_hand": "a full disk"})
    assert (one.id, one.alarms, one.by_hand) == ("disk-full", (Cause.SPOOL_LOSS,), "a full disk")
    assert one.log == (Named("storage_degraded", {"cause": "not_durable"}),)
    assert [(maker.file, maker.name) for maker in one.made] == [("tests/a.py", "test_a")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alarm": "spool_loss"}, "no key 'alarm'|alarm.*alarms"),
        ({"alarms": "spool_los"}, "alarms: .*spool_loss"),
        ({"alarms": "spool_loss", "may": "spool_loss"}, "an alarm stands twice"),
        ({"where": "disc"}, "where: .*disk"),
        ({"id": "Disk full"}, "id: small letters"),
        ({"what": ""}, "what: is missing"),
        ({"kept": None}, "kept: is missing"),
        ({"made": []}, "made: a list of tests, or by_hand"),
        ({"made": ["tests/a.py"]}, "is not file.py::name"),
        ({"log": None}, "log: is missing, or no text"),
        ({"log": "storage_degraded{cause}"}, r"is not name\{label=value"),
        ({"nothing": "nobody cares"}, "either something is said of it, or nothing and why"),
    ],
)
def test_a_row_that_cannot_be_is_named(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with pytest.raises(FaultTableError, match=said) as caught:
        read_rows(tmp_path, ROW | change)
    assert str(caught.value).startswith("row 1, ")


def test_a_row_of_which_nothing_is_said_says_why(tmp_path: Path) -> None:
    silent = {key: value for key, value in ROW.items() if key != "log"}
    with pytest.raises(FaultTableError, match="nothing and why"):
        read_rows(tmp_path, silent)
    (one,) = read_rows(tmp_path, silent | {"nothing": "it mends itself"})
    assert one.nothing == "it mends itself"


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(FaultTableError, match="disk-full: the id stands twice"):
        read_rows(tmp_path, ROW, ROW)
    with pytest.raises(FaultTableError, match="row 2: is not a mapping"):
        read_rows(tmp_path, ROW, "disk")
