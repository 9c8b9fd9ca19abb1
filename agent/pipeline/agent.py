"""The running agent: every stage started and ended in order, and what one hands to the next."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from agent.alarms.signals.extract import of_explanation
from agent.config import Config
from agent.observability.health import livez
from agent.observability.http.server import HttpServer
from agent.observability.prometheus import PrometheusTelemetry
from agent.observability.view import AgentView
from agent.pipeline import factories
from agent.pipeline.asked import answers
from agent.pipeline.build import build, connect
from agent.pipeline.evidence import evidence_of
from agent.pipeline.explain import Result
from agent.pipeline.follow_up import follow_up_s
from agent.pipeline.going_live import live_model, make_swap
from agent.pipeline.live import count_fruit
from agent.pipeline.recording import alarmed_lanes
from agent.pipeline.reload.context import ConfigSource, ReloadContext
from agent.pipeline.reload.reloader import Reloader
from agent.pipeline.report import Reporter, books
from agent.records import (
    Alarm,
    CameraState,
    Command,
    CommandResult,
    Explanation,
    Frame,
    FruitReading,
    MachineInfo,
    SegmentedFrame,
    Selection,
)
from agent.supervision.control.server import ControlServer
from agent.telemetry import log_event, wall_clock_ms

logger = logging.getLogger(__name__)

STOP_S = 3.5
"""All of the shutdown together, also with every child hung: ``systemctl stop`` must not end in a
kill. What follows takes up to another second and a half."""
BROKER_STOP_S = 1.0
LIGHT_EVERY_S = 0.2
"""Pictures of a lane whose light is judged; more of a free-running camera would say no more."""
CONTROL_STOP_S = 0.2
SWAP_STOP_S = 0.7
STORE_STOP_S = 0.5
"""What the disk has for the last words; one that hangs gets no more."""
RECORDING_STOP_S = 0.5
SINK_STOP_S = 0.5
"""What a sink has for its end, however late the shutdown is."""


class Agent:
    """Everything between the cameras and SCADA.

    The constructor does all that can go wrong for reasons of configuration (model, ports, sources)
    and starts nothing; ``start`` starts the threads and children; ``stop`` ends them in order.
    """

    def __init__(
        self,
        config: Config,
        config_hash: str,
        telemetry: PrometheusTelemetry,
        source: ConfigSource | None = None,
    ) -> None:
        self._clock = time.monotonic
        self._varieties: dict[str | None, str] = {}  # by the lane that was named, None: all
        self.telemetry = telemetry
        self._stages = build(config, config_hash, telemetry, self._clock, self)
        self._reporter = Reporter(self._stages, telemetry, self._clock)
        self.reloads = Reloader(
            ReloadContext(self._stages, telemetry, self._clock, self.machine, self._varieties),
            config,
            source or ConfigSource(),
        )
        self._swap = make_swap(self._stages, telemetry, self._clock)
        handlers = {
            "hello": lambda _arguments, _peer: self._hello(),
            **answers(self.view, self._stages),
            **self._swap.handlers,
            **self._stages.recording.handlers,
            **self.reloads.handlers,
        }
        self._control = ControlServer(config.state_dir, handlers, telemetry)
        self.kept = True
        """After ``stop``: whether everything that was to survive it is on the disk."""
        self._light_mono: dict[str, float] = {}  # when each lane's light was judged last

    @property
    def http(self) -> HttpServer | None:
        """The HTTP server, where there is one."""
        return self._stages.http

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start outwards in: whoever receives is there before whoever sends.

        ``BrokerError`` when the embedded broker cannot have its port, before anything else starts.
        """
        stages = self._stages
        self.reloads.begin()
        for word in stages.running.heard():  # before anybody can say anything newer
            self._hear(word)
        stages.running.say()
        if stages.http:
            stages.http.start()
        connect(stages, self.telemetry, self._clock, self)
        for sink in stages.sinks:
            if not sink.starts_after_capture:
                sink.start()
        for alarm in stages.persistence.restored():
            if alarm.evidence_topic:
                stages.newest.on_evidence(alarm.event_id, None)
            for sink in stages.sinks:
                sink.alarm(alarm)
        if gone := stages.persistence.retire():
            self.on_alarms(gone)
        for published in stages.published.restore():
            for sink in stages.sinks:
                sink.withdraw(published, partial(stages.published.told, published.lane))
        stages.store.watch_for_hangs()
        stages.alarm_loop.post(live_model(stages.prepared))
        stages.alarm_loop.start()
        if stages.pool.status().workers:
            stages.pool.start()
        stages.recording.recorder.start()
        stages.explain.start()
        stages.live.start()
        stages.capture.start()
        for sink in stages.sinks:
            if sink.starts_after_capture:
                sink.start()
        self._swap.trials.start()
        self._control.start()
        if stages.http:
            stages.http.wait_started()
        log_event(
            logger,
            logging.INFO,
            "agent_started",
            id=stages.config.id,
            session=stages.identity.session,
            cameras=",".join(stages.newest.lanes),
            model=stages.identity.model_name,
            broker=stages.first_view.broker_url or "none",
            http=stages.first_view.http_url or "none",
        )
        self.reloads.start()

    def finished(self) -> bool:
        """Whether every source has ended, so that nothing more will come."""
        return self._stages.capture.finished()

    def failures(self) -> dict[str, str]:
        """Why cameras have failed for good, by name. One that is away is tried again, and none."""
        return {
            status.source_name: status.detail or status.cause
            for status in self._stages.capture.statuses()
            if status.state is CameraState.FAILED
        }

    def stalled(self) -> tuple[str, ...]:
        """Return which loops of this process stand, in words; empty while all move."""
        limit_s = self._stages.config.http.loop_limit_s
        return livez(self.telemetry.loops.ages_s(), limit_s).reasons

    def stop(self) -> bool:
        """Stop intake, end jobs, flush, say ``stopped``; true when the broker acknowledged it."""
        stages, deadline = self._stages, self._clock() + STOP_S
        self._control.stop(CONTROL_STOP_S)
        self.reloads.end()
        self._swap.trials.stop(SWAP_STOP_S)
        stages.actions.end()
        stages.capture.end_intake(1.5)
        stages.live.stop(0.5)
        stages.capture.stop(0.1)
        stages.explain.stop(0.5)
        stages.recording.recorder.stop(RECORDING_STOP_S)
        stages.alarm_loop.stop(0.5)
        acknowledged = True
        for sink in reversed(stages.sinks):  # the one that says ``stopped`` last
            left_s = max(SINK_STOP_S, deadline - self._clock())
            acknowledged = sink.stop(min(sink.stop_limit_s, left_s))
        if stages.broker:
            # One that did not acknowledge ``stopped`` is hung, and is not waited for again.
            stages.broker.stop(BROKER_STOP_S if acknowledged else 0.0)
        if stages.http:
            stages.http.stop()
        stages.running.save()
        stages.history.write()
        self.kept = stages.store.close(max(STORE_STOP_S, deadline - self._clock()))
        for event, fields in books(self.view()):
            log_event(logger, logging.INFO, event, **fields)
        log_event(logger, logging.INFO, "agent_stopped", acknowledged=acknowledged, kept=self.kept)
        return acknowledged

    def _hello(self) -> dict[str, object]:
        """Who answers on the control socket."""
        identity = self._stages.identity
        return {
            "pid": os.getpid(),
            "id": identity.agent_id,
            "version": identity.version,
            "session": identity.session,
            "config_hash": identity.config_hash,
        }

    def view(self) -> AgentView:
        """Return the whole state of this moment, for terminal, page and API."""
        return self._reporter.view()

    # --- what the live loop hands on (no call waits) ---------------------------------------------

    def on_segmented(self, frame: Frame, segmentation: SegmentedFrame) -> None:
        """Every frame: remembered for the page, judged for its light, offered for explanation.

        One picture that is shown again and again is explained once.
        """
        self._reporter.last_frame_ms = frame.captured_utc_ms
        self._stages.newest.on_segmented(frame, segmentation)
        if self._is_frozen(frame.lane):
            return
        self._stages.recording.recorder.hold(frame)
        judged_mono = self._light_mono.get(frame.lane, -math.inf)
        if not 0.0 <= frame.captured_mono - judged_mono < LIGHT_EVERY_S:
            self._light_mono[frame.lane] = frame.captured_mono
            self._stages.alarm_loop.post(segmentation)
        self._swap.trials.offer(frame, segmentation)
        if self._stages.pool.status().workers:
            self._stages.explain.offer(frame, segmentation)

    def on_fruit(self, reading: FruitReading) -> None:
        """One reading per fruit: counted, published, judged."""
        if self._is_frozen(reading.segmentation.lane):
            reading = replace(reading, camera_frozen=True)
        count_fruit(self.telemetry, reading)
        self._stages.newest.on_fruit(reading)
        for sink in self._stages.sinks:
            sink.fruit(reading, reading.segmentation.lane)
        self._stages.recording.recorder.fruit(reading)
        self._stages.alarm_loop.post(reading)

    def _is_frozen(self, lane: str) -> bool:
        # A camera that was removed has no state, and its last frames are still coming.
        return self._stages.capture.lane_states().get(lane) is CameraState.FROZEN

    # --- what comes from elsewhere ---------------------------------------------------------------

    def on_result(self, result: Result, selection: Selection) -> None:
        """One explanation, or why there is none: published, judged."""
        if isinstance(result, Explanation):
            self._stages.newest.on_explanation(result, selection)
            self._swap.trials.on_explanation(result)
            self._stages.recording.recorder.explained(result, selection)
            for name, value in of_explanation(result, None).items():
                self.telemetry.gauge("signal", value, camera=result.lane, signal=name)
            for sink in self._stages.sinks:
                sink.explanation(result)
        self._stages.alarm_loop.post(result)

    def machine(self) -> MachineInfo:
        """Return what the machine said last."""
        return self._reporter.machine

    def on_machine(self, machine: MachineInfo) -> None:
        """The machine's word, or an operator's: for the pictures that it belongs to."""
        self._hear(self._stages.running.take(machine))

    def _hear(self, machine: MachineInfo) -> None:
        before, self._reporter.machine = (
            self._reporter.machine,
            self._stages.running.shown(machine),
        )
        if machine.state is not before.state:
            log_event(logger, logging.INFO, "machine_state", state=machine.state.value)
        variety = self._reporter.machine.variety
        if variety is not None:
            if self._varieties.get(machine.lane, variety) != variety:
                self.telemetry.gauge("variety_change_timestamp_seconds", wall_clock_ms() / 1000)
            self._varieties[machine.lane] = variety
        self._stages.capture.set_machine(machine)
        self._stages.alarm_loop.post(machine)

    # --- what the thread of the alarms hands on --------------------------------------------------

    def on_alarms(self, alarms: Sequence[Alarm]) -> None:
        """One transaction for what one tick changed: the alarms' state and their messages."""
        newest = self._stages.newest
        pairs = []
        for alarm in alarms:
            if follow_s := follow_up_s(alarm):
                self._stages.explain.raise_attention(alarm.camera_id, follow_s)
            evidence = evidence_of(alarm, newest)
            if evidence:
                newest.on_evidence(alarm.event_id, evidence)
            pairs.append((alarm, evidence))
        save: Callable[[], None] = partial(self._stages.persistence.save, alarms)
        for sink in self._stages.sinks:  # each saves by way of those before it, then publishes
            save = partial(sink.alarms, pairs, save)
        save()
        note = partial(self._stages.history.note, alarms)
        self._stages.store.database.after_commit(note)  # never in a transaction of alarms

    def on_answer(self, command: Command, result: CommandResult) -> None:
        """One transaction for what a command changed and for its row in the audit table."""

        def work(_connection: object) -> None:
            if result.records:
                self.on_alarms(result.records)
            self._stages.commands.audit(command, result)
            self._stages.running.save()

        self._stages.store.database.run(work)
        for sink in self._stages.sinks:
            sink.answer(command, result.outcome, result.detail)
        self._stages.actions.answered(command, result, counted=bool(self._stages.sinks))

    def on_tick(self) -> None:
        """Called several times a second."""
        stages = self._stages
        for word in stages.running.recovered():
            self._hear(word)
        stages.running.save(now=False)
        stages.persistence.tick()
        stages.published.tick()
        stages.history.tick(stages.alarm_loop.levels())
        stages.recording.recorder.alarmed(
            alarmed_lanes(stages.alarm_loop.alarms(), factories.devices_of(stages.config))
        )
        self._reporter.tick()
        self.reloads.tick()
