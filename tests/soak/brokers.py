"""A plant's agent on brokers as they are: one that limits its clients, and one with two agents of
one id on it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.pipeline.gauges import tags
from agent.records import Quality
from tests.publishing import examples
from tests.publishing.rig import Rig, running
from tests.support import wait_until
from tests.support.fault_broker import FaultBroker, Published, fault_broker
from tests.support.mosquitto import mosquitto
from tests.support.running import RunningAgent, running_agent

CAMERAS = 12
ALARMS = 8
"""Of each camera, that have been published."""

LIMIT_PER_S = 20
SNAPSHOT_S, WAIT_S, NOBODY_S = 60.0, 1.0, 5.0
FRUIT_PER_S, ALARM_EVERY_S = 3.0, 2.0
"""Of all cameras together: what a broker with such a limit has room for beside the states."""

WATCH_S = 60.0
POLL_S = 0.05

TWIN = """
state_dir: {state}
mqtt: {{broker: '{broker}', reconnect_penalty_s: 10.0, sparkplug: {{enabled: true}}}}
ablation: {{workers: {{count: 0}}}}
cameras: [{{name: cam1, source: 'sim:?rate=60&seed=3'}}]
"""


def brokers(folder: Path) -> tuple[list[str], list[str]]:
    """Measure, and return the table's lines and the bars that were missed."""
    rows = [_paced(pace) for pace in (0, LIMIT_PER_S)]
    lines = [
        f"{CAMERAS} cameras on a broker that hangs up at more than {LIMIT_PER_S} messages a second; "
        f"{FRUIT_PER_S:g} fruit a second, an alarm every {ALARM_EVERY_S:g} s",
        "",
        "| mqtt.publish_per_s | states | connections lost | until all had come on one connection, s "
        "| fruit to broker on it: longest, s (how many) | alarms: longest, s (how many) |",
        "|---|---|---|---|---|---|",
        *(row.line() for row in rows),
        "",
    ]
    failures = [problem for row in rows for problem in row.missed()]
    twins, nobody_s = _twins(folder / "twins")
    failures += [] if nobody_s <= NOBODY_S else [f"neither was connected for {nobody_s:.1f} s"]
    return [*lines, *twins], failures


# --- a broker that limits its clients ------------------------------------------------------------


@dataclass(slots=True)
class Paced:
    """One run. Times in seconds: of the whole snapshot, and from the call to the broker."""

    pace: int
    states: int = 0
    closes: int = 0
    snapshot_s: float = 0.0
    waits_s: dict[str, list[float]] = field(default_factory=dict)

    def line(self) -> str:
        cells = [f"{self.pace or 'not set'}", f"{self.states}", f"{self.closes}"]
        cells += [f"{self.snapshot_s:.1f}"]
        cells += [f"{max(waits):.2f} ({len(waits)})" for waits in self.waits_s.values()]
        return f"| {' | '.join(cells)} |"

    def missed(self) -> list[str]:
        name = f"publish_per_s {self.pace or 'not set'}"
        late = [
            f"{name}: {kind} waited for {max(waits):.1f} s"
            for kind, waits in self.waits_s.items()
            if max(waits) > WAIT_S
        ]
        slow = self.snapshot_s > SNAPSHOT_S
        return [*late, *([f"{name}: {self.snapshot_s:.0f} s"] if slow else [])]


def _paced(pace: int) -> Paced:
    """What an agent of so many cameras publishes, by way of the publisher alone."""
    run = Paced(pace)
    with (
        fault_broker() as broker,
        running(broker.url, protocol="5", publish_per_s=0, reconnect_max_s=5.0) as rig,
    ):
        _every_state(rig)
        rig.settled()
        run.states = len({one.topic for one in broker.published if one.retain})
    with fault_broker(publish_max_per_s=LIMIT_PER_S) as broker:
        broker.refuse()
        with running(
            broker.url, wait=False, protocol="5", publish_per_s=pace, reconnect_max_s=5.0
        ) as rig:
            _every_state(rig)  # what there is at the connect; what comes later is news
            broker.open()
            called = Called()
            began = time.monotonic()
            while (
                len({one.topic for one in _of_this_connection(broker) if one.retain}) < run.states
            ):
                called.publish(rig)
                time.sleep(POLL_S)
                if time.monotonic() - began > 3 * SNAPSHOT_S:
                    break
            run.snapshot_s = time.monotonic() - began
            run.closes = broker.closes
            run.waits_s = called.waits_s(_of_this_connection(broker))
    return run


def _every_state(rig: Rig) -> None:
    stamp = examples.STAMP
    for tag in tags(("suture", "stem")):
        for lane in ["agent"] if tag.of_agent else [f"cam{i:02}" for i in range(CAMERAS)]:
            rig.publisher.metric(lane, tag.name, 1.0, Quality.GOOD, stamp)
    for i in range(CAMERAS * ALARMS):
        rig.publisher.alarm(
            examples.alarm(alarm_id=f"a{i}", event_id=f"e{i}", transition="quality")
        )


