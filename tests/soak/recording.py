"""Recording: quotas through 100,000 records, no half record after 200 kills, and a live path that
does not feel it."""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

from agent.dataset import Facts, Reason, Record, records, update_record
from agent.dataset.holdings import Quotas
from agent.dataset.shelf import Shelf
from agent.supervision.control.client import ask
from tests.soak.measure import FRUIT, latencies_ms
from tests.support.mosquitto import Observer, mosquitto
from tests.support.running import running_agent

RECORDS, KILLS = 100_000, 200
LIMIT = 1.05
AGE_S = 30_000.0
QUOTA_BYTES = 40 * 2**20
SHARES = {reason: 1 / len(Reason) for reason in Reason}
OFTEN = (300, 200, 1, 20, 10, 100, 400)
"""How often each reason comes, in their order: implausible fruit hardly ever."""
START = datetime(2026, 1, 1, tzinfo=UTC)
WARM_UP_S, SETTLE_S = 20.0, 3.0
CONFIG = """\
cameras: [{name: cam1, source: 'sim:?rate=280&seed=12'}]
state_dir: STATE
recording:
  free_disk_bytes: 0
  random: {one_in: 1, per_minute: 10000}
"""


def recording(
    folder: Path, rounds: int, seconds: float, share: float
) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    folder.mkdir(parents=True, exist_ok=True)
    lines, missed = quota(folder / "quota", max(1000, round(RECORDS * share)))
    for part in (
        kills(folder / "kills", max(2, round(KILLS * share))),
        live_path(folder / "live", rounds, seconds),
    ):
        lines += part[0]
        missed += part[1]
    return lines, missed


# --- quotas --------------------------------------------------------------------------------------


