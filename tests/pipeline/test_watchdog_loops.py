"""Each loop of a real agent is hung in turn: the watchdog starves, and is fed when it moves."""

from __future__ import annotations

import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from agent.config import Config
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline.agent import Agent
from agent.supervision.notify import Notifier, Watchdog
from tests.support import wait_until

CONFIG = Config(
    cameras=({"name": "cam1", "source": "sim:?rate=60"},),
    http={"port": 0, "loop_limit_s": 1.5},
    mqtt={"broker": "embedded", "embedded_port": 0},
)
LOOPS = {"live", "desk", "explain", "pool", "capture", "http", "publisher", "embedded_broker"}


class Hangs(PrometheusTelemetry):
    """A loop that is named here stands where it says that it moves, until it is let go."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry(), time.monotonic)
        self.go_on = threading.Event()
        self.hung = ""

    def beat(self, loop: str, /) -> None:
        super().beat(loop)
        if loop == self.hung:
            self.go_on.wait(60)


class Fed(Notifier):
    """Counts what the watchdog was fed."""

    def __init__(self) -> None:
        super().__init__({})
        self.watchdog_s = 0.2
        self.meals = 0

    def alive(self) -> None:
        self.meals += 1


@pytest.mark.long
@pytest.mark.timeout(180)
def test_the_watchdog_starves_whichever_loop_hangs() -> None:
    telemetry, fed = Hangs(), Fed()
    agent = Agent(CONFIG, "0" * 64, telemetry)
    watchdog = Watchdog(fed, agent.stalled)

    def eats() -> bool:
        before = fed.meals
        watchdog.tick(time.monotonic())
        return fed.meals > before

    agent.start()
    try:
        wait_until(lambda: set(telemetry.loops.ages_s()) == LOOPS, 60, "every loop has begun")
        for loop in sorted(LOOPS):
            wait_until(eats, 30, f"fed before {loop} hangs")
            telemetry.hung = loop
            wait_until(lambda loop=loop: any(f" {loop} " in r for r in agent.stalled()), 30, loop)
            assert not eats()
            telemetry.hung = ""
            telemetry.go_on.set()
            wait_until(eats, 30, f"fed after {loop} moves again")
            telemetry.go_on.clear()
    finally:
        telemetry.hung = ""
        telemetry.go_on.set()
        agent.stop()
