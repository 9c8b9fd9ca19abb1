"""A shift in virtual time: what the four classes get out of one worker beside a real line."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from agent import config
from agent.records import Rung, SamplingClass, Selection
from agent.sampling.scheduler import Scheduler
from tests.sampling.candidates import UNSURE, candidate

FRUIT_S = 60 / 280
COST_S = 0.3


@dataclass
class Shift:
    """One lane, one worker that takes ``COST_S`` for each explanation, ``hours`` of fruit."""

    settings: config.Sampling
    hours: float = 1.0
    unsure_share: float = 0.1
    attention: tuple[float, float] | None = None
    jobs: list[Selection] = field(default_factory=list)
    offered: Counter[str] = field(default_factory=Counter)
    duration_s: float = 0.0

    def run(self) -> Shift:
        s = Scheduler(self.settings)
        rng = random.Random(7)
        running: tuple[str, float] | None = None
        count = int(self.hours * 3600 / FRUIT_S)
        self.duration_s = count * FRUIT_S
        for i in range(count):
            captured = i * FRUIT_S
            now = captured + 0.03
            if running and running[1] <= now:
                s.finished(running[0], COST_S, running[1])
                running = None
            if self.attention and self.attention[0] <= captured < self.attention[1]:
                s.raise_attention("cam1", self.attention[1], now)
            unsure = rng.random() < self.unsure_share
            self.offered["unsure" if unsure else "sure"] += 1
            s.offer(
                candidate(frame_id=f"f{i}", captured_mono=captured, **(UNSURE if unsure else {})),
                now,
            )
            for job in s.decide(now, 0 if running else 1).selected:
                self.jobs.append(job)
                running = (job.job_id, now + COST_S)
        self.books = s.books()
        return self

    def of(self, sampling_class: SamplingClass) -> list[Selection]:
        return [job for job in self.jobs if job.sampling_class is sampling_class]

    @property
    def duty(self) -> float:
        return len(self.jobs) * COST_S / self.duration_s


def test_an_hour_of_280_fruit_a_minute_gives_each_class_its_share() -> None:
    shift = Shift(config.Sampling()).run()
    periodic, unsure = shift.of(SamplingClass.PERIODIC), shift.of(SamplingClass.UNCERTAIN)
    assert sum(shift.offered.values()) == 16_800
    assert len(periodic) == pytest.approx(3600 / 2.0, rel=0.01)  # its period of 2 s
    assert len(unsure) >= 0.8 * shift.offered["unsure"]  # the rest came within the cool-down
    assert len(unsure) / shift.offered["unsure"] > 5 * len(periodic) / shift.offered["sure"]
    assert shift.duty <= 0.5
    assert {job.rung for job in shift.jobs} == {Rung.EXACT}
    assert shift.books.offered == 16_800
    assert shift.books.selected == len(shift.jobs)


def test_when_every_fruit_is_unsure_the_duty_cycle_and_nothing_more_is_used() -> None:
    shift = Shift(config.Sampling(cooldown_s=0.0), hours=0.5, unsure_share=1.0).run()
    assert shift.duty == pytest.approx(0.5, rel=0.02)


def test_when_nearly_all_are_unsure_the_periodic_class_still_has_its_turns() -> None:
    shift = Shift(config.Sampling(cooldown_s=0.0), hours=0.5, unsure_share=0.9).run()
    # After 5 periods without a turn, counted from the first sure fruit, it goes first, once.
    assert len(shift.of(SamplingClass.PERIODIC)) >= 1800 / 20.0
    assert shift.duty <= 0.51


def test_an_alarm_takes_the_whole_worker_until_it_has_borrowed_its_share() -> None:
    shift = Shift(config.Sampling(), hours=0.1, unsure_share=0.0, attention=(100.0, 160.0)).run()
    followed = shift.of(SamplingClass.ALARM)
    first = [job for job in followed if job.selected_mono < 115.0]
    assert len(first) == pytest.approx(15.0 / (2 * FRUIT_S), rel=0.1)  # 0.3 s: every second fruit
    # 60 s at 0.5, plus at most the bucket's 5 and the 10 borrowed worker-seconds
    used = sum(100.0 <= job.selected_mono < 160.0 for job in shift.jobs) * COST_S
    assert 30.0 <= used <= 30.0 + 5.0 + 10.0 + COST_S
    after = [job for job in shift.of(SamplingClass.PERIODIC) if job.selected_mono > 160.0]
    assert len(after) >= 0.8 * (360 - 160 - 2 * 10.0) / 2.0  # silent only while the debt is paid
