"""The states of one alarm, after ISA-18.2 and OPC UA Part 9, as one table of edges.

Two things make up a state. The first is the occurrence: NORM, UNACK, ACKED, RTN_UNACK. The second
is what suppresses its annunciation, and nothing else: SHELVED by an operator, SUPPRESSED by design,
OUT_OF_SERVICE by the plant. Of these the last one that applies is published. While annunciation is
suppressed the occurrence changes by the same edges, so that its true state returns afterwards.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from agent.records import AlarmState as S


class Event(enum.StrEnum):
    """What can happen to an alarm; the value is the ``transition`` of the record."""

    RAISE = "raised"
    CLEAR = "cleared"
    CLEAR_UNACKED = "cleared_unacked"  # cleared while an operator still has to acknowledge
    ACK = "acked"
    SHELVE = "shelved"
    UNSHELVE = "unshelved"
    SUPPRESS = "suppressed"
    RELEASE = "released"
    DISABLE = "out_of_service"
    ENABLE = "in_service"


E = Event
OCCURRENCE_EVENTS = frozenset({E.RAISE, E.CLEAR, E.CLEAR_UNACKED, E.ACK})
_SUPPRESS = {E.SHELVE: S.SHELVED, E.SUPPRESS: S.SUPPRESSED, E.DISABLE: S.OUT_OF_SERVICE}
_END = {E.UNSHELVE: S.SHELVED, E.RELEASE: S.SUPPRESSED, E.ENABLE: S.OUT_OF_SERVICE}
_PRECEDENCE = (S.OUT_OF_SERVICE, S.SUPPRESSED, S.SHELVED)


@dataclass(frozen=True, slots=True)
class Edge:
    """Where an event leads, and why. ``target`` None: to the state without this suppression."""

    target: S | None
    cause: str


_RAISED = "the condition has been true for its on-delay"
_CLEARED = "the condition has been false beyond the deadband for its off-delay"
_HIDDEN = "the occurrence changes while its annunciation is suppressed"
_SHELVED = "an operator shelved it for a time"
_UNSHELVED = "the time is over, or an operator took it back"
_SUPPRESSED = "the machine state, another alarm, or chattering makes it meaningless"
_RELEASED = "the reason for the suppression is over"
_DISABLED = "taken out of service by configuration or command"
_ENABLED = "put back into service"

EDGES: dict[tuple[S, Event], Edge] = {
    # the occurrence
    (S.NORM, E.RAISE): Edge(S.UNACK, _RAISED),
    (S.UNACK, E.ACK): Edge(S.ACKED, "an operator acknowledged it"),
    (S.UNACK, E.CLEAR): Edge(S.NORM, f"{_CLEARED}; acknowledging is left to SCADA"),
    (S.UNACK, E.CLEAR_UNACKED): Edge(S.RTN_UNACK, f"{_CLEARED}; not acknowledged yet"),
    (S.ACKED, E.CLEAR): Edge(S.NORM, _CLEARED),
    (S.RTN_UNACK, E.CLEAR): Edge(S.NORM, "what it is about is not watched any more"),
    (S.RTN_UNACK, E.ACK): Edge(S.NORM, "an operator acknowledged it after it had cleared"),
    (S.RTN_UNACK, E.RAISE): Edge(S.UNACK, f"{_RAISED} again: a new occurrence"),
    # annunciation suppressed
    (S.NORM, E.SHELVE): Edge(S.SHELVED, _SHELVED),
    (S.UNACK, E.SHELVE): Edge(S.SHELVED, _SHELVED),
    (S.ACKED, E.SHELVE): Edge(S.SHELVED, _SHELVED),
    (S.RTN_UNACK, E.SHELVE): Edge(S.SHELVED, _SHELVED),
    (S.NORM, E.SUPPRESS): Edge(S.SUPPRESSED, _SUPPRESSED),
    (S.UNACK, E.SUPPRESS): Edge(S.SUPPRESSED, _SUPPRESSED),
    (S.ACKED, E.SUPPRESS): Edge(S.SUPPRESSED, _SUPPRESSED),
    (S.RTN_UNACK, E.SUPPRESS): Edge(S.SUPPRESSED, _SUPPRESSED),
    (S.NORM, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    (S.UNACK, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    (S.ACKED, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    (S.RTN_UNACK, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    # suppressed in more than one way
    (S.SHELVED, E.SHELVE): Edge(S.SHELVED, "shelved again, for another time"),
    (S.SHELVED, E.SUPPRESS): Edge(S.SUPPRESSED, _SUPPRESSED),
    (S.SHELVED, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    (S.SUPPRESSED, E.SHELVE): Edge(S.SUPPRESSED, f"{_SHELVED}, while suppressed"),
    (S.SUPPRESSED, E.DISABLE): Edge(S.OUT_OF_SERVICE, _DISABLED),
    (S.OUT_OF_SERVICE, E.SHELVE): Edge(S.OUT_OF_SERVICE, f"{_SHELVED}, while out of service"),
    (S.OUT_OF_SERVICE, E.SUPPRESS): Edge(S.OUT_OF_SERVICE, f"{_SUPPRESSED}; out of service"),
    # suppression ended
    (S.SHELVED, E.UNSHELVE): Edge(None, _UNSHELVED),
    (S.SUPPRESSED, E.RELEASE): Edge(None, _RELEASED),
    (S.OUT_OF_SERVICE, E.ENABLE): Edge(None, _ENABLED),
    (S.SUPPRESSED, E.UNSHELVE): Edge(S.SUPPRESSED, f"{_UNSHELVED}; still suppressed"),
    (S.OUT_OF_SERVICE, E.UNSHELVE): Edge(S.OUT_OF_SERVICE, f"{_UNSHELVED}; out of service"),
    (S.OUT_OF_SERVICE, E.RELEASE): Edge(S.OUT_OF_SERVICE, f"{_RELEASED}; out of service"),
    # the occurrence while annunciation is suppressed
    (S.SHELVED, E.RAISE): Edge(S.SHELVED, _HIDDEN),
    (S.SHELVED, E.CLEAR): Edge(S.SHELVED, _HIDDEN),
    (S.SHELVED, E.CLEAR_UNACKED): Edge(S.SHELVED, _HIDDEN),
    (S.SHELVED, E.ACK): Edge(S.SHELVED, _HIDDEN),
    (S.SUPPRESSED, E.RAISE): Edge(S.SUPPRESSED, _HIDDEN),
    (S.SUPPRESSED, E.CLEAR): Edge(S.SUPPRESSED, _HIDDEN),
    (S.SUPPRESSED, E.CLEAR_UNACKED): Edge(S.SUPPRESSED, _HIDDEN),
    (S.SUPPRESSED, E.ACK): Edge(S.SUPPRESSED, _HIDDEN),
    (S.OUT_OF_SERVICE, E.RAISE): Edge(S.OUT_OF_SERVICE, _HIDDEN),
    (S.OUT_OF_SERVICE, E.CLEAR): Edge(S.OUT_OF_SERVICE, _HIDDEN),
    (S.OUT_OF_SERVICE, E.CLEAR_UNACKED): Edge(S.OUT_OF_SERVICE, _HIDDEN),
    (S.OUT_OF_SERVICE, E.ACK): Edge(S.OUT_OF_SERVICE, _HIDDEN),
}


class UndefinedEdgeError(Exception):
    """An event that the alarm's state has no edge for: a defect of the caller."""


@dataclass(frozen=True, slots=True)
class Life:
    """The state of one alarm: its occurrence, and in which ways its annunciation is suppressed."""

    occurrence: S = S.NORM
    suppressions: frozenset[S] = frozenset()

    @property
    def state(self) -> S:
        """What is published: the suppression of the highest precedence, else the occurrence."""
        return next((one for one in _PRECEDENCE if one in self.suppressions), self.occurrence)

    @property
    def active(self) -> bool:
        """The condition itself, after its delays, suppressed or not."""
        return self.occurrence in (S.UNACK, S.ACKED)

    @property
    def acked(self) -> bool:
        """True when nothing waits for an acknowledgement."""
        return self.occurrence in (S.NORM, S.ACKED)

    def allows(self, event: Event) -> bool:
        """True when ``step`` has an edge for the event."""
        if event in OCCURRENCE_EVENTS and (self.occurrence, event) not in EDGES:
            return False
        if event in _END and _END[event] not in self.suppressions:
            return False
        return (self.state, event) in EDGES

    def step(self, event: Event) -> Life:
        """Return the life after ``event``; ``UndefinedEdgeError`` when the table has no edge."""
        if not self.allows(event):
            raise UndefinedEdgeError(f"{self.state}: no edge for {event}")
        if event in OCCURRENCE_EVENTS:
            occurrence = EDGES[self.occurrence, event].target
            after = replace(self, occurrence=occurrence or self.occurrence)
        elif event in _SUPPRESS:
            after = replace(self, suppressions=self.suppressions | {_SUPPRESS[event]})
        else:
            after = replace(self, suppressions=self.suppressions - {_END[event]})
        target = EDGES[self.state, event].target
        if target is not None and target is not after.state:
            raise UndefinedEdgeError(f"{self.state}: {event} led to {after.state}, not {target}")
        return after
