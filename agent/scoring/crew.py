"""Processes that share the parts of a scoring.

The parts know nothing of each other, so how many processes there are decides how long it takes. The
results are the same up to the last digits of explanations: each process times for itself which
arithmetic is the faster one.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent.ablation.core.errors import AblationError
from agent.commissioning.errors import CommissioningError
from agent.models.errors import ModelError
from agent.scoring.errors import ScoringError
from agent.scoring.work import Assignment, Part, Work, begin, set_threads
from agent.supervision.channel import Channel
from agent.supervision.child import Child, ChildGone, ChildSpec, spawn

RECEIVE_S = 1.0

Told = Callable[[Part, int], None]


@dataclass(frozen=True, slots=True)
class _Cups:
    passed: int


@dataclass(frozen=True, slots=True)
class _Result:
    value: object


class Alone:
    """This process does all parts."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def share(self, parts: Sequence[Part], told: Told) -> Iterator[tuple[Part, Any]]:
        """Each part with its result, as it is done; ``told`` hears the cups of a recording."""
        for part in parts:
            yield part, self._work.do(part, partial(told, part))


class Crew:
    """Children do the parts, one at a time each."""

    def __init__(self, given: Assignment, processes: int) -> None:
        self._given, self._processes = given, processes
        self._children: list[Child] = []

    def share(self, parts: Sequence[Part], told: Told) -> Iterator[tuple[Part, Any]]:
        """As ``Alone.share``, in any order; ``ScoringError`` or ``ModelError`` for what a child
        refuses, ``ScoringError`` when one dies. What was recorded until then stays."""
        waiting = list(reversed(parts))
        busy: dict[Child, Part] = {}
        for child in self._started(min(self._processes, len(parts))):
            busy[child] = _hand(child, waiting)
        while busy:
            select.select(list(busy), [], [], RECEIVE_S)
            for child in list(busy):
                for message in _heard(child):
                    match message:
                        case _Cups(passed):
                            told(busy[child], passed)
                        case _Result(value):
                            part = busy.pop(child)
                            if waiting:
                                busy[child] = _hand(child, waiting)
                            yield part, value
                        case Exception() as error:
                            raise error

    def close(self) -> None:
        """Kill the children; recordings are files that are there whole or not at all."""
        for child in self._children:
            child.kill()
        self._children.clear()

    def _started(self, count: int) -> list[Child]:
        while len(self._children) < count:
            name = f"score-{len(self._children)}"
            try:
                made = spawn(ChildSpec(name, "agent.scoring.crew:helper", self._given))
            except OSError as error:
                raise ScoringError(f"no process to be had: {error}") from error
            self._children.append(made)
        return self._children[:count]


@contextlib.contextmanager
def hands(work: Work, given: Assignment, processes: int) -> Iterator[Alone | Crew]:
    """Whoever does the parts; nobody is left behind."""
    if processes == 1:
        yield Alone(work)
        return
    with contextlib.closing(Crew(given, processes)) as crew:
        yield crew


def helper(channel: Channel, given: Assignment, _fds: Mapping[str, int]) -> None:
    """Target of ``agent.supervision``: do the parts that the parent hands over."""
    set_threads(given.config)
    work: Work | None = None
    while not channel.stopping.is_set():
        part = channel.receive(RECEIVE_S)
        if part is None:
            continue
        try:
            work = work or begin(given)
            value = work.do(part, lambda cups: channel.send(_Cups(cups)))  # type: ignore[arg-type]
        except (ScoringError, CommissioningError, AblationError, ModelError) as error:
            # In words: an error with arguments of its own does not come back from a pickle.
            kind = ModelError if isinstance(error, ModelError) else ScoringError
            channel.send(kind(str(error)))
            return
        channel.send(_Result(value))


def _hand(child: Child, waiting: list[Part]) -> Part:
    part = waiting.pop()
    with contextlib.suppress(ChildGone):  # told when its messages are read
        child.send(part)
    return part


def _heard(child: Child) -> list[object]:
    try:
        return child.receive()
    except ChildGone as error:
        child.kill()
        raise ScoringError(f"a helping process is gone: {child.describe_exit()}") from error
