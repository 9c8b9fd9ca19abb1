"""Who may run a network while others do: explanations in several threads of one process.

An explanation hangs hooks on the network's modules, and a forward of another thread would meet
them. Tracing a network, when an engine is made, changes how every module of the process is called.
So explanations of networks that share a module take turns, those of others run side by side, and
an engine is made while nobody explains. Processes know nothing of each other and need no turns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from agent.ablation.core.errors import AblationError


class Turns:
    """``using`` and ``building`` wait until nobody is in the way. A thread that is inside already
    goes on where nobody is, and is refused where it would have to wait, since two such threads
    could wait for each other for ever."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: list[tuple[int, frozenset[int] | None]] = []  # thread, modules (None: all)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        with self._changed:
            return self._waiting

    @contextmanager
    def using(self, *networks: nn.Module) -> Iterator[None]:
        """While no other thread uses a module of these ``networks``, or makes an engine."""
        parts = frozenset(id(part) for network in networks for part in network.modules())
        with self._turn(parts):
            yield

    @contextmanager
    def building(self) -> Iterator[None]:
        """While no other thread is inside at all."""
        with self._turn(None):
            yield

    @contextmanager
    def _turn(self, parts: frozenset[int] | None) -> Iterator[None]:
        me = threading.get_ident()
        entry = (me, parts)
        with self._changed:
            if self._is_blocked(entry) and any(thread == me for thread, _ in self._inside):
                raise AblationError(
                    "another thread explains with this network or makes an engine, and this one is "
                    "within an explanation: make engines, and call them, outside of callbacks"
                )
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_blocked(entry))
            finally:
                self._waiting -= 1
            self._inside.append(entry)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(entry)
                self._changed.notify_all()

    def _is_blocked(self, entry: tuple[int, frozenset[int] | None]) -> bool:
        me, parts = entry
        return any(
            thread != me and (parts is None or theirs is None or not parts.isdisjoint(theirs))
            for thread, theirs in self._inside
        )


TURNS = Turns()
"""Of this process, whose modules all engines share."""


@contextmanager
def plainly(device: torch.device) -> Iterator[None]:
    """Without gradients, and whatever modes the caller is in: autocast would round differences
    away, and has no say over the threads that batches run in; under inference mode no estimate
    could have a gradient."""
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield
