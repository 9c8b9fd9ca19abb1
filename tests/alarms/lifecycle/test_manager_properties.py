"""Whatever happens to the manager: no undefined edge, no gap, and ``active`` is the condition."""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent import config
from agent.alarms.catalogue import BY_CAUSE, Cause
from agent.alarms.lifecycle.lifecycle import EDGES, Event
from agent.alarms.lifecycle.manager import AlarmManager
from agent.records import Alarm, AlarmState, Quality
from tests.alarms.support import condition, utc_ms

CAUSES = (Cause.CAMERA_LOST, Cause.NO_READ_RATE)
IDS = tuple(f"{cause}-cam1" for cause in CAUSES)
EVENTS = {event.value: event for event in Event}


class Oracle:
    """When an alarm must be active, said in the simplest way."""

    def __init__(self, cause: Cause) -> None:
        self.definition = BY_CAUSE[cause]
        self.active = False
        self.judged: tuple[bool, bool] | None = None  # beyond, back; None: unknown
        self.since: float | None = None

    def judge(self, now: float) -> None:
        contrary = self.judged is not None and self.judged[1 if self.active else 0]
        if not contrary:
            self.since = None
            return
        self.since = now if self.since is None else self.since
        delay = self.definition.off_delay_s if self.active else self.definition.on_delay_s
        if now - self.since >= delay:
            self.active, self.since = not self.active, None


class Books(RuleBasedStateMachine):
    @initialize(mode=st.sampled_from(["scada", "operator"]))
    def start(self, mode: str) -> None:
        self.settings = config.Alarms(ack_mode=mode)
        self.session = 1
        self.now = 50.0
        self.manager = AlarmManager(self.settings, "agent1", "s1")
        self.oracles = {cause: Oracle(cause) for cause in CAUSES}
        self.records: list[Alarm] = []
        self.last: dict[str, Alarm] = {}
        self.event_ids: set[str] = set()

    def keep(self, records: list[Alarm] | tuple[Alarm, ...]) -> None:
        for record in records:
            before = self.last.get(record.alarm_id)
            event = EVENTS.get(record.transition)
            rings = record.transition == "raised" and record.event_id in self.event_ids
            if rings:  # begun while it was suppressed, and suppressed no more
                assert before is not None
                assert (record.state, record.event_id) == (before.state, before.event_id)
                assert record.active
                assert not record.suppressed
                assert not record.shelved
            elif before is None or event is None:
                assert record.transition in ("initial", "quality", "comment")
                assert before is None or record.state is before.state
            else:
                edge = EDGES[before.state, event]
                assert edge.target in (None, record.state)
            if record.transition == "raised" and not rings:
                assert record.event_id not in self.event_ids
                assert record.count == (before.count if before else 0) + 1
                self.event_ids.add(record.event_id)
            elif before is not None:
                assert record.event_id == before.event_id
            self.last[record.alarm_id] = record
            self.records.append(record)

    @rule(
        cause=st.sampled_from(CAUSES),
        beyond=st.sampled_from([True, False, None]),
        back=st.booleans(),
        quality=st.sampled_from(Quality),
        suppressed=st.sampled_from(["", "", "the machine is not running"]),
    )
    def judge(
        self, cause: Cause, beyond: bool | None, back: bool, quality: Quality, suppressed: str
    ) -> None:
        back = back and beyond is False
        known = beyond is not None and quality is not Quality.BAD
        self.oracles[cause].judged = (bool(beyond), back) if known else None
        new = condition(
            beyond, cause=cause.value, back=back, quality=quality, suppressed_by=suppressed
        )
        self.keep(self.manager.update(new, self.now, utc_ms(self.now)))
        self.oracles[cause].judge(self.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 5.0, 30.0, 100.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.keep(self.manager.tick(self.now, utc_ms(self.now)))
        for oracle in self.oracles.values():
            oracle.judge(self.now)

    @rule(alarm_id=st.sampled_from(IDS), right=st.booleans())
    def acknowledge(self, alarm_id: str, right: bool) -> None:
        known = self.last.get(alarm_id)
        event_id = known.event_id if known is not None and right else "s0-1"
        answer = self.manager.acknowledge(alarm_id, event_id, "ann", self.now, utc_ms(self.now))
        self.keep(answer.records)

    @rule(alarm_id=st.sampled_from(IDS), seconds=st.sampled_from([1.0, 50.0, 1000.0]))
    def shelve(self, alarm_id: str, seconds: float) -> None:
        answer = self.manager.shelve(alarm_id, seconds, "ann", self.now, utc_ms(self.now))
        self.keep(answer.records)

    @rule(
        alarm_id=st.sampled_from(IDS),
        name=st.sampled_from(["unshelve", "take_out_of_service", "put_into_service"]),
    )
    def command(self, alarm_id: str, name: str) -> None:
        answer = getattr(self.manager, name)(alarm_id, "ann", self.now, utc_ms(self.now))
        self.keep(answer.records)

    @rule()
    def restart(self) -> None:
        exported = json.loads(json.dumps(self.manager.export(self.now, utc_ms(self.now))))
        self.session += 1
        self.manager = AlarmManager(self.settings, "agent1", f"s{self.session}")
        self.manager.restore(exported, IDS, self.now, utc_ms(self.now))
        for oracle in self.oracles.values():
            oracle.judged, oracle.since = None, None
        self.last |= {record.alarm_id: record for record in self.manager.current()}

    @invariant()
    def sequence_numbers_have_no_gap(self) -> None:
        events = [record for record in self.records if record.is_event]
        assert [record.seq for record in events] == list(range(1, len(events) + 1))

    @invariant()
    def what_clears_in_the_journal_was_told_of_before_and_rings_once(self) -> None:
        told: dict[str, list[str]] = {}
        for record in self.records:
            if record.is_event:
                told.setdefault(record.event_id, []).append(record.transition)
        for transitions in told.values():
            assert transitions.count("raised") <= 1
            if {"cleared", "cleared_unacked"} & set(transitions):
                assert {"raised", "acked"} & set(transitions)

    @invariant()
    def active_is_the_condition_after_its_delays(self) -> None:
        for record in self.manager.current():
            cause = Cause(record.alarm_id.removesuffix("-cam1"))
            assert record.active == self.oracles[cause].active

    @invariant()
    def flags_agree_with_the_state(self) -> None:
        for record in self.manager.current():
            assert record.shelved == (record.shelved_until_ms > 0)
            assert record.suppressed == bool(record.suppressed_by)
            if record.state in (AlarmState.UNACK, AlarmState.ACKED):
                assert record.active
            if record.state is AlarmState.NORM:
                assert not record.active
                assert record.acked
            assert record.active == (record.active_since_ms > 0)


Books.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBooks = Books.TestCase
