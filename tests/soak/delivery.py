"""Delivery: kills of the agent and of the broker, a day without a broker, speed, and replay."""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import sqlite3
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import config
from agent.publishing.outbox import replay as outbox_replay
from agent.publishing.outbox.durable import DurableOutbox
from agent.publishing.outbox.memory import MemoryOutbox
from agent.publishing.wire.composer import Composer
from agent.publishing.wire.messages import Entry, Message
from agent.records import TopicFamily
from agent.storage.store import Clocks, Store
from tests.publishing import examples
from tests.publishing.examples import Books, FakeClock
from tests.publishing.rig import running
from tests.soak.alarm_source import FAILPOINTS, Life, Source, live, publisher_settings
from tests.support import wait_until
from tests.support.mosquitto import Observer, mosquitto

Proof = tuple[list[str], list[str]]
EVENT = "event/alarm"
MIB = 1024 * 1024


def _table(rows: Sequence[tuple[str, object]]) -> list[str]:
    return ["| what | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


class Account:
    """What was committed against what a subscriber was given."""

    def __init__(self) -> None:
        self.committed: dict[int, str] = {}  # seq -> event id

    def commit(self, event_id: str, seq: int) -> None:
        self.committed[seq] = event_id

    def close(self, observer: Observer) -> tuple[list[tuple[str, object]], list[str]]:
        failures: list[str] = []
        seen: dict[int, dict[str, Any]] = {}
        duplicates = 0
        for message in observer.all(EVENT):
            told = json.loads(message.payload)
            told.pop("replayed")
            before = seen.setdefault(told["seq"], told)
            duplicates += before is not told
            if before != told:
                failures.append(f"seq {told['seq']} came with two contents")
        newest = max([*self.committed, *seen], default=0)
        lost = [seq for seq in range(1, newest + 1) if seq not in seen]
        wrong = [seq for seq, event in self.committed.items() if seq in seen
                 and seen[seq]["event_id"] != event]  # fmt: skip
        if lost:
            failures.append(f"{len(lost)} events lost: {lost[:10]}")
        if wrong:
            failures.append(f"{len(wrong)} events with another id: {wrong[:10]}")
        rows: list[tuple[str, object]] = [
            ("events committed (highest seq)", newest),
            ("of them said to be committed before the kill", len(self.committed)),
            ("lost", len(lost)),
            ("duplicates with equal id and content", duplicates),
            ("duplicates with another id or content", len(failures) - bool(lost)),
        ]
        return rows, failures


def kills(folder: Path, count: int, seed: int = 1) -> Proof:
    """kill -9 the publishing process at random points and failpoints, half and half."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "tests.soak.alarm_source"])
    account, died = Account(), dict.fromkeys((*FAILPOINTS, "random"), 0)
    with mosquitto(folder) as broker, Observer(broker.port, "#") as observer:
        for i in range(count):
            life = Life(folder / "state", broker.url, f"s{i}")
            if i % 2:
                life = replace(life, failpoint=rng.choice(FAILPOINTS), passes=rng.randrange(12))
            mine, theirs = context.Pipe(duplex=False)
            process = context.Process(target=live, args=(life, theirs))
            process.start()
            theirs.close()
            if life.failpoint:
                process.join(20)
            else:
                if rng.random() < 0.7:
                    mine.poll(20)  # from the first alarm on; else anywhere in the start as well
                process.join(rng.uniform(0.0, 0.15))
            process.kill()
            process.join(20)
            died[life.failpoint or "random"] += 1
            with suppress(EOFError):
                while True:
                    event_id, seq, _ = mine.recv()
                    account.commit(event_id, seq)
            mine.close()
        last = context.Process(
            target=live, args=(Life(folder / "state", broker.url, "last", drain=True), None)
        )
        last.start()
        last.join(120)
        drained = last.exitcode == 0
        last.kill()
        rows, failures = account.close(observer)
    if not drained:
        failures.append("the last start did not drain")
    points = ", ".join(f"{name} {number}" for name, number in died.items())
    return [
        f"kill -9 of the publishing process, {count} times ({points})", "",
        *_table(rows),
    ], failures  # fmt: skip


def broker_kills(folder: Path, count: int, seed: int = 2) -> Proof:
    """kill -9 and restart a broker without persistence while alarms are raised."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, account = random.Random(seed), Account()
    patient, outbox_replay.UNHEARD_RETRY_S = outbox_replay.UNHEARD_RETRY_S, 0.3
    with mosquitto(folder) as broker, Observer(broker.port, "#") as observer:
        settings = publisher_settings(Life(folder, broker.url, "b"))
        storage = config.Storage(replay_per_s=5000.0)
        source = Source(replace(settings, storage=storage), folder / "state")
        source.publisher.start()
        steps = source.endless()

        def raise_for(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for record in next(steps):
                    account.commit(record.event_id, record.seq)
                time.sleep(0.005)

        for _ in range(count):
            wait_until(lambda: source.publisher.link().connected, 20, "connected")
            wait_until(observer.client.is_connected, 20, "the subscriber is back")
            raise_for(rng.uniform(0.05, 0.3))
            broker.kill()
            raise_for(rng.uniform(0.0, 0.1))
            broker.start()
        wait_until(observer.client.is_connected, 20, "the subscriber is back")
        raise_for(0.5)

        def everything() -> bool:
            seen = {json.loads(message.payload)["seq"] for message in observer.all(EVENT)}
            return seen >= set(account.committed)

        with suppress(BaseException):
            wait_until(everything, 60, "everything seen")
        source.publisher.stop(5.0)
        source.store.close()
        rows, failures = account.close(observer)
    outbox_replay.UNHEARD_RETRY_S = patient
    title = f"kill -9 and restart of a broker without persistence, {count} times"
    return [title, "", *_table(rows)], failures


def outage(folder: Path, hours: float) -> Proof:
    """A broker that is away, in virtual time: 1 alarm/s, one explanation with CAM per 10 s."""
    clock, books = FakeClock(), Books()
    start_ms = 1_760_000_000_000
    settings = config.Storage(replay_per_s=10_000.0)
    clocks = Clocks(clock, lambda: start_ms + round((clock.now - 1000) * 1000))
    store = Store(folder, books, clocks, settings)
    box = DurableOutbox(MemoryOutbox(1000, books), store, settings, books, clock)
    composer = Composer(examples.settings())
    seconds, began = round(hours * 3600), time.monotonic()
    picture = examples.overlay(side_px=100, noise=True)

    def minute(first: int) -> None:
        for second in range(first, min(first + 60, seconds)):
            clock.now += 1
            with_picture = second % 10 == 0
            record = examples.alarm(
                seq=second + 1, event_id=f"s1-{second}", value=second / 7, timestamp_ms=second
            )
            image = composer.image(picture) if with_picture else None
            entries = composer.alarm(record, image, clock.now)
            if with_picture:
                explained = examples.explanation(job_id=f"job-{second}", overlays=(picture,))
                entries += [
                    composer.explanation(explained, clock.now),
                    composer.cam(explained, picture, clock.now),
                ]
            for entry in entries:
                box.put(entry, clock.now)

    largest = 0
    for first in range(0, seconds, 60):
        store.database.run(lambda _connection, at=first: minute(at))
        box.tick(clock.now)
        store.database.settle()
        largest = max(largest, sum(f.stat().st_size for f in folder.iterdir()))
    wrote_s = time.monotonic() - began
    lost_while_away = books.total("messages_dropped", "event")
    box.snapshot(clock.now)
    seqs: list[int] = []
    idle = 0
    while idle < 5:
        clock.now += 0.001
        entry = box.take(clock.now)
        idle = 0 if entry is not None else idle + 1
        if entry is None:
            store.database.settle()  # the next page is read
            continue
        if entry.family is TopicFamily.EVENT:
            seqs.append(json.loads(entry.messages[0].payload)["seq"])
        for message in entry.messages:
            box.settle(entry, message, None)
    books.balance()
    failures = []
    if lost_while_away or seqs != list(range(1, seconds + 1)):
        failures.append(f"alarms: {seconds} raised, {len(seqs)} replayed")
    if largest > settings.limit_bytes + 16 * MIB:
        failures.append(f"{largest / MIB:.0f} MiB on the disk")
    store.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{hours:g} h without a broker in virtual time: 1 alarm/s, and per 10 s one explanation with CAM and a picture of {len(picture.data) // 1024} KiB as evidence", "",
        *_table([
            ("alarm events raised", seconds),
            ("alarm events replayed, in order", len(seqs)),
            ("alarm events dropped", books.total("messages_dropped", "event")),
            ("explanations replayed", books.total("messages_delivered", "explanation")),
            ("explanations and pictures dropped at their quotas", books.total("messages_dropped", "explanation") + books.total("messages_dropped", "evidence")),
            ("most on the disk, with the log, MiB", f"{largest / MIB:.1f} (cap 256)"),
            ("most resident memory of the process, MiB", f"{memory:.0f}"),
            ("seconds it took to write", f"{wrote_s:.0f}"),
        ]),
    ], failures  # fmt: skip


def throughput(folder: Path, messages: int) -> Proof:
    """Messages a second through the outbox, against a bare loop with the same sync.

    The two take turns message by message, so that whatever else the disk does meets both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    composer = Composer(examples.settings())
    payload = composer.alarm(examples.alarm(), None, 0.0)[0].messages[0].payload
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, payload BLOB)")
    books = Books()
    store = Store(folder / "ours", books)
    memory = MemoryOutbox(100, books)
    box = DurableOutbox(memory, store, config.Storage(), books, time.monotonic)
    box.snapshot(time.monotonic())
    entry = Entry((Message("B/event/alarm", "event_alarm", payload),), time.monotonic())
    taken_s: dict[str, list[float]] = {"bare loop": [], "outbox": []}
    for _ in range(messages):
        began = time.monotonic()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO message VALUES (NULL, ?)", (payload,))
        connection.execute("COMMIT")
        between = time.monotonic()
        box.put(entry, between)
        ended = time.monotonic()
        taken_s["bare loop"].append(between - began)
        taken_s["outbox"].append(ended - between)
    connection.close()
    store.close()
    ratio = sum(taken_s["bare loop"]) / sum(taken_s["outbox"])
    typical = statistics.median(taken_s["bare loop"]) / statistics.median(taken_s["outbox"])
    return [
        f"Outbox against a bare SQLite loop with the same sync, taking turns, {messages} messages of {len(payload)} bytes each", "",
        "| | messages a second | median of one, ms |", "|---|---|---|",
        *(f"| {name} | {messages / sum(taken):.0f} | {1000 * statistics.median(taken):.2f} |" for name, taken in taken_s.items()), "",
        f"ratio of the throughputs {ratio:.2f}, of the medians {typical:.2f} (limit 0.5)",
    ], ([] if ratio >= 0.5 else [f"ratio {ratio:.2f} < 0.5"])  # fmt: skip


def replay(folder: Path, backlog: int, samples: int, per_s: float) -> Proof:
    """Latency of live alarms, from the call to the PUBACK, without and with a replay."""
    folder.mkdir(parents=True, exist_ok=True)
    p95: dict[str, float] = {}
    p50: dict[str, float] = {}
    done = {}
    with mosquitto(folder) as broker, Observer(broker.port, "#"):
        for name, waiting in (("without", 0), ("with", backlog)):
            state = folder / name
            if waiting:
                _fill(state, waiting)
            with running(broker.url, folder=state) as rig:
                for i in range(samples):
                    began = time.monotonic()
                    rig.publisher.alarm(
                        examples.alarm(seq=waiting + i + 1, captured_mono=began, event_id=f"l-{i}")
                    )
                    time.sleep(max(0.0, began + 1 / per_s - time.monotonic()))
                rig.wait_count(samples + waiting * bool(waiting), "messages_delivered", "event",
                               timeout_s=300)  # fmt: skip
                done[name] = rig.books.total("messages_replayed", "event")
                taken = sorted(rig.books.observed["alarm_to_puback_seconds"])
            p50[name] = 1000 * statistics.median(taken)
            p95[name] = 1000 * taken[int(0.95 * len(taken))]
    ratio = p95["with"] / p95["without"]
    return [
        f"Live alarms at {per_s:g}/s, {samples} samples each, from the call to the PUBACK of the alarm's state (the commit included), without and during the replay of {backlog} messages at 100/s", "",
        "| replay | p50 ms | p95 ms | messages replayed |", "|---|---|---|---|",
        *(f"| {name} | {p50[name]:.1f} | {p95[name]:.1f} | {done[name]} |" for name in p95), "",
        f"p95 ratio {ratio:.2f} (limit 2)",
    ], ([] if ratio <= 2.0 else [f"p95 ratio {ratio:.2f} > 2"])  # fmt: skip


def _fill(folder: Path, count: int) -> None:
    books = Books()
    store = Store(folder, books)
    box = DurableOutbox(MemoryOutbox(100, books), store, config.Storage(), books, time.monotonic)
    composer = Composer(examples.settings())

    def work(_connection: object) -> None:
        for i in range(count):
            record = examples.alarm(seq=i + 1, event_id=f"b-{i}")
            box.put(composer.alarm(record, None, time.monotonic())[0], time.monotonic())

    store.database.run(work)
    store.close()


def delivery(folder: Path, share: float) -> Proof:
    """All of them; ``share`` 1.0 is the whole proof."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    failures: list[str] = []
    for found, missed in (
        kills(folder / "kills", max(10, round(1000 * share))),
        broker_kills(folder / "broker", max(3, round(100 * share))),
        outage(folder / "outage", max(0.1, 24 * share)),
        throughput(folder / "speed", 3000),
        replay(
            folder / "replay", max(100, round(10_000 * share)), max(100, round(1000 * share)), 10.0
        ),
    ):
        print("\n".join([*found, *missed, ""]), flush=True)
        lines += [*found, ""]
        failures += missed
    return lines, failures
