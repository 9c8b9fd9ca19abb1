"""The kernel's word about its clock."""

from __future__ import annotations

import ctypes
import math

import pytest

from agent.pipeline import clock


@pytest.mark.parametrize(
    ("answer", "expected"), [(0, 1.0), (1, 1.0), (5, 0.0)], ids=["ok", "leap second", "error"]
)
def test_the_kernel_says_whether_the_clock_is_synchronised(
    answer: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        def adjtimex(self, _state: object) -> int:
            return answer

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library())
    assert clock.synchronised() == expected


def test_a_kernel_that_does_not_say_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert math.isnan(clock.synchronised())


def test_this_kernel_answers_without_harm() -> None:
    assert clock.synchronised() in (0.0, 1.0) or math.isnan(clock.synchronised())
