"""Alarm state on disk: what a start restores, and what each transition saves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from agent.alarms.catalogue import AGENT, Cause
from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.lifecycle.recorder import INITIAL
from agent.alarms.lifecycle.snapshot import SnapshotError
from agent.records import Alarm
from agent.storage.store import Store
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)


class AlarmPersistence:
    """The state of one manager in one store. ``names``: of all lanes and all cameras."""

    def __init__(
        self,
        manager: AlarmManager,
        store: Store,
        names: Iterable[str],
        clock: Clock,
        utc_ms: Callable[[], int],
    ) -> None:
        self._manager = manager
        self._store = store
        self._alarm_ids = {f"{cause}-{name}" for cause in Cause for name in (*names, AGENT)}
        self._clock = clock
        self._utc_ms = utc_ms
        self._seen = self._kept_in()

    def restore(self) -> None:
        """Restore what an earlier start saved; a state that cannot be read is counted as a loss."""
        exported = self._store.alarms.load()
        if exported is None:
            return
        try:
            self._manager.restore(exported, self._alarm_ids, self._clock(), self._utc_ms())
        except SnapshotError as error:
            self._store.database.note_loss("the state of the alarms could not be read")
            log_event(logger, logging.ERROR, "alarm_state_unreadable", detail=str(error))
            return
        self._store.alarms.keep_only(self._alarm_ids)
        active = [alarm.alarm_id for alarm in self._manager.current() if alarm.active]
        log_event(
            logger,
            logging.INFO,
            "alarm_state_restored",
            alarms=len(self._manager.current()),
            active=",".join(active) or "none",
        )

    def restored(self) -> Sequence[Alarm]:
        """Return the record of each alarm that is published at the start: its state, no event."""
        return [
            replace(
                alarm,
                transition=INITIAL,
                evidence_topic=self._store.spool.evidence_topic(alarm.event_id),
            )
            for alarm in self._manager.current()
        ]

    def save(self, records: Sequence[Alarm]) -> None:
        """Save the alarms that these records changed; all of them after the store had a loss, or
        where another file or memory has taken its place."""
        kept_in = self._kept_in()
        changed = {record.alarm_id for record in records} if kept_in == self._seen else None
        self._seen = kept_in
        self._store.alarms.save(self._manager.export(self._clock(), self._utc_ms(), changed))

    def _kept_in(self) -> tuple[int, int]:
        return self._store.status().losses, self._store.database.generation
