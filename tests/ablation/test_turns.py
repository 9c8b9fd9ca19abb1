"""Explanations in several threads of one process."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from agent.ablation import Ablation, AblationError, Engine, Tuning
from agent.ablation.turns import TURNS, Turns
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded
from tests.support import wait_until

WAIT_S = 30
SHARED = nn.Conv2d(1, 1, 1)


def entered(turn, inside, leave):
    """Say when the turn has come, and keep it until told."""
    with turn:
        inside.set()
        assert leave.wait(WAIT_S)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda t: t.using(SHARED), lambda t: t.using(SHARED)),
        (lambda t: t.using(nn.Sequential(SHARED)), lambda t: t.using(SHARED)),
        (lambda t: t.building(), lambda t: t.using(SHARED)),
        (lambda t: t.using(SHARED), lambda t: t.building()),
        (lambda t: t.building(), lambda t: t.building()),
    ],
    ids=["one network", "a part of it", "build, use", "use, build", "build, build"],
)
def test_who_would_meet_the_others_hooks_waits(threads, first, second):
    turns, inside, late, leave = Turns(), threading.Event(), threading.Event(), threading.Event()
    one = threads.submit(entered, first(turns), inside, leave)
    assert inside.wait(WAIT_S)
    other = threads.submit(entered, second(turns), late, leave)
    wait_until(lambda: turns.waiting == 1 or late.is_set(), WAIT_S, "the second arrives")
    assert not late.is_set()
    leave.set()
    one.result(WAIT_S)
    other.result(WAIT_S)
    assert late.is_set()
    assert turns.waiting == 0


def test_networks_that_share_nothing_are_used_side_by_side(threads):
    turns, leave = Turns(), threading.Event()
    inside = [threading.Event(), threading.Event()]
    runs = [
        threads.submit(entered, turns.using(nn.Conv2d(1, 1, 1)), event, leave) for event in inside
    ]
    assert all(event.wait(WAIT_S) for event in inside), "both are inside at once"
    leave.set()
    for run in runs:
        run.result(WAIT_S)


def test_who_is_inside_goes_on_and_is_refused_rather_than_wait(threads):
    turns, inside, leave = Turns(), threading.Event(), threading.Event()
    mine = nn.Conv2d(1, 1, 1)
    with turns.using(mine), turns.building(), turns.using(mine):
        pass
    run = threads.submit(entered, turns.using(SHARED), inside, leave)
    assert inside.wait(WAIT_S)
    with turns.using(mine):
        for wanted in (turns.using(SHARED), turns.building()):
            with pytest.raises(AblationError, match="outside of callbacks"), wanted:
                pass
    leave.set()
    run.result(WAIT_S)


def test_a_turn_ends_with_an_error_as_well(threads):
    turns = Turns()
    with pytest.raises(ValueError, match="planted"), turns.using(SHARED):
        raise ValueError("planted")
    threads.submit(lambda: turns.building().__enter__()).result(WAIT_S)


class Watched(OneByOne):
    """Counts the threads that are in its forward at once; ``hold`` is called in it."""

    def __init__(self):
        super().__init__()
        self.inside, self.most, self.hold = set(), 0, lambda: None

    def forward(self, x):
        self.inside.add(threading.get_ident())
        self.most = max(self.most, len(self.inside))
        self.hold()
        try:
            return super().forward(x)
        finally:
            self.inside.discard(threading.get_ident())


@pytest.mark.parametrize("rows", [True, False])
def test_two_engines_on_one_module_in_two_threads_give_what_each_gives_alone(threads, rows):
    torch.set_num_threads(1)
    module = seeded(Watched())
    model, region = loaded(module, "relu"), bar_and_disc(16)
    engines = [
        Engine(model, Ablation(classes=("suture",)), layer, Tuning(batch=4, rows=rows))
        for layer in ("relu", "features")
    ]
    alone = [engine.deltas(picture(16), region=region).values for engine in engines]
    second = []

    def hold():
        """Once, in the first one's forward: the second one starts, and gets as far as it may."""
        module.hold = lambda: None
        second.append(threads.submit(engines[1].deltas, picture(16), region=region))
        wait_until(lambda: TURNS.waiting == 1 or second[0].done(), WAIT_S, "the second arrives")

    module.hold = hold
    first = threads.submit(engines[0].deltas, picture(16), region=region).result(WAIT_S)
    for found, expected in zip((first, second[0].result(WAIT_S)), alone, strict=True):
        scale = float(expected.abs().max())  # batches differ with the threads that torch allows
        np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-5 * scale)
    assert module.most == 1
