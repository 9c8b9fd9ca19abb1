"""Alarm state on disk: what a start restores, and what each transition saves."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from agent.alarms.lifecycle.manager import AlarmManager
from agent.alarms.lifecycle.recorder import INITIAL
from agent.alarms.lifecycle.snapshot import SnapshotError
from agent.config import Alarms
from agent.records import Alarm
from agent.storage.store import Store
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)


class AlarmPersistence:
    """The state of one manager in one store. ``alarm_ids``: of all that there can be.

    What an earlier start saved of others is watched no more. It is published as normal, again at
    each start until the broker has taken that. ``told`` may be called from any thread.
    """

    def __init__(
        self,
        manager: AlarmManager,
        store: Store,
        alarm_ids: Collection[str],
        clock: Clock,
        utc_ms: Callable[[], int],
    ) -> None:
        self._manager = manager
        self._store = store
        self._alarm_ids = alarm_ids
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
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

    def retire(self) -> list[Alarm]:
        """Return the records of the alarms that are watched no more, to be published and saved."""
        records = self._manager.retire(self._clock(), self._utc_ms())
        for record in records:
            log_event(
                logger,
                logging.WARNING if record.is_event else logging.INFO,
                "alarm_no_longer_watched",
                alarm=record.alarm_id,
                transition=record.transition,
            )
        return records

    def configure(self, settings: Alarms, alarm_ids: Collection[str]) -> list[Alarm]:
        """Go on with other settings, and with these alarms only; return the records to be published
        and saved."""
        self._alarm_ids = alarm_ids
        now = (self._clock(), self._utc_ms())
        records = self._manager.configure(settings, alarm_ids, *now)
        return [*records, *self.retire()]

    def told(self, alarm_id: str) -> None:
        """The broker has taken that an alarm is normal."""
        self._told.put(alarm_id)

    def tick(self) -> None:
        """Forget the alarms that are watched no more, once the broker knows."""
        told = set()
        while not self._told.empty():
            told.add(self._told.get_nowait())
        if gone := [alarm_id for alarm_id in told if self._manager.forget(alarm_id)]:
            self._store.alarms.forget(gone)

    def save(self, records: Sequence[Alarm]) -> None:
        """Save the alarms that these records changed; all of them after the store had a loss, or
        where another file or memory has taken its place."""
        kept_in = self._kept_in()
        changed = {record.alarm_id for record in records} if kept_in == self._seen else None
        self._seen = kept_in
        self._store.alarms.save(self._manager.export(self._clock(), self._utc_ms(), changed))

    def _kept_in(self) -> tuple[int, int]:
        return self._store.status().losses, self._store.database.generation
