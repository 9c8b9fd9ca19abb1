"""The configuration read again: checked whole as at a start, told key by key, and taken over.

One reload at a time, in the order in which they are asked for. What is in force stays so when
anything fails: every part is prepared before the first is touched, and a part that fails all the
same brings back those before it.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from agent.ablation.pool.placement import SlotError
from agent.certificates import CertificateWatch
from agent.config import Config
from agent.config.effective import effective_hash, effective_yaml
from agent.config.load import ConfigErrors, Loaded
from agent.models.errors import ModelError
from agent.observability.http.listener import HttpError
from agent.pipeline import factories
from agent.pipeline.gauges import set_configured
from agent.pipeline.reload import origin, parts
from agent.pipeline.reload.cameras import cameras
from agent.pipeline.reload.context import ConfigSource, ReloadContext
from agent.pipeline.reload.gone import Gone
from agent.pipeline.reload.plan import NotTogetherError, Plan, plan
from agent.pipeline.reload.result import Reloaded, ReloadResult, settled
from agent.publishing.connection.tls import TlsError
from agent.records import CameraStatus
from agent.storage.audit import AuditRow
from agent.supervision.control.protocol import Peer, RefusedError
from agent.supervision.control.server import Handler
from agent.telemetry import log_event, wall_clock_ms

logger = logging.getLogger(__name__)

WAIT_FOR_TURN_S = 60.0
CAMERA_SETTLES_S = 15.0
"""How long a reload waits to see whether a camera that was begun anew delivers. It is tried on
afterwards, as at a start."""
POLL_S = 0.05
END_S = 1.0
NO_FILE = "there is no configuration file to read again: the agent was started without one"
CONFIG_REFUSALS = (ModelError, SlotError, TlsError, HttpError, NotTogetherError)
"""What a prepared part says of a configuration that it cannot take."""


class Reloader:
    """``config``: what the agent was started with, before the model had its say.

    ``ask`` is for signal handlers, ``reload`` for any thread; ``tick`` for that of the alarms.
    """

    def __init__(self, context: ReloadContext, config: Config, source: ConfigSource) -> None:
        self._context = context
        self._stages = context.stages
        self._work = parts.Work(context.stages, context.telemetry, context.clock)
        self._raw = config
        self._source = source
        self._gone = Gone(context.telemetry, context.stages.explain.open_lanes)
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._asked: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._certificates = self._made_certificates(config)
        sha256, kept = context.stages.identity.config_hash, context.stages.store.kept
        self._origin = origin.at_start(kept, sha256, wall_clock_ms())
        self._show_origin()

    # --- life ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The agent starts."""
        self._certificates.start()

    def start(self) -> None:
        """The agent has started: from now on it can be asked."""
        self._thread.start()

    def end(self) -> None:
        """The agent stops: no reload begins any more, and one under way is given a moment."""
        self._ended.set()
        self._asked.put(None)
        self._certificates.stop()
        if self._turn.acquire(timeout=END_S):
            self._turn.release()

    def tick(self) -> None:
        """End the metrics of what is gone."""
        self._gone.tick()

    # --- who asks --------------------------------------------------------------------------------

    def ask(self, by: str) -> None:
        """Reload soon; returns at once. Several that wait are one."""
        self._asked.put(by)

    def _run(self) -> None:
        while (by := self._asked.get()) is not None:
            while not self._asked.empty():
                if (by := self._asked.get()) is None:
                    return
            self.reload(by)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By command of the control socket."""
        return {"reload": self._asked_for, "effective": self._effective}

    def _asked_for(self, _arguments: Mapping[str, object], peer: Peer) -> Mapping[str, object]:
        if not self._thread.is_alive():
            raise RefusedError("the agent is still starting")
        return self.reload(peer.who).as_json()

    def _effective(self, _arguments: Mapping[str, object], _peer: Peer) -> Mapping[str, object]:
        found = self._origin
        return {
            "yaml": effective_yaml(self._raw),
            "config_hash": found.sha256,
            "config_hash_before": found.before,
            "config_changed_utc_ms": found.changed_utc_ms,
            "config_changed_by": found.by,
        }

    # --- one reload ------------------------------------------------------------------------------

    def reload(self, by: str) -> Reloaded:
        """Read the file and take over what has changed; never raises. ``by``: who asked for it."""
        if not self._turn.acquire(timeout=WAIT_FOR_TURN_S):
            return self._told(self._failed(by, "another reload has not ended yet"))
        try:
            if self._ended.is_set():
                return self._told(self._failed(by, "the agent stops"))
            began = self._context.clock()
            result = self._reload(by)
            return self._told(replace(result, seconds=self._context.clock() - began))
        except Exception as error:  # the top of the reload: the agent goes on whatever it was
            logger.exception("reload_failed", extra={"fields": {}})
            return self._told(self._failed(by, f"{type(error).__name__}: {error}"))
        finally:
            self._turn.release()

    def _reload(self, by: str) -> Reloaded:
        if self._source.read is None:
            return self._refused(by, "", NO_FILE)
        try:
            loaded = self._source.read(self._raw)
        except ConfigErrors as errors:
            return self._refused(by, errors.source, *map(str, errors.problems))
        with self._stages.changing:
            wanted, result = self._taken_over(loaded, by)
        return result if wanted is None else replace(result, cameras=self._settled(wanted))

    def _taken_over(self, loaded: Loaded, by: str) -> tuple[Plan | None, Reloaded]:
        """The plan where it is in force, and what came of it so far."""
        try:
            wanted = self._plan(self._raw, loaded.config)
            applies = self._prepared(wanted)
        except CONFIG_REFUSALS as error:
            return None, self._refused(by, loaded.source, str(error))
        result = replace(
            self._failed(by),
            source=loaded.source,
            changes=wanted.changes,
            warnings=loaded.warnings,
        )
        if not wanted.taken:
            kind = ReloadResult.PARTLY if wanted.changes else ReloadResult.UNCHANGED
            return None, replace(result, result=kind)
        if problem := self._applied(wanted, applies, by):
            return None, replace(result, problems=(problem,))
        whole = len(wanted.taken) == len(wanted.changes)
        return wanted, replace(
            result,
            result=ReloadResult.APPLIED if whole else ReloadResult.PARTLY,
            before=self._origin.before,
            sha256=self._origin.sha256,
        )

    def _plan(self, before: Config, after: Config) -> Plan:
        """With the model that is live, which need not be the one that the file names."""
        found = plan(before, after, self._stages.model)
        live = {"model": self._stages.config.model}
        return replace(found, config=found.config.model_copy(update=live))

    def _prepared(self, wanted: Plan) -> tuple[parts.Apply, ...]:
        """What takes the plan over, part by part. Raises one of ``CONFIG_REFUSALS``."""
        work = self._work
        found = (
            parts.logging(wanted, self._source.logs),
            parts.storage(work, wanted),
            parts.recording(work, wanted),
            parts.sampling(work, wanted),
            cameras(work, wanted, self._gone, self._context.machine),
            parts.workers(work, wanted),
            parts.page(work, wanted),
            parts.publisher(work, wanted),
        )
        return tuple(apply for apply in found if apply is not None)

    def _applied(self, wanted: Plan, applies: tuple[parts.Apply, ...], by: str) -> str:
        """Take the plan over; why it failed, with all as it was before, or nothing."""
        before_config, before_raw, before_origin = self._stages.config, self._raw, self._origin
        changed = replace(
            before_origin,
            sha256=effective_hash(wanted.raw),
            before=before_origin.sha256,
            changed_utc_ms=wall_clock_ms(),
            by=by,
        )
        self._in_force(wanted.config, wanted.raw, changed)
        try:
            for apply in applies:
                if self._ended.is_set():
                    return "the agent stops"
                apply()
        except Exception as error:  # whatever it is, the last good configuration comes back
            logger.exception("reload_part_failed", extra={"fields": {}})
            self._in_force(before_config, before_raw, before_origin)
            again = "what was in force before is so again"
            if not self._taken_back(wanted.raw, before_raw):
                again = "not all that was in force before could be brought back: restart the agent"
            return f"{type(error).__name__}: {error}; {again}"
        self._show(wanted.config)  # the addresses are others only now
        origin.save(self._stages.store.kept, changed)
        if wanted.touches("mqtt", "http"):
            self._certificates.stop()
            self._certificates = self._made_certificates(wanted.config)
            self._certificates.start()
        for lane in set(self._context.varieties) - {None, *self._stages.newest.lanes}:
            self._context.varieties.pop(lane, None)
        return ""

    def _taken_back(self, raw: Config, before: Config) -> bool:
        """Bring every part back; one that fails keeps none of the others from it."""
        try:
            undo = self._prepared(self._plan(raw, before))
        except Exception:
            logger.exception("reload_undo_failed", extra={"fields": {}})
            return False
        done = True
        for apply in undo:
            try:
                apply()
            except Exception:
                logger.exception("reload_undo_failed", extra={"fields": {}})
                done = False
        return done

    def _in_force(self, config: Config, raw: Config, changed: origin.Origin) -> None:
        stages, telemetry = self._stages, self._context.telemetry
        telemetry.forget("config_hash", stages.identity.config_hash)
        stages.config, stages.asked, self._raw, self._origin = config, raw, raw, changed
        stages.identity = replace(stages.identity, config_hash=changed.sha256)
        self._show(config)
        set_configured(telemetry, config, stages.identity)

    def _show(self, config: Config) -> None:
        parts.views(self._stages, config)
        self._show_origin()

    def _show_origin(self) -> None:
        self._stages.first_view = replace(
            self._stages.first_view,
            config_changed_utc_ms=self._origin.changed_utc_ms,
            config_changed_by=self._origin.by,
            config_hash_before=self._origin.before,
        )

    def _settled(self, wanted: Plan) -> tuple[CameraStatus, ...]:
        """How the cameras are that were begun anew, once they deliver or have failed to."""
        names = {camera.name for camera in (*wanted.changed, *wanted.added)}
        end = time.monotonic() + CAMERA_SETTLES_S
        while True:
            found = tuple(
                status for status in self._stages.capture.statuses() if status.source_name in names
            )
            if settled(found) or time.monotonic() >= end or self._ended.wait(POLL_S):
                return found

    def _made_certificates(self, config: Config) -> CertificateWatch:
        return CertificateWatch(factories.certificate_files(config), self._context.telemetry)

    # --- what is said of it ----------------------------------------------------------------------

    def _failed(self, by: str, *problems: str) -> Reloaded:
        now = self._origin.sha256
        return Reloaded(ReloadResult.FAILED, "", by, problems=problems, before=now, sha256=now)

    def _refused(self, by: str, source: str, *problems: str) -> Reloaded:
        return replace(self._failed(by, *problems), result=ReloadResult.REFUSED, source=source)

    def _told(self, result: Reloaded) -> Reloaded:
        """Say in log, metrics and audit what a reload came to."""
        said = result.as_json()
        keys = said["keys"]
        assert isinstance(keys, list)
        for one in keys:
            level = logging.INFO if one["in_force"] else logging.WARNING
            log_event(logger, level, "config_key", **one)
        for problem in result.problems:
            log_event(logger, logging.ERROR, "config_problem", key=problem, source=result.source)
        for warning in result.warnings:
            log_event(logger, logging.WARNING, "config_warning", key=warning, source=result.source)
        self._context.telemetry.count("config_reloads", result=result.result.value)
        wrong = result.result in (ReloadResult.REFUSED, ReloadResult.FAILED)
        log_event(
            logger,
            logging.ERROR if wrong else logging.INFO,
            "config_reloaded",
            result=result.result.value,
            by=result.by,
            hash_before=result.before[:12],
            hash=result.sha256[:12],
            keys=len(result.changes),
            seconds=round(result.seconds, 2),
        )
        self._audit(result)
        return result

    def _audit(self, result: Reloaded) -> None:
        arguments = {"hash_before": result.before, "hash": result.sha256, "source": result.source}
        detail = "; ".join(result.problems or (one.path for one in result.changes))
        row = AuditRow(
            received_utc_ms=wall_clock_ms(),
            command="reload",
            command_id="",
            user=result.by,
            arguments=json.dumps(arguments),
            outcome=result.result.value,
            detail=detail[:300],
            via=result.by,
        )
        self._stages.store.audit.add(row)