class Called:
    """Publishes fruit and alarms at their pace, and knows when each was handed over."""

    def __init__(self) -> None:
        self._fruit: dict[int, float] = {}  # Unix times
        self._alarms: dict[str, float] = {}
        self._began = time.monotonic()

    def publish(self, rig: Rig) -> None:
        elapsed = time.monotonic() - self._began
        while len(self._fruit) < elapsed * FRUIT_PER_S:
            seq = len(self._fruit)
            self._fruit[seq] = time.time()
            rig.publisher.fruit(examples.fruit(seq=seq), f"cam{seq % CAMERAS:02}")
        while len(self._alarms) < elapsed / ALARM_EVERY_S:
            name = f"live{len(self._alarms)}"
            self._alarms[name] = time.time()
            rig.publisher.alarm(
                examples.alarm(alarm_id="live", event_id=name, seq=len(self._alarms))
            )

    def waits_s(self, published: list[Published]) -> dict[str, list[float]]:
        """How long those took that were handed over after the first of these."""
        opened, waits = published[0].at, {"fruit": [0.0], "alarms": [0.0]}
        for one in published:
            kind = "fruit" if "/fruit/" in one.topic else "alarms"
            if kind == "alarms" and not one.topic.endswith("event/alarm"):
                continue
            said = json.loads(one.payload)
            known: dict[object, float] = {**self._fruit, **self._alarms}
            at = known.get(said["seq"] if kind == "fruit" else said["event_id"], 0.0)
            if at >= opened:
                waits[kind].append(one.at - at)
        return waits


def _of_this_connection(broker: FaultBroker) -> list[Published]:
    return broker.published[broker.before :]


# --- two agents of one id ------------------------------------------------------------------------


def _twins(folder: Path) -> tuple[list[str], float]:
    """Return lines, and the longest time in seconds in which neither was connected."""
    folder.mkdir(parents=True)
    with mosquitto(folder) as broker:
        configs = []
        for name in ("first", "second"):
            configs.append(folder / f"{name}.yaml")
            text = TWIN.format(state=folder / name, broker=broker.url)
            configs[-1].write_text(text)
        with running_agent(folder, "--config", str(configs[0])) as first:
            first.wait_ready()
            first.wait(lambda: _connected(first), 60, "connected")
            with running_agent(folder, "--config", str(configs[1])) as second:
                second.wait_ready()
                second.wait(lambda: second.events("broker_connected"), 60, "it connects too")
                second.wait(lambda: second.events("session_conflict"), 60, "they notice")
                shares, longest_s = _watch((first, second))
                alarms = [_has_alarm(agent) for agent in (first, second)]
                connects = [len(agent.events("broker_connected")) for agent in (first, second)]
                wait_until(
                    lambda: _as_node(first) and _connected(first) and not _as_node(second),
                    30,
                    "the first is connected at the end as both, the second as neither",
                )
                second.stop()
            first.stop()
    return [
        f"Two agents of one id on mosquitto, {WATCH_S:g} s from their conflict on, penalty 10 s",
        "",
        "| agent | connected, share of the time | connections | broker_session_conflict |",
        "|---|---|---|---|",
        *(
            f"| {name} | {share:.3f} | {count} | {'raised' if alarm else 'not raised'} |"
            for name, share, count, alarm in zip(
                ("started first", "started second"), shares, connects, alarms, strict=True
            )
        ),
        "",
        f"Longest time in which neither was connected: {longest_s:.2f} s (looked at every {POLL_S:g} s)",
        "",
    ], longest_s


def _watch(agents: tuple[RunningAgent, RunningAgent]) -> tuple[list[float], float]:
    looks, seen = 0, [0, 0]
    somebody_at, longest_s = time.monotonic(), 0.0
    end = time.monotonic() + WATCH_S
    while (now := time.monotonic()) < end:
        connected = [_connected(agent) for agent in agents]
        looks += 1
        seen = [count + one for count, one in zip(seen, connected, strict=True)]
        if any(connected):
            somebody_at = now
        longest_s = max(longest_s, now - somebody_at)
        time.sleep(POLL_S)
    return [count / looks for count in seen], longest_s


def _connected(agent: RunningAgent) -> bool:
    return bool(agent.status()["link"]["connected"])


def _as_node(agent: RunningAgent) -> bool:
    return agent.total("pitwatch_broker_connected", client="spb") > 0


def _has_alarm(agent: RunningAgent) -> bool:
    return any(
        value > 0 and "broker_session_conflict" in str(sorted(labels))
        for (name, labels), value in agent.samples().items()
        if name == "pitwatch_alarm_active"
    )
