"""Long work says where it is: on a terminal by bars, in a log file by lines."""

from __future__ import annotations

import io
import re
import sys
import threading

import pytest
from rich.console import Console

from agent import phases
from agent.phases import Lines, duration, spoken


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_log_file_hears_of_each_phase_how_far_it_is_and_how_long_the_rest_may_take() -> None:
    said: list[str] = []
    clock = Clock()
    lines = Lines(said.append, clock)
    lines.tick()  # nothing has begun
    lines.begin("training", 400)
    lines.tick()
    clock.now += 30
    lines.done(100, "192 px, loss 0.250")
    lines.tick()
    lines.begin("plausibility")
    clock.now += 240
    lines.tick()
    lines.end()
    lines.end()
    lines.tick()
    assert said == [
        "training begins: 400 to do",
        "training: 0 of 400, for 0 s",
        "training: 100 of 400, 192 px, loss 0.250, about 90 s left",
        "training is done, in 30 s",
        "plausibility begins",
        "plausibility: 0, for 4 min",
        "plausibility is done, in 4 min",
    ]
    assert duration(9000) == "2.5 h"


def test_a_line_comes_also_while_a_phase_says_nothing() -> None:
    heard = threading.Semaphore(0)
    said: list[str] = []

    def write(line: str) -> None:
        said.append(line)
        heard.release()

    with spoken(write, 0.001) as lines:
        lines.begin("colour ranges", 60)
        for _ in range(3):
            assert heard.acquire(timeout=60)
    assert said[0] == "colour ranges begins: 60 to do"
    assert said[1].startswith("colour ranges: 0 of 60")
    assert said[-1].startswith("colour ranges is done")


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize("log", [True, False])
def test_lines_come_wherever_a_log_file_is_and_bars_on_a_terminal(
    screen: bool, log: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return not log

    stderr, output = Stream(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    console = Console(file=output, force_terminal=screen, width=100, color_system=None)
    with phases.shown(console) as told:
        told.begin("training", 2)
        told.done(1, "loss 0.5")
        told.begin("calibration", 8)
    lines = stderr.getvalue().splitlines()
    if screen and not log:
        assert lines == []
    else:
        assert [line.partition(" ")[2] for line in lines][::2] == [
            "training begins: 2 to do",
            "calibration begins: 8 to do",
        ]
        assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    bars = output.getvalue()
    assert ("training" in bars and "8/8" in bars) is screen
