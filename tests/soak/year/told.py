"""What was said in a cycle, against what the table of faults says must be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent.alarms.catalogue import Cause
from agent.telemetry import BY_NAME, Kind
from tests.soak.faults import Fault, Named, Table

Labels = frozenset[tuple[str, str]]
Key = tuple[str, Labels]
Event = tuple[int, str, Mapping[str, str]]

ALWAYS = frozenset({"log_events", "log_events_suppressed", "alarm_transitions"})
"""Counters of what is judged one by one: events of the log, alarms."""
VOLUME = frozenset({"fruit", "fruit_no_read"})
"""Counters by which a fault is told that makes them rise less, or more than they always do."""
FOLLOWS = frozenset(
    {"alarm", "alarm_command", "model_takes_over", "desk_full", "charts_held", "running_word"}
)
"""Events at the level of a warning by which no fault is told apart."""


@dataclass(slots=True)
class Said:
    """Of one cycle, or of a part of it. ``rang``: causes of the alarms that people were told of,
    ``hidden``: those that were raised and suppressed by design."""

    counted: Counter[Key] = field(default_factory=Counter)
    moved: set[Key] = field(default_factory=set)
    logged: list[Event] = field(default_factory=list)
    rang: set[Cause] = field(default_factory=set)
    hidden: set[Cause] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Beside:
    """What a planting says beside its row, each with why: alarms, counters, events."""

    alarms: Mapping[Cause, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    log: Mapping[str, str] = field(default_factory=dict)


NOTHING = Beside()


def fits(wanted: Named, name: str, labels: Collection[tuple[str, str]]) -> bool:
    """Whether a metric or an event with these labels is the one that is named."""
    return name == wanted.name and set(wanted.labels.items()) <= set(labels)


def untold(fault: Fault, said: Said, unseen: Mapping[str, str]) -> Iterator[str]:
    """Yield what should have been said of a fault and was not; ``unseen`` metrics and events cannot
    be, in the way in which it was planted."""
    raised = said.rang | said.hidden
    for cause in fault.alarms:
        if cause not in raised:
            yield f"no alarm {cause}"
    if fault.any_of and raised.isdisjoint(fault.any_of):
        yield f"none of the alarms {' '.join(fault.any_of)}"
    keys = {*said.counted, *said.moved}
    for one in fault.metrics:
        if unseen.keys() & {one.name, _text(one)}:
            continue
        if not any(fits(one, *key) for key in keys):
            yield f"metric {_text(one)} stands"
    for one in fault.log:
        events = ((name, fields.items()) for _, name, fields in said.logged)
        if unseen.keys() & {one.name, _text(one)}:
            continue
        if not any(fits(one, *event) for event in events):
            yield f"no event {_text(one)}"


def unasked(
    faults: Sequence[Fault], said: Said, beside: Sequence[Beside], table: Table
) -> Iterator[str]:
    """Yield what was said of which none of these faults is the reason."""
    for cause in sorted(said.rang):
        allowed = any(fault.allows(cause) for fault in faults)
        if not allowed and not any(cause in one.alarms for one in beside):
            yield f"alarm {cause}, of which neither is the reason"
    expected = {one.name for fault in faults for one in fault.metrics} | ALWAYS
    expected |= {name for one in beside for name in one.metrics}
    errors = errors_of(table)
    for name, labels in sorted(said.counted, key=str):
        told = any(fits(one, name, labels) for one in errors.get(name, ()))
        if told and name not in expected:
            yield f"counter {name}{dict(sorted(labels))}, of which neither is the reason"
    events = {one.name for fault in faults for one in fault.log} | FOLLOWS
    events |= {name for one in beside for name in one.log}
    for name in sorted({name for level, name, _ in said.logged if level >= logging.WARNING}):
        if name not in events:
            yield f"event {name}, of which neither is the reason"


def errors_of(table: Table) -> Mapping[str, tuple[Named, ...]]:
    """The counters by which any fault is told, by name."""
    found: dict[str, tuple[Named, ...]] = {}
    for fault in table.faults:
        for one in fault.metrics:
            if BY_NAME[one.name].kind is Kind.COUNTER and one.name not in VOLUME:
                found[one.name] = (*found.get(one.name, ()), one)
    return found


def _text(one: Named) -> str:
    labels = ",".join(f"{name}={value}" for name, value in one.labels.items())
    return one.name + (f"{{{labels}}}" if labels else "")
