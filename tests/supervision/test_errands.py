"""Work that one thread has another one do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agent.supervision.errands import ErrandError, Errands


@pytest.fixture
def errands() -> Iterator[Errands]:
    """Done by a thread that turns when it is woken."""
    woken, ended = threading.Event(), threading.Event()
    one = Errands(woken.set)

    def turn() -> None:
        while not ended.is_set():
            woken.wait(0.1)
            woken.clear()
            one.run()

    thread = threading.Thread(target=turn, name="owner", daemon=True)
    thread.start()
    yield one
    ended.set()
    woken.set()
    thread.join()


def test_it_is_done_by_the_owner_and_its_result_comes_back(errands: Errands) -> None:
    assert errands.do(lambda: threading.current_thread().name, 30) == "owner"


def test_an_error_is_the_callers_and_the_owner_goes_on(errands: Errands) -> None:
    def fail() -> None:
        raise LookupError("no such lane")

    with pytest.raises(LookupError, match="no such lane"):
        errands.do(fail, 30)
    assert errands.do(lambda: 3, 30) == 3


def test_what_was_not_begun_in_time_is_not_done_later() -> None:
    done: list[int] = []
    errands = Errands()
    with pytest.raises(ErrandError, match="not done within"):
        errands.do(lambda: done.append(1), 0.01)
    errands.run()
    assert done == []
