"""A machine, its network and a camera in simulated time: what was really triggered is known."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.capture.pairing.clock import MachineClock
from agent.capture.pairing.history import Word
from agent.capture.pairing.triggers import PairingSettings, TriggerPairing
from agent.records import IdReason, MachineInfo, MachineState

PERIOD_S = 60 / 280
EPOCH_S = 1.8e9
"""The machine's clock when ours, which is monotonic, says 0."""


@dataclass(frozen=True, slots=True)
class Plant:
    """``delay``: seconds that a message is under way; ``lost``, ``doubled``, ``unseen``: share of
    messages that are lost or come twice, of pictures that never come. ``clock``: error of the
    machine's clock (s) at a time; ``stops``: from when to when the agent does nothing."""

    delay: Callable[[random.Random], float]
    triggers: int = 2000
    stamped: bool = True
    lost: float = 0.0
    doubled: float = 0.0
    unseen: float = 0.0
    shutter_s: float = 0.01  # from trigger to capture, at most
    transfer_s: float = 0.02  # from capture to the agent, at most
    mask_s: float = 0.05  # from the agent to the reading
    period_s: float = PERIOD_S
    clock: Callable[[float], float] = lambda _now: 0.0
    glitches: float = 0.0  # share of the stamps that are a second off
    stops: tuple[tuple[float, float], ...] = ()
    settings: PairingSettings = field(default_factory=PairingSettings)
    seed: int = 1


@dataclass(slots=True)
class Outcome:
    """``readings``: (the fruit's own id, the id given, why not certain, time waited) of each."""

    readings: list[tuple[str, str, IdReason, float]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> list[tuple[str, str]]:
        """Those that are called certain and are not the fruit's own."""
        return [
            (own, given)
            for own, given, why, _ in self.readings
            if why is IdReason.NONE and given not in ("", own)
        ]

    @property
    def right(self) -> float:
        """Share of all readings that have their own id, called certain."""
        sure = sum(own == given and why is IdReason.NONE for own, given, why, _ in self.readings)
        return sure / len(self.readings)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(why.value for _, _, why, _ in self.readings)

    @property
    def used_twice(self) -> list[str]:
        given = Counter(given for _, given, _, _ in self.readings if given)
        return [name for name, times in given.items() if times > 1]


def play(plant: Plant) -> Outcome:
    """Let the machine run, and return every reading."""
    rng = random.Random(plant.seed)
    outcome = Outcome()
    clock = MachineClock()
    pairing = TriggerPairing(plant.settings, clock, lambda reason: outcome.counts.update([reason]))
    order = itertools.count()
    events: list[tuple[float, int, str, tuple[object, ...]]] = []

    def awake(at: float) -> float:
        return next((end for start, end in plant.stops if start <= at < end), at)

    def put(at: float, what: str, *facts: object) -> None:
        heapq.heappush(events, (awake(at), next(order), what, facts))

    sent = 10.0
    for number in range(plant.triggers):
        sent += plant.period_s * rng.uniform(0.99, 1.01)
        name = f"f{number}"
        if rng.random() >= plant.unseen:
            captured = sent + rng.uniform(0, plant.shutter_s)
            put(captured + rng.uniform(0, plant.transfer_s), "picture", number + 1, captured)
        if rng.random() < plant.lost:
            continue
        off_s = plant.clock(sent)
        if rng.random() < plant.glitches:
            off_s += rng.choice((-1.0, 1.0))
        stamp_ms = round(1000 * (EPOCH_S + sent + off_s)) if plant.stamped else 0
        copies = 2 if rng.random() < plant.doubled else 1
        for _ in range(copies):
            put(sent + plant.delay(rng), "message", name, stamp_ms)
    waiting: list[tuple[int, float]] = []  # (seq, masked)
    seq = 0
    while events:
        now, _, what, facts = heapq.heappop(events)
        if what == "picture":
            number, captured = facts
            seq += 1  # the agent numbers what it gets
            pairing.picture(seq, captured, now)
            put(now + plant.mask_s, "mask", seq, number)
        elif what == "message":
            name, stamp_ms = facts
            info = MachineInfo(
                MachineState.RUNNING, name, machine_timestamp_ms=stamp_ms, arrived_mono=now
            )
            generation = clock.heard(now, stamp_ms) if stamp_ms else clock.generation
            pairing.trigger(Word(info, generation))
        elif what == "mask":
            waiting.append((*facts, now))
            put(now + plant.settings.wait_s, "look")
        while waiting:
            own_seq, number, masked = waiting[0]
            verdict = pairing.decide(own_seq, now)
            if verdict is None:
                break
            waiting.pop(0)
            given = verdict.info.fruit_id if verdict.info else ""
            outcome.readings.append((f"f{number - 1}", given, verdict.reason, now - masked))
    outcome.counts["clock_step"] = clock.generation - 1
    return outcome
