"""A process that raises alarms and publishes them, to be killed: started from a fork server."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import config
from agent.alarms.catalogue import watched_ids
from agent.alarms.condition import Condition
from agent.alarms.lifecycle.manager import AlarmManager
from agent.pipeline.persistence import AlarmPersistence
from agent.publishing.connection.connection import Connection
from agent.publishing.connection.sender import Sender
from agent.publishing.publisher import Publisher, PublisherHooks
from agent.publishing.wire.messages import Message
from agent.publishing.wire.settings import Identity, PublisherSettings
from agent.records import Alarm
from agent.storage.database import Database
from agent.storage.store import Store
from agent.telemetry import NullTelemetry

CAMERAS = tuple(f"cam{i}" for i in range(20))
FAILPOINTS = (
    "before_commit", "after_commit", "before_publish", "after_publish", "before_puback",
    "after_puback",
)  # fmt: skip


@dataclass(frozen=True)
class Life:
    """One start of the process. ``failpoint`` empty: it is killed from outside, or drains."""

    folder: Path
    broker: str
    session: str
    failpoint: str = ""
    passes: int = 0  # how often the failpoint is passed before it kills
    drain: bool = False


def publisher_settings(life: Life) -> PublisherSettings:
    return PublisherSettings(
        mqtt=config.Mqtt(
            broker=life.broker,
            client_id=f"soak-{life.session}",
            reconnect_first_s=0.05,
            reconnect_max_s=0.2,
            protocol="5",
        ),
        site=config.Site(),
        identity=Identity("pitwatch", life.session, "0", "0"),
        storage=config.Storage(keep_acknowledged_s=5.0, replay_per_s=2000.0),
    )


class Source:
    """A manager whose alarms come and go in a time of its own, and the publisher behind it."""

    def __init__(self, settings: PublisherSettings, folder: Path | None) -> None:
        telemetry = NullTelemetry()
        self.store = Store(folder, telemetry, settings=settings.storage)
        self.manager = AlarmManager(config.Alarms(), "pitter", settings.identity.session)
        self._now = time.monotonic()
        self.persistence = AlarmPersistence(
            self.manager,
            self.store,
            watched_ids(CAMERAS, CAMERAS, ()),
            lambda: self._now,
            lambda: time.time_ns() // 1_000_000,
        )
        self.persistence.restore()
        hooks = PublisherHooks(_ignore, _ignore, _ignore)
        self.publisher = Publisher(settings, telemetry, time.monotonic, hooks, self.store)

    def step(self, camera: str, beyond: bool) -> list[Alarm]:
        """Let one condition become true or false; return the events once they are committed."""
        records: list[Alarm] = []
        utc_ms = time.time_ns() // 1_000_000
        for _ in range(2):
            self._now += 50.0
            condition = Condition("camera_lost", camera, beyond, back=not beyond)
            records += self.manager.update(condition, self._now, utc_ms)
        if records:
            self.publisher.alarms(
                [(record, None) for record in records], lambda: self.persistence.save(records)
            )
        return [record for record in records if record.transition not in ("initial", "quality")]

    def endless(self) -> Iterator[list[Alarm]]:
        for beyond in itertools.cycle((True, False)):
            for camera in CAMERAS:
                yield self.step(camera, beyond)


def live(life: Life, pipe: Any) -> None:
    """The process: says on the pipe what is committed, until it is killed or drained."""
    if life.failpoint:
        _arm(life.failpoint, life.passes)
    source = Source(publisher_settings(life), life.folder)
    source.publisher.start()
    if life.drain:
        while any(source.store.spool.waiting().values()):
            time.sleep(0.05)
        source.publisher.stop(5.0)
        source.store.close()
        return
    pause = random.Random(life.session)
    for records in source.endless():
        for record in records:
            pipe.send((record.event_id, record.seq, record.transition))
        time.sleep(pause.uniform(0.0, 0.004))


def _arm(failpoint: str, passes: int) -> None:
    left = itertools.count(passes, -1)

    def die(counts: bool = True) -> None:
        if counts and next(left) <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: type, name: str, counts: Callable[..., bool] = lambda *_: True) -> None:
        inner = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if failpoint.startswith("before"):
                die(counts(*args))
            result = inner(*args, **kwargs)
            if failpoint.startswith("after"):
                die(counts(*args))
            return result

        setattr(owner, name, wrapped)

    def is_event(_self: object, message: Message, *_rest: object) -> bool:
        return message.route == "event_alarm"

    where = failpoint.partition("_")[2]
    if where == "commit":
        around(Database, "_commit")
    elif where == "publish":
        around(Connection, "publish", is_event)
    else:
        around(Sender, "answered")


def _ignore(_value: object) -> None:
    pass
