"""Recording in the wiring: how a record is described, and who has switched it on or off.

A command's word stays in force over restarts, until the file says something else than it did when
the command came.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt

from agent.config import Config
from agent.dataset import Reason
from agent.dataset.claim import ClaimError
from agent.pipeline.clock import synchronised
from agent.publishing.wire import payloads
from agent.publishing.wire.settings import ExplanationShape
from agent.recording.recorder import NoPlaceError, Recorder
from agent.recording.status import Described, RecorderSettings, RecordingStatus
from agent.records import Alarm, AlarmState, Explanation, FruitReading
from agent.storage.audit import AuditRow
from agent.storage.kept import parse_kept
from agent.storage.store import Store
from agent.supervision.control.protocol import Peer, RefusedError
from agent.supervision.control.server import Handler
from agent.supervision.errands import ErrandError
from agent.telemetry import Clock, Telemetry, log_event, wall_clock_ms

logger = logging.getLogger(__name__)

NAME = "recording"
CONFIGURATION = "configuration"
_SILENT = frozenset({AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE})


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    version: Literal[1] = 1
    configured: bool
    on: bool
    since_utc_ms: NonNegativeInt
    by: str


def settings_of(config: Config) -> RecorderSettings:
    """What the recorder is told of a configuration."""
    recording = config.recording
    return RecorderSettings(recording, recording.place(config.state_dir), config.owner)


class Recording:
    """The recorder of one agent, and its switch. ``running``: variety and lot of a lane."""

    def __init__(
        self,
        config: Config,
        running: Callable[[str], tuple[str, str]],
        store: Store,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._store = store
        self._configured = config.recording.enabled
        self._shape = _shape_of(config)
        self._models: dict[str, str] = {}
        described = Described(
            reading=_reading,
            explanation=self._explanation,
            running=running,
            model_name=lambda sha256: self._models.get(sha256, ""),
            utc_ms=wall_clock_ms,
            clock_is_right=lambda: synchronised() == 1.0,
        )
        self.recorder = Recorder(settings_of(config), described, telemetry, clock)
        self._restore()

    def know_model(self, name: str, sha256: str) -> None:
        """The name of a network that reads from now on."""
        self._models[sha256] = name

    def configure(self, config: Config) -> None:
        """Go by another configuration. Raises what ``Recorder.switch`` does."""
        self._shape = _shape_of(config)
        self.recorder.configure(settings_of(config))
        if config.recording.enabled != self._configured:
            self._switch(on=config.recording.enabled, by=CONFIGURATION)
            self._configured = config.recording.enabled
            self._save()

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By command of the control socket."""
        return {
            "recording.on": lambda _arguments, peer: self._asked(on=True, peer=peer),
            "recording.off": lambda _arguments, peer: self._asked(on=False, peer=peer),
            "recording.status": lambda _arguments, _peer: self.answer(),
        }

    def answer(self) -> dict[str, object]:
        """Everything a person asks for, as JSON values."""
        status = self.recorder.status()
        holding = status.holding
        return {
            "on": status.on,
            "since_utc_ms": status.since_utc_ms,
            "by": status.by,
            "folder": str(status.folder or ""),
            "paused": status.paused.value if status.paused else "",
            "detail": status.detail,
            "waiting": status.waiting,
            "limit_bytes": status.limit_bytes,
            "bytes": sum(holding.bytes.values()),
            "records": {reason.value: holding.records.get(reason, 0) for reason in Reason},
            "oldest_utc_ms": holding.oldest_utc_ms,
            "damaged": holding.damaged,
        }

    # --- the switch ------------------------------------------------------------------------------

    def _asked(self, *, on: bool, peer: Peer) -> Mapping[str, object]:
        by = peer.who
        if on == self.recorder.status().on:
            raise RefusedError(f"recording is {'on' if on else 'off'} already")
        try:
            self._switch(on=on, by=by)
        except (ClaimError, NoPlaceError, ErrandError) as error:
            self._audit(on=on, by=by, outcome="refused", detail=str(error))
            raise RefusedError(str(error)) from error
        self._save()
        self._audit(on=on, by=by, outcome="done", detail="")
        return self.answer()

    def _switch(self, *, on: bool, by: str) -> None:
        self.recorder.switch(on=on, since_utc_ms=wall_clock_ms(), by=by)
        log_event(logger, logging.INFO, "recording_on" if on else "recording_off", by=by)

    def _restore(self) -> None:
        found = self._store.kept.get(NAME)
        saved = parse_kept(found, NAME, _Saved, logger) if found is not None else None
        if saved is not None and saved.configured == self._configured:
            self.recorder.restore(on=saved.on, since_utc_ms=saved.since_utc_ms, by=saved.by)
        else:
            now_ms = wall_clock_ms()
            self.recorder.restore(on=self._configured, since_utc_ms=now_ms, by=CONFIGURATION)
            self._save()
        status = self.recorder.status()
        if status.on:
            log_event(logger, logging.INFO, "recording_on", by=status.by, folder=status.folder)

    def _save(self) -> None:
        status: RecordingStatus = self.recorder.status()
        saved = _Saved(
            configured=self._configured,
            on=status.on,
            since_utc_ms=status.since_utc_ms,
            by=status.by,
        )
        self._store.kept.put(NAME, saved.model_dump(mode="json"), lambda: None)

    def _audit(self, *, on: bool, by: str, outcome: str, detail: str) -> None:
        row = AuditRow(
            received_utc_ms=wall_clock_ms(),
            command="recording",
            command_id="",
            user=by,
            arguments=json.dumps({"on": on}),
            outcome=outcome,
            detail=detail[:300],
            via=by,
        )
        self._store.audit.add(row)

    def _explanation(self, explanation: Explanation) -> Mapping[str, object]:
        return payloads.explanation(explanation, self._shape)


def alarmed_lanes(alarms: Iterable[Alarm], devices: Mapping[str, str]) -> frozenset[str]:
    """The lanes of which an alarm stands that rings or was acknowledged, its camera's included.
    ``devices``: the camera of every lane."""
    about = {one.camera_id for one in alarms if one.active and one.state not in _SILENT}
    return frozenset(lane for lane, camera in devices.items() if {lane, camera} & about)


def _shape_of(config: Config) -> ExplanationShape:
    return ExplanationShape(config.ablation.classes, config.ablation.fractions)


def _reading(fruit: FruitReading) -> Mapping[str, object]:
    return payloads.fruit(fruit)
