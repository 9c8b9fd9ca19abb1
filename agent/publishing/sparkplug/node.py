"""The edge node as a state machine: values, connection and host in, messages out. Pure.

It is fed with what happens (``offer``, ``device``, ``connected``, ``disconnected``, ``received``)
and asked what to send now (``tick``), all from one thread, so that sequence numbers have no gap.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.publishing.sparkplug.births import REBIRTH, Composer, Packet, death_packet
from agent.publishing.sparkplug.codec import Control, DataType, read_controls
from agent.publishing.sparkplug.echo import BirthEcho
from agent.publishing.sparkplug.history import History
from agent.publishing.sparkplug.host import PrimaryHost, StateMessage
from agent.publishing.sparkplug.pending import Pending
from agent.publishing.sparkplug.protobuf import CodecError
from agent.publishing.sparkplug.rebirth import Rebirth
from agent.publishing.sparkplug.states import EDGES, Cause, NodeState
from agent.publishing.sparkplug.tags import NODE, Sample, Tag, TagError, TagTable
from agent.publishing.sparkplug.topics import NodeTopics, Type
from agent.publishing.sparkplug.writes import Written, written
from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

METRICS_PER_MESSAGE = 200
RECENT_MAX = 5000
"""Values sent of late that are kept in case the connection was dead already."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """``facts`` are values known from the start, of tags among ``tags``. ``writable``: what of an
    alarm a host may write to."""

    topics: NodeTopics
    devices: tuple[str, ...]
    tags: tuple[Tag, ...] = ()
    facts: tuple[Sample, ...] = ()
    deadband: float = 0.01
    batch_s: float = 0.2
    debounce_s: float = 5.0
    history_max: int = 20_000
    settle_s: float = 1.0
    recent_s: float = 50.0
    echo_s: float = 10.0
    typed_data: bool = False
    writable: tuple[str, ...] = ()


class EdgeNode:
    """One node and its devices. ``utc_ms`` is Unix time in milliseconds."""

    def __init__(
        self,
        settings: NodeSettings,
        host: PrimaryHost,
        telemetry: Telemetry,
        utc_ms: Callable[[], int],
        now: float,
    ) -> None:
        self.state = NodeState.OFFLINE
        self._settings = settings
        self._host = host
        self._telemetry = telemetry
        self._utc_ms = utc_ms
        self._table = TagTable(settings.tags, settings.deadband, typed_data=settings.typed_data)
        self._compose = Composer(settings.topics)
        self._alive = dict.fromkeys(settings.devices, False)
        self._born: set[str] = set()
        self._unborn: set[tuple[str, str]] = set()
        self._pending = Pending()
        self._history = History(settings.history_max)
        self._recent: deque[tuple[float, Sample]] = deque(maxlen=RECENT_MAX)
        self._bdseq = 0
        self._settled_at = now + settings.settle_s
        self._batch_due = now
        self._rebirth = Rebirth(settings.debounce_s)
        self._echo = BirthEcho(settings.echo_s)
        self._writes: list[Written] = []
        for fact in settings.facts:
            self._table.offer(fact)

    # --- values and devices ----------------------------------------------------------------------

    def offer(self, sample: Sample, now: float) -> None:
        """Take one value; it goes out with the next batch, or is kept for after the outage."""
        if sample.key not in self._table and not self._add(sample, now):
            return
        if not self._table.offer(sample):
            self._count("held")
        elif sample.device != NODE and not self._alive[sample.device]:
            self._count("device_dead")
        elif not self._sendable(sample):
            self._keep(sample)
        else:
            self._count("superseded", self._pending.put(sample, self._table.is_every(sample.key)))

    def device(self, name: str, alive: bool) -> None:
        """Say whether a device delivers; ``KeyError`` for one that does not exist."""
        if name not in self._alive:
            raise KeyError(name)
        self._alive[name] = alive

    def _sendable(self, sample: Sample) -> bool:
        born = sample.device == NODE or sample.device in self._born
        return self.state is NodeState.ONLINE and born and sample.key not in self._unborn

    def _add(self, sample: Sample, now: float) -> bool:
        """Make a tag of a value that no birth has announced: there has to be another birth."""
        if sample.device != NODE and sample.device not in self._alive:
            self._count("no_room")
            return False
        try:
            self._table.add(Tag(sample.device, sample.name, _type_of(sample)))
        except TagError as error:
            self._count("no_room")
            log_event(logger, logging.WARNING, "sparkplug_tag_refused", detail=str(error))
            return False
        self._unborn.add(sample.key)
        if self.state is NodeState.ONLINE:
            self._rebirth.ask("new_tag", now)
        return True

    def _keep(self, sample: Sample) -> None:
        self._count("lost", self._history.put(sample))
        self._telemetry.gauge("sparkplug_samples_waiting", float(len(self._history)))

    # --- connection ------------------------------------------------------------------------------

    def connected(self, bdseq: int) -> None:
        """A connection stands, whose will carries ``bdseq``."""
        self._bdseq = bdseq
        self._host.new_session()
        self._go(Cause.CONNECTED)

    def disconnected(self, now: float) -> None:
        """The connection is gone. What was sent of late may never have arrived: it is kept."""
        if self.state in (NodeState.ONLINE, NodeState.LEAVING):
            for at, sample in self._recent:
                if now - at <= self._settings.recent_s:
                    self._keep(sample)
            for sample in self._pending.clear():
                self._keep(sample)
        self._recent.clear()
        self._born.clear()
        self._rebirth.cancel()
        self._echo.disconnected()
        self._go(Cause.DISCONNECTED)

    def death(self) -> Packet:
        """Return the NDEATH of this connection."""
        return death_packet(self._settings.topics, self._bdseq, self._utc_ms())

    def _go(self, cause: Cause) -> None:
        after = EDGES.get((self.state, cause))
        if after is None:
            raise ValueError(f"no edge from {self.state.value} by {cause}")
        self.state = after
        self._telemetry.gauge("sparkplug_online", float(after is NodeState.ONLINE))

    # --- what the broker says --------------------------------------------------------------------

    def received(self, topic: str, payload: bytes, retained: bool, now: float) -> bool:
        """Take one message: a STATE of the host, a command, or a birth under our name.

        False when that birth is another node's, while we are born ourselves.
        """
        topics = self._settings.topics
        if topic == topics.topic(Type.NBIRTH):
            return self._echo.seen(payload) or self.state is not NodeState.ONLINE
        if topic == topics.topic(Type.NCMD):
            self._command(payload, retained, now)
            return True
        message = self._host.receive(topic, payload)
        if message in (StateMessage.STALE, StateMessage.INVALID):
            self._telemetry.count("sparkplug_commands", outcome=f"state_{message.value}")
        if message is StateMessage.OFFLINE and self.state is NodeState.ONLINE:
            self._go(Cause.HOST_OFFLINE)
        return True

    def birth_not_returned(self, now: float) -> bool:
        """Whether the broker has not given our own birth back in time; true once a birth."""
        return self._echo.overdue(now)

    def _command(self, payload: bytes, retained: bool, now: float) -> None:
        if retained:  # it was meant for another moment
            self._telemetry.count("sparkplug_commands", outcome="retained")
            return
        try:
            controls = read_controls(payload)
        except CodecError as error:
            self._telemetry.count("sparkplug_commands", outcome="invalid")
            log_event(
                logger,
                logging.WARNING,
                "sparkplug_command_invalid",
                topic=self._settings.topics.topic(Type.NCMD),
                detail=str(error),
            )
            return
        for control in controls:
            self._telemetry.count("sparkplug_commands", outcome=self._obey(control, now))

    def _obey(self, control: Control, now: float) -> str:
        """Do what one metric of a command asks for; return what became of it."""
        if control.name != REBIRTH:
            write = self._write(control)
            if write is None:
                return "unknown"
            self._writes.append(write)
            return "written"
        if control.value is None:
            return "unknown"
        if self.state is not NodeState.ONLINE or not control.value:
            return "ignored"
        return "rebirth" if self._rebirth.ask("command", now) else "debounced"

    def _write(self, control: Control) -> Written | None:
        """What is written to a tag of the node that births have named."""
        tag = self._table.by_alias(control.alias) if not control.name else None
        name = tag.name if tag is not None and tag.device == NODE else control.name
        if (NODE, name) not in self._table:
            return None
        return written(name, control, self._settings.writable)

    def take_writes(self) -> list[Written]:
        """Return and forget what hosts have written to tags."""
        writes, self._writes = self._writes, []
        return writes

    # --- what goes out ---------------------------------------------------------------------------

    def tick(self, now: float) -> list[Packet]:
        """Return what is to be sent now, in order."""
        if self.state is NodeState.WAITING and self._host.online and now >= self._settled_at:
            self._go(Cause.BORN)
            return self._births("connected", now)
        if self.state is not NodeState.ONLINE:
            return []
        if now >= self._echo.again_at:
            self._rebirth.ask("not_returned", now)
        if self._rebirth.pending:
            # From the request on no data goes out until the births have (section 5.14).
            why = self._rebirth.due(now)
            return self._births(why, now) if why else []
        packets = self._device_changes()
        if now >= self._batch_due:
            self._batch_due = now + self._settings.batch_s
            packets += self._data(now)
        return packets

    def due_in_s(self, now: float) -> float:
        """How long ``tick`` may wait."""
        if self.state is NodeState.WAITING:
            return max(0.0, self._settled_at - now) if self._host.online else 1.0
        if self.state is not NodeState.ONLINE:
            return 1.0
        due = self._rebirth.due_at if self._rebirth.pending else self._batch_due
        return max(0.0, due - now)

    def _births(self, why: str, now: float) -> list[Packet]:
        for sample in self._pending.clear():
            self._keep(sample)  # the births hold the newest values; these were measured before
        now_ms = self._utc_ms()
        nbirth = self._compose.nbirth(self._bdseq, self._table.birth(NODE, now_ms), now_ms)
        self._echo.sent(nbirth.payload, now)
        self._rebirth.born(now)
        self._unborn.clear()
        self._born = {name for name, alive in self._alive.items() if alive}
        self._telemetry.count("sparkplug_births", reason=why)
        log_event(logger, logging.INFO, "sparkplug_born", reason=why, bdseq=self._bdseq)
        return [nbirth, *(self._dbirth(name) for name in self._alive if name in self._born)]

    def _dbirth(self, name: str) -> Packet:
        now_ms = self._utc_ms()
        return self._compose.message(Type.DBIRTH, name, self._table.birth(name, now_ms), now_ms)

    def _device_changes(self) -> list[Packet]:
        packets = []
        for name, alive in self._alive.items():
            if alive and name not in self._born:
                self._born.add(name)
                packets.append(self._dbirth(name))
            elif not alive and name in self._born:
                self._born.discard(name)
                for sample in self._pending.take(name):
                    self._keep(sample)
                packets.append(self._compose.message(Type.DDEATH, name, (), self._utc_ms()))
        return packets

    def _data(self, now: float) -> list[Packet]:
        packets = []
        for device in (NODE, *sorted(self._born)):
            live = self._pending.take(device)
            room = max(0, METRICS_PER_MESSAGE - len(live))
            late = self._history.take(device, room)
            for sample in live + late:
                self._recent.append((now, sample))
            self._count("live", len(live))
            self._count("historical", len(late))
            if late:
                self._telemetry.gauge("sparkplug_samples_waiting", float(len(self._history)))
            if live or late:
                packets.append(self._data_packet(device, live, late))
        return packets

    def _data_packet(self, device: str, live: list[Sample], late: list[Sample]) -> Packet:
        # In the order of time (section 5.12); the late ones stand before, as they happened.
        live.sort(key=lambda sample: sample.timestamp_ms)
        metrics = [self._table.data(sample, historical=True) for sample in late]
        metrics += [self._table.data(sample) for sample in live]
        kind = Type.NDATA if device == NODE else Type.DDATA
        return self._compose.message(kind, device, metrics, self._utc_ms())

    def _count(self, outcome: str, amount: int = 1) -> None:
        if amount:
            self._telemetry.count("sparkplug_samples", amount, outcome=outcome)


def _type_of(sample: Sample) -> DataType:
    match sample.value:
        case bool():
            return DataType.BOOLEAN
        case str():
            return DataType.STRING
        case int():
            return DataType.INT64
        case float():
            return DataType.DOUBLE
