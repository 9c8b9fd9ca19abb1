"""Disks, folders and clocks as they really are: hung, replaced, full at the end, and wrong. Each at
random points, many times; nothing may be lost. The first and the third need root."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.storage.file.state_dir import FILE
from tests.publishing.outbox.test_durable import DAY_MS, UTC_MS, Plant
from tests.soak.alarm_source import Life, Source, publisher_settings
from tests.support import wait_until
from tests.support.frozen_disk import FrozenDisk, frozen_disk
from tests.support.mosquitto import Mosquitto, Observer, mosquitto
from tests.support.running import RunningAgent, running_agent

Proof = tuple[list[str], list[str]]
EVENT = "event/alarm"
GAP_S = 1.0
LONG_S = 20.0
NOWHERE = "mqtt://127.0.0.1:9"  # a broker that is away
CONFIG = """
state_dir: {state}
mqtt: {{broker: '{broker}', reconnect_first_s: 0.2, reconnect_max_s: 0.5}}
cameras: [{{name: cam1, source: 'sim:?rate=280&seed=5'}}]
ablation: {{workers: {{count: 0}}}}
commands: {{per_s: 1000.0}}
"""


def storage(folder: Path, share: float) -> Proof:
    """All of them; ``share`` 1.0 is the whole proof: 50 times each."""
    count = max(2, round(50 * share))
    long = min(3, max(1, round(3 * share)))
    lines: list[str] = []
    failures: list[str] = []
    for made in (
        lambda: hangs(folder / "hangs", count, long),
        lambda: replaced(folder / "replaced", count),
        lambda: full_ends(folder / "full", count),
        lambda: wrong_clocks(folder / "clocks", count),
    ):
        found, missed = made()
        print("\n".join([*found, *missed, ""]), flush=True)
        lines += [*found, ""]
        failures += missed
    return lines, failures


# --- a disk that hangs ---------------------------------------------------------------------------


class Operator:
    """Shelves and unshelves one alarm: each is an event that the agent has to keep."""

    def __init__(self, observer: Observer, base: str) -> None:
        self._observer = observer
        self._base = base
        self._number = itertools.count()

    def act(self) -> None:
        number = next(self._number)
        name = "unshelve" if number % 2 else "shelve"
        asked: dict[str, object] = {
            "command_id": f"c{number}",
            "issued_ms": time.time_ns() // 1_000_000,
            "user": "soak",
            "alarm_id": "camera_lost-cam1",
        }
        if name == "shelve":
            asked["duration_s"] = 3600
        self._observer.client.publish(f"{self._base}/cmd/{name}", json.dumps(asked), qos=1)


def hangs(folder: Path, count: int, long: int, seed: int = 1) -> Proof:
    """Freeze the disk under a running agent; in every fifth time the broker is away as well."""
    rng = random.Random(seed)
    lasting = [LONG_S] * long + [rng.uniform(1.0, 3.0) for _ in range(count - long)]
    rng.shuffle(lasting)
    folder.mkdir(parents=True)
    windows: list[tuple[float, float]] = []
    absences: list[tuple[float, float]] = []
    with frozen_disk(folder / "disk") as disk, mosquitto(folder) as broker:
        file = folder / "pitwatch.yaml"
        file.write_text(CONFIG.format(state=disk.folder / "state", broker=broker.url))
        with running_agent(folder, "--config", str(file)) as agent:
            agent.wait_ready(120)
            with Observer(broker.port, "#", checked=False) as observer:
                first = observer.wait("/alarm/camera_lost-cam1", timeout_s=60)[0].topic
                operator = Operator(observer, first.removesuffix("/alarm/camera_lost-cam1"))
                for number, seconds in enumerate(lasting):
                    away = number % 5 == 4
                    window = _hang(disk, broker if away else None, operator, rng, seconds)
                    if not away:
                        windows.append(window)
                    else:
                        absences.append(window)
                    _wait_durable(agent)
                    wait_until(observer.client.is_connected, 30, "the subscriber is back")
                made = _newest_seq(disk.folder / "state", agent, observer)
                code, stop_s = agent.stop(timeout_s=30)
                times = [seen.at for seen in observer.all("/fruit/cam1")]
                seqs = [json.loads(seen.payload)["seq"] for seen in observer.all(EVENT)]
            books = agent.message_books()
            degraded = len(agent.events("storage_degraded"))
    gaps = [_largest_gap(times, *window) for window in windows]
    between = [
        _largest_gap(times, before[1] + 1.0, after[0])
        for before, after in itertools.pairwise(windows)
        if before[1] + 1.0 < after[0]
        and not any(before[1] < absence[0] < after[0] for absence in absences)
    ]
    lost = set(range(1, made + 1)) - set(seqs)
    longest = max(gaps, default=0.0)
    odd = books["enqueued"] - books["delivered"] - books["dropped"] - books["in_flight"]
    failures = [
        *([f"fruit stood for {longest:.2f} s"] if longest > GAP_S else []),
        *([f"{len(lost)} events lost: {sorted(lost)[:10]}"] if lost else []),
        *([f"books off by {odd}"] if odd else []),
        *([f"exit code {code}"] if code else []),
    ]
    return [
        f"A disk frozen under a running agent, {count} times for 1 to 3 s, {long} of them for {LONG_S:g} s; the broker away in every fifth", "",
        "| what | value |", "|---|---|",
        f"| largest gap of fruit messages while it hung, s (limit {GAP_S:g}) | {longest:.2f} |",
        f"| largest gap while it did not hang (what the machine does to the agent anyway), s | {max(between, default=0.0):.2f} |",
        f"| times that memory took over | {degraded} |",
        f"| events made | {made} |",
        f"| lost | {len(lost)} |",
        f"| seconds of the stop | {stop_s:.1f} |",
    ], failures  # fmt: skip


def _hang(
    disk: FrozenDisk,
    broker: Mosquitto | None,
    operator: Operator,
    rng: random.Random,
    seconds: float,
) -> tuple[float, float]:
    time.sleep(rng.uniform(0.2, 1.5))
    operator.act()
    if broker is not None:
        broker.kill()
    with disk.frozen():
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            if broker is None:
                operator.act()
            time.sleep(rng.uniform(0.2, 0.8))
    ended = time.monotonic()
    if broker is not None:
        broker.start()
    return began, ended


def _wait_durable(agent: RunningAgent) -> None:
    agent.wait(lambda: agent.total("pitwatch_storage_durable") == 1, 60, "back on the disk")


def _newest_seq(_state: Path, agent: RunningAgent, observer: Observer) -> int:
    """Wait until nothing waits any more; the newest number that came."""

    def sent() -> bool:
        return agent.total("pitwatch_messages_in_flight", topic_family="event") == 0

    agent.wait(sent, 120, "every event sent")
    return max((json.loads(seen.payload)["seq"] for seen in observer.all(EVENT)), default=0)


def _largest_gap(times: list[float], began: float, ended: float) -> float:
    """Of the messages from the last one before to the first one after."""
    inside = [t for t in times if began <= t <= ended]
    before = max((t for t in times if t < began), default=began)
    after = min((t for t in times if t > ended), default=ended)
    return max(b - a for a, b in itertools.pairwise([before, *inside, after]))


# --- a folder that is replaced -------------------------------------------------------------------


def _removed(state: Path) -> None:
    shutil.rmtree(state, ignore_errors=True)


def _renamed(state: Path) -> None:
    state.rename(state.with_name(f"gone-{time.monotonic_ns()}"))


def _emptied(state: Path) -> None:
    _renamed(state)
    state.mkdir(exist_ok=True)


def _file_removed(state: Path) -> None:
    (state / FILE).unlink()


WAYS: tuple[Callable[[Path], None], ...] = (_removed, _renamed, _emptied, _file_removed)


def replaced(folder: Path, count: int, seed: int = 2) -> Proof:
    """Take the folder away while the broker is away, raise more alarms, start again, and count."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    state = folder / "state"

    def befall(source: Source, steps: Iterator[object]) -> None:
        rng.choice(WAYS)(state)
        _raise(steps, rng.randrange(8))
        losses = 1
        wait_until(
            lambda: source.store.status().losses >= losses and not source.store.status().degraded,
            30, "noticed, and back on the disk",
        )  # fmt: skip
        _raise(steps, rng.randrange(3))

    return _restarts(
        folder,
        state,
        count,
        befall,
        rng,
        "A folder of the state removed, renamed, emptied, or its file removed",
    )