def quota(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """So many small records of one second each, with real files that are not synced."""
    rng = random.Random(1)
    quotas = Quotas(QUOTA_BYTES, AGE_S, SHARES)
    now = START
    shelf = Shelf(folder, "soak", quotas, 0)
    shelf.open()
    most_bytes, oldest_s, over = 0, 0.0, 0
    with mock.patch("agent.dataset.writing.os.fsync"):
        for number in range(count):
            now = START + timedelta(seconds=number)
            now_ms = round(now.timestamp() * 1000)
            reasons = tuple(dict.fromkeys(rng.choices(tuple(Reason), OFTEN, k=rng.choice((1, 2)))))
            _keep(shelf, number, now, reasons, rng)
            if number % 60 == 0:
                shelf.tidy(now_ms)
            held = shelf.holdings
            over += held.size_bytes > QUOTA_BYTES
            oldest_s = max(oldest_s, (now_ms - (held.oldest_utc_ms() or now_ms)) / 1000)
            if number % 5000 == 0 or number == count - 1:
                most_bytes = max(most_bytes, _bytes_on_disk(folder))
    counts = shelf.holdings.counts()
    shelf.close()
    found = [one for one in records(folder) if isinstance(one, Record)]
    ages = {
        reason: (
            now - min(one.captured_at for one in found if reason in one.reasons)
        ).total_seconds()
        for reason in Reason
        if any(reason in one.reasons for one in found)
    }
    again = Shelf(folder, "soak", quotas, 0)
    again.open()
    again.look_through()
    same = again.holdings.size_bytes == shelf.holdings.size_bytes
    again.close()
    often = ages.get(Reason.SURE, 0.0)
    rare = ages.get(Reason.IMPLAUSIBLE, 0.0)
    lines = [
        f"{count} records, one a second, 12 to 20 kB, quota {QUOTA_BYTES / 2**20:.0f} MiB, age {AGE_S:.0f} s:",
        "",
        "| reason | comes | held | oldest, s |",
        "|---|---|---|---|",
        *(
            f"| {reason.value} | {often_} | {counts[reason]} | {ages.get(reason, 0.0):.0f} |"
            for reason, often_ in zip(Reason, OFTEN, strict=True)
        ),
        "",
        f"Most bytes in the folder {most_bytes / 2**20:.2f} MiB; over the quota {over} times; oldest {oldest_s:.0f} s; "
        f"after a restart {'the same' if same else 'others'} are known.",
        "",
    ]
    checks = {
        "quota in bytes": over == 0 and most_bytes <= QUOTA_BYTES,
        "quota in age": oldest_s <= AGE_S + 61,
        "the rarest is kept longest": rare >= often or sum(counts.values()) == count,
        "a restart knows the same": same,
    }
    return lines, [name for name, met in checks.items() if not met]


def _keep(
    shelf: Shelf, number: int, at: datetime, reasons: tuple[Reason, ...], rng: random.Random
) -> Record:
    side = rng.choice((16, 32, 48))
    picture = np.frombuffer(rng.randbytes(3 * side * side), np.uint8).reshape(side, side, 3)
    facts = Facts(
        camera="abc"[number % 3],
        frame_id=f"f-{number}",
        captured_at=at,
        reasons=reasons,
        model="net",
        model_sha256="0" * 64,
        variety="",
        lot="",
        classes=("background", "suture", "stem"),
        reading={"read": False},
    )
    return shelf.keep(facts, picture, np.zeros((16, 16), np.uint8)).record


def _bytes_on_disk(folder: Path) -> int:
    return sum(
        (Path(root) / name).stat().st_blocks * 512
        for root, _, names in os.walk(folder)
        for name in names
        if name != ".owner.json"
    )


# --- kills ---------------------------------------------------------------------------------------


def kills(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """A process that records, updates and removes is killed at random moments, so many times."""
    rng = random.Random(2)
    cv2.setNumThreads(1)
    half = written = unfinished = 0
    for turn in range(count):
        context = multiprocessing.get_context("fork")
        began = context.Event()
        child = context.Process(target=_write_on, args=(folder, turn, began), daemon=True)
        child.start()
        began.wait(30.0)
        threading.Event().wait(rng.uniform(0.0, 0.2))
        child.kill()
        child.join()
        unfinished += len([*folder.glob("*/*/.*.part"), *folder.glob("*/*/.*.gone")])
        for one in records(folder):
            if not isinstance(one, Record):
                half += 1
                continue
            written += 1
            one.picture()
            one.mask()
    lines = [
        f"{count} kills: {half} half records in {written} that were read whole afterwards; {unfinished} were being "
        "written or removed, hidden, and are cleared at the next start.",
        "",
    ]
    return lines, [f"{half} half records"] if half else []


def _write_on(folder: Path, turn: int, began: object) -> None:
    shelf = Shelf(folder, "soak", Quotas(2 * 2**20, 1e9, SHARES), 0)
    shelf.open()
    shelf.look_through()
    began.set()  # type: ignore[attr-defined]
    rng = random.Random(turn)
    for number in range(1_000_000):
        at = START + timedelta(days=turn, milliseconds=number)
        record = _keep(shelf, number, at, (rng.choice(tuple(Reason)),), rng)
        update_record(record, {"y": 0.5}, (Reason.EXPLAINED,))


# --- the live path -------------------------------------------------------------------------------


def live_path(folder: Path, rounds: int, seconds: float) -> tuple[list[str], list[str]]:
    """One agent at 280 fruit a minute that records every one of them, and none, in turns."""
    p95: dict[bool, list[float]] = {False: [], True: []}
    recorded = dropped = 0
    for on, latency_ms, books in _in_turns(folder, rounds, seconds):
        p95[on].append(float(np.percentile(latency_ms, 95)))
        recorded, dropped = books
    off_ms, on_ms = statistics.median(p95[False]), statistics.median(p95[True])
    ratio = on_ms / off_ms
    lines = [
        f"Capture to mask p95 in ms at 280 fruit a minute, {rounds} turns of {seconds:.0f} s within one run:",
        "",
        "| recording | " + " | ".join(f"turn {i + 1}" for i in range(rounds)) + " | median |",
        "|---" * (rounds + 2) + "|",
        *(
            f"| {'all' if on else 'off'} | " + " | ".join(f"{v:.1f}" for v in p95[on])
            + f" | {statistics.median(p95[on]):.1f} |"
            for on in (False, True)
        ),
        "",
        f"all / off = {ratio:.2f} (limit {LIMIT}); {recorded} recorded, {dropped} dropped.",
        "",
    ]  # fmt: skip
    checks = {
        f"all / off <= {LIMIT}": ratio <= LIMIT,
        "pictures are recorded": recorded > 0,
        "none is dropped": dropped == 0,
    }
    return lines, [name for name, met in checks.items() if not met]


def _in_turns(
    folder: Path, rounds: int, seconds: float
) -> Iterator[tuple[bool, list[float], tuple[int, int]]]:
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "state"
    pause = threading.Event()
    with mosquitto(folder) as broker, Observer(broker.port) as seen:
        file = folder / "recording.yaml"
        config = CONFIG.replace("STATE", str(state))
        file.write_text(f"{config}mqtt: {{broker: '{broker.url}'}}\n")
        with running_agent(folder, "--config", str(file)) as agent:
            agent.wait_ready()
            pause.wait(WARM_UP_S)
            for turn in range(rounds):
                for on in (False, True) if turn % 2 == 0 else (True, False):
                    if ask(state, "recording.status")["on"] is not on:
                        ask(state, f"recording.{'on' if on else 'off'}")
                    pause.wait(SETTLE_S)
                    first = len(seen.all(FRUIT))
                    pause.wait(seconds)
                    books = (
                        int(agent.total("pitwatch_recorded_pictures_total")),
                        int(agent.total("pitwatch_recordings_dropped_total")),
                    )
                    yield on, latencies_ms(seen, first), books
