"""What a signal does to ``pitwatch run``: the orderly end, or the end at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from agent.pipeline.runner import EXIT_FORCED, _signals

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


@pytest.fixture(autouse=True)
def forced(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Exit codes of ends at once, which would end this process too."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    before = {number: signal.getsignal(number) for number in (TERM, INT, HUP)}
    signal.signal(HUP, signal.SIG_DFL)
    yield codes
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([HUP], []),
        ([TERM], []),
        ([HUP, HUP], []),  # of the kernel and of the shell
        ([TERM, HUP], []),
        ([HUP, TERM], []),  # of a reload that was tried, and then of the service manager
        ([HUP, TERM, TERM], [EXIT_FORCED]),
        ([TERM, INT], [EXIT_FORCED]),
    ],
)
def test_the_first_signal_ends_in_order_and_a_terminal_that_closes_is_never_the_second(
    numbers: list[signal.Signals], codes: list[int], forced: list[int]
) -> None:
    stop = threading.Event()
    with _signals(stop):
        for number in numbers:
            assert callable(signal.getsignal(number))
            signal.raise_signal(number)
            assert stop.is_set()
    assert forced == codes
    assert signal.getsignal(HUP) is signal.SIG_DFL, "as it was before"


def test_without_a_terminal_sighup_asks_for_a_reload_and_never_ends(forced: list[int]) -> None:
    stop, asked = threading.Event(), []
    with _signals(stop, lambda: asked.append("again")):
        for number in (HUP, HUP):
            signal.raise_signal(number)
        assert (asked, stop.is_set()) == (["again", "again"], False)
        signal.raise_signal(TERM)
        assert stop.is_set()
        signal.raise_signal(HUP)  # while it ends
    assert forced == []


def test_under_nohup_the_agent_outlives_its_terminal(forced: list[int]) -> None:
    signal.signal(HUP, signal.SIG_IGN)
    stop = threading.Event()
    with _signals(stop):
        signal.raise_signal(HUP)
        assert not stop.is_set()
    assert signal.getsignal(HUP) is signal.SIG_IGN
    assert forced == []