def full_ends(folder: Path, count: int, seed: int = 3) -> Proof:
    """Fill the disk, raise alarms, make room again, and end before the next try."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    small = folder / "small"
    small.mkdir()

    def befall(source: Source, steps: Iterator[object]) -> None:
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        for _ in range(2000):
            _raise(steps, 1)
            if source.store.status().degraded:
                break
        assert source.store.status().degraded, "the disk is full"
        _raise(steps, rng.randrange(6))
        ballast.unlink()

    with _mounted(small):
        return _restarts(
            folder,
            small / "state",
            count,
            befall,
            rng,
            "A disk that was full, with room again when the agent ended",
        )


@contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def _restarts(
    folder: Path,
    state: Path,
    count: int,
    befall: Callable[[Source, Iterator[object]], None],
    rng: random.Random,
    what: str,
) -> Proof:
    lost: set[int] = set()
    made, kept = 0, 0
    with mosquitto(folder) as broker, Observer(broker.port, "#", checked=False) as observer:
        for number in range(count):
            source = Source(publisher_settings(Life(folder, NOWHERE, f"s{number}")), state)
            source.publisher.start()
            steps = source.endless()
            _raise(steps, rng.randrange(1, 9))
            befall(source, steps)
            made = source.manager.export(0.0, 0)["seq"]
            source.publisher.stop(1.0)
            kept += source.store.close()
            source = Source(publisher_settings(Life(folder, broker.url, f"r{number}")), state)
            source.publisher.start()
            wait_until(lambda at=source: not any(at.store.spool.waiting().values()), 60, "all sent")
            source.publisher.stop(5.0)
            source.store.close()
            lost |= _never_seen(observer, made)
    failures = [
        *([f"{len(lost)} events lost: {sorted(lost)[:10]}"] if lost else []),
        *([f"{count - kept} ends without a disk"] if kept < count else []),
    ]
    return [
        f"{what}, {count} times, each with a restart after it", "",
        "| what | value |", "|---|---|", f"| events made | {made} |", f"| lost | {len(lost)} |",
    ], failures  # fmt: skip


def _never_seen(observer: Observer, made: int, longest_s: float = 20.0) -> set[int]:
    """Which events the subscriber was not given; what the broker has taken may be under way."""
    given_up = time.monotonic() + longest_s
    while True:
        seen = {json.loads(message.payload)["seq"] for message in observer.all(EVENT)}
        missing = set(range(1, made + 1)) - seen
        if not missing or time.monotonic() > given_up:
            return missing
        time.sleep(0.05)


def _raise(steps: Iterator[object], events: int) -> None:
    for _ in range(events):
        while not next(steps):
            pass


# --- a clock that is wrong -----------------------------------------------------------------------


def wrong_clocks(folder: Path, count: int, seed: int = 4) -> Proof:
    """Reboot with clocks that are right or wrong, held for synchronised where they are right; no
    event is given up before it has waited for as long as it may."""
    rng = random.Random(seed)
    made = dropped = 0
    sent: list[int] = []
    for number in range(count):
        plant = Plant(folder / str(number))
        true_ms = UTC_MS
        for _ in range(rng.randrange(1, 5)):
            right = rng.random() < 0.5
            wrong_ms = true_ms + rng.randrange(-3650, 3650) * DAY_MS
            plant.utc_ms, plant.synchronised = (true_ms, True) if right else (wrong_ms, False)
            plant.put_many(rng.randrange(1, 5), "event_alarm")
            plant.pass_time(seconds := rng.uniform(10, 3600))
            true_ms += round(seconds * 1000)
            if rng.random() < 0.5:  # the time server is found
                plant.utc_ms, plant.synchronised = true_ms, True
                plant.pass_time(10)
            plant.reboot()
            plant.pass_time(10)
            dropped += plant.books.total("messages_dropped")
        plant.connect()
        sent += plant.seqs()
        made += plant.seq
        plant.store.close()
    failures = [] if len(sent) == made and not dropped else [f"{made} events, {len(sent)} sent"]
    return [
        f"Reboots with clocks up to ten years wrong, {count} plants of one to four reboots each", "",
        "| what | value |", "|---|---|", f"| events made | {made} |", f"| given up | {dropped} |",
        f"| lost | {made - len(sent)} |",
    ], failures  # fmt: skip
