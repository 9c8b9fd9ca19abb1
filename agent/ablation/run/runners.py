"""Which way the items of one picture are run: rows of the pixels that are read, or whole maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from agent import config
from agent.ablation.core.ledger import Ledger
from agent.ablation.core.plan import Planned
from agent.ablation.rows.operation import Operation
from agent.ablation.rows.program import BATCH, Program
from agent.ablation.rows.shared import Shared
from agent.ablation.run.batching import ChannelRunner, MapsRunner, RunContext, Runner, SplitRunner
from agent.ablation.split.left import LeftWays
from agent.ablation.split.prepared import Prepared
from agent.ablation.split.split import HookSplit, Split
from agent.models.loaded import LoadedModel
from agent.telemetry import Clock

STUDY_BATCH = 16
"""Blocks or groups a pass: time may run out between two of them."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all pictures share: the model, the ways of running it, and the settings.

    ``operations`` computes only the pixels that are read; None where the model does not allow it.
    ``halved`` is told the new batch where a device ran out of memory. ``left`` is told of faster
    ways that are not taken.
    """

    model: LoadedModel
    settings: config.Ablation
    plain: HookSplit
    split: Split
    baseline: Tensor
    batch: int
    clock: Clock
    operations: list[Operation] | None = None
    halved: Callable[[int], None] | None = None
    left: LeftWays = field(default_factory=LeftWays)

    @property
    def path(self) -> str:
        """The way by its name: see ``EngineResult.path``."""
        return self.split.name + ("+rows" if self.operations is not None else "")


class Runners:
    """The runners of one picture, on the two sets of pixels that its ``ledger`` reads."""

    def __init__(self, setup: Setup, prepared: Prepared, ledger: Ledger) -> None:
        self._setup = setup
        self._ledger = ledger
        self._context = RunContext(setup.model, prepared, setup.baseline)
        self._shared: Shared | None = None
        if setup.operations is not None:
            self._shared = Shared(setup.operations, prepared, setup.baseline)

    def apart(self, planned: Sequence[Planned]) -> tuple[list[Planned], list[Planned]]:
        """The items that are read on all pixels, and those for which M is enough, where reading M
        alone costs less."""
        if self._shared is None or self._ledger.narrow is self._ledger.wide:
            return list(planned), []
        return (
            [p for p in planned if not p.scores_only],
            [p for p in planned if p.scores_only],
        )

    def wide(self, items: int) -> Runner:
        """So many items of any kind, read on all pixels inside the aperture."""
        setup, ledger = self._setup, self._ledger
        if self._shared is None:
            return SplitRunner(self._context, setup.split, ledger.wide, setup.batch, setup.halved)
        need = ledger.wide.pixels.cpu().numpy()
        program = Program(self._shared, need, BATCH, single=False, items=items)
        return MapsRunner(self._context, program)

    def narrow(self, otherwise: Runner) -> Runner:
        """Items of any kind, read on the pixels of M; ``otherwise`` where that is no faster."""
        ledger = self._ledger
        if self._shared is None or ledger.narrow is ledger.wide:
            return otherwise
        need = ledger.narrow.pixels.cpu().numpy()
        program = Program(self._shared, need, STUDY_BATCH, single=False, items=STUDY_BATCH)
        return MapsRunner(self._context, program)

    def alone(self, items: int) -> Runner:
        """So many channels and nothing else, read on the pixels of M (of the aperture for a Dice);
        the null item has to come first."""
        setup, ledger = self._setup, self._ledger
        if self._shared is not None:
            return self.channels(items)
        return SplitRunner(self._context, setup.split, ledger.narrow, setup.batch, setup.halved)

    def channels(self, items: int, most: int = BATCH) -> Runner:
        """So many channels and other items, read on the pixels of M (of the aperture for a Dice).
        For a model that has the fast path."""
        assert self._shared is not None
        need = self._ledger.narrow.pixels.cpu().numpy()
        program = Program(self._shared, need, most, single=True, items=items + 1)
        return ChannelRunner(self._context, program)
