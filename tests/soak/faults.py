"""The table of faults: what each is, what makes it, and what must be said of it. See faults.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.alarms.catalogue import Cause
from agent.config.yaml import YamlError, read_yaml
from agent.nearest import unknown

TABLE = Path(__file__).with_name("faults.yaml")
PLACES = (
    "agent", "broker", "camera", "clock", "cluster", "computer", "configuration", "disk", "fruit", "light", "log",
    "machine", "model", "network", "operator", "page", "picture", "scada", "upgrade", "worker",
)  # fmt: skip
_WORDS = ("any_of", "may", "alarms", "alerts", "metrics", "log")
_TEXTS = ("by_hand", "planted", "answer", "nothing", "runbook")
_KEYS = ("id", "where", "what", "made", "kept", *_WORDS, *_TEXTS)
_SAID = ("alarms", "any_of", "alerts", "metrics", "log", "answer")
_NAMED = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?:\{(?P<labels>[^{}]+)\})?")
_ID = re.compile(r"[a-z][a-z0-9-]+")


class FaultTableError(ValueError):
    """A row that cannot be; the text names the row and its key."""


@dataclass(frozen=True, slots=True)
class Named:
    """A metric with some of its labels, or a log event with some of its fields."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Maker:
    """A test or proof that makes a fault: a function, a class or a table of a file."""

    file: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row; what each field means stands above the table."""

    id: str
    where: str
    what: str
    kept: str
    made: tuple[Maker, ...] = ()
    by_hand: str = ""
    planted: str = ""
    alarms: tuple[Cause, ...] = ()
    any_of: tuple[Cause, ...] = ()
    may: tuple[Cause, ...] = ()
    alerts: tuple[str, ...] = ()
    metrics: tuple[Named, ...] = ()
    log: tuple[Named, ...] = ()
    answer: str = ""
    nothing: str = ""
    runbook: str = ""

    def allows(self, cause: Cause) -> bool:
        """Whether an alarm of this cause may be annunciated while the fault lasts."""
        return cause in (*self.alarms, *self.any_of, *self.may)

    def is_answered_by(self, causes: frozenset[Cause]) -> bool:
        """Whether these alarms, and no others, are what must be annunciated."""
        told = not self.any_of or not causes.isdisjoint(self.any_of)
        return told and causes.issuperset(self.alarms) and all(map(self.allows, causes))


@dataclass(frozen=True, slots=True)
class Table:
    """``not_of_faults``: metrics that no fault is told by, each with why."""

    faults: tuple[Fault, ...]
    not_of_faults: Mapping[str, str]


def read_faults(file: Path = TABLE) -> Table:
    """Raises ``FaultTableError`` for what is wrong, in the order of the file."""
    try:
        data = read_yaml(file.read_bytes()).data
    except YamlError as error:
        raise FaultTableError(f"{file.name}: {error}") from error
    _known(file.name, data, ("faults", "not_of_faults"))
    rows = data.get("faults")
    others = data.get("not_of_faults", {})
    if not isinstance(rows, list) or not isinstance(others, dict):
        raise FaultTableError(f"{file.name}: faults is a list, not_of_faults a mapping")
    faults = tuple(_fault(row, f"row {number}") for number, row in enumerate(rows, 1))
    ids = [one.id for one in faults]
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise FaultTableError(f"{', '.join(twice)}: the id stands twice")
    return Table(
        faults, {str(name): _text(name, "not_of_faults", why) for name, why in others.items()}
    )


def _fault(row: Any, place: str) -> Fault:
    if not isinstance(row, dict):
        raise FaultTableError(f"{place}: is not a mapping")
    place = f"{place}, {row.get('id', 'without an id')}"
    _known(place, row, _KEYS)
    for key in ("id", "where", "what", "kept"):
        _text(place, key, row.get(key))
    if not _ID.fullmatch(row["id"]):
        raise FaultTableError(f"{place}: id: small letters, digits and hyphens")
    if row["where"] not in PLACES:
        raise FaultTableError(f"{place}: where: {unknown('place', row['where'], PLACES)}")
    made = row.get("made", [])
    if not isinstance(made, list) or not (made or row.get("by_hand")):
        raise FaultTableError(f"{place}: made: a list of tests, or by_hand")
    words = {key: _text(place, key, row[key]).split() for key in _WORDS if key in row}
    said = [key for key in _SAID if row.get(key)]
    if bool(said) == bool(row.get("nothing")):
        raise FaultTableError(f"{place}: either something is said of it, or nothing and why")
    causes = {key: _causes(place, key, words.get(key, [])) for key in ("alarms", "any_of", "may")}
    every = [cause for found in causes.values() for cause in found]
    if len(every) != len(set(every)):
        raise FaultTableError(f"{place}: an alarm stands twice")
    return Fault(
        **{key: row[key] for key in ("id", "where", "what", "kept")},
        **{key: _text(place, key, row[key]) for key in _TEXTS if key in row},
        **causes,
        made=tuple(_maker(place, one) for one in made),
        alerts=tuple(words.get("alerts", [])),
        metrics=tuple(_named(place, "metrics", one) for one in words.get("metrics", [])),
        log=tuple(_named(place, "log", one) for one in words.get("log", [])),
    )


def _known(place: object, values: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in values:
        if key not in keys:
            raise FaultTableError(f"{place}: {unknown('key', str(key), keys)}")


def _text(place: object, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise FaultTableError(f"{place}: {key}: is missing, or no text")
    return value


def _causes(place: str, key: str, words: list[str]) -> tuple[Cause, ...]:
    for word in words:
        if word not in set(Cause):
            raise FaultTableError(f"{place}: {key}: {unknown('alarm', word, list(Cause))}")
    return tuple(Cause(word) for word in words)


def _maker(place: str, text: Any) -> Maker:
    file, separator, name = _text(place, "made", text).partition("::")
    if not separator or not file.endswith(".py") or not name.isidentifier():
        raise FaultTableError(f"{place}: made: {text!r} is not file.py::name")
    return Maker(file, name)


def _named(place: str, key: str, text: str) -> Named:
    found = _NAMED.fullmatch(text)
    labels = (
        dict(one.partition("=")[::2] for one in (found["labels"] or "").split(",") if one)
        if found
        else {}
    )
    if found is None or not all(name and value for name, value in labels.items()):
        raise FaultTableError(f"{place}: {key}: {text!r} is not name{{label=value,label=value}}")
    return Named(found["name"], labels)
