"""The course of one explanation: what is run, in which order, and what is checked on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.ablation.core import plan
from agent.ablation.core.case import Case
from agent.ablation.core.effects import Effect, effects
from agent.ablation.core.errors import AblationError
from agent.ablation.core.ledger import Ledger
from agent.ablation.core.perturbation import NULL, Item, channel
from agent.ablation.core.regions import class_cells
from agent.ablation.core.scores import Target
from agent.ablation.core.summary import Checked, explanation
from agent.ablation.rows.program import BATCH
from agent.ablation.run import controls, estimate
from agent.ablation.run.batching import ChannelRunner, Progress, Runner, Tick
from agent.ablation.run.gradients import NoGradientError, slopes
from agent.ablation.run.runners import Runners, Setup
from agent.ablation.split.left import is_final
from agent.records import ClassExplanation, Rung

ANYTIME_BATCH = 16
"""Channels a pass where time may run out between two of them."""


class Job:
    """One picture with at least one class to explain. ``run`` once, then ``explanations``."""

    def __init__(
        self,
        setup: Setup,
        case: Case,
        targets: Sequence[Target],
        rung: Rung,
        spot_rng: np.random.Generator,
    ) -> None:
        self._setup = setup
        self._case = case
        self._rung = rung
        self._spot_rng = spot_rng
        self._rng = np.random.default_rng(setup.settings.seed)
        self._prepared = setup.split.prefix(case.x)
        self._depth = int(self._prepared.activation.shape[1])
        self.ledger = Ledger(case, targets, self._depth)
        self.seconds: dict[str, float] = {}
        self._estimates: NDArray[np.float64] | None = None
        self._has_gradient = True
        self._sample: NDArray[np.int64] = np.zeros(0, np.int64)
        self._checked: list[Checked] = []
        self._progress: Progress | None = None
        self._done = self._total = 0
        self._batch_s = 0.0
        self._runners = Runners(setup, self._prepared, self.ledger)
        self._occlusions: Runner | None = None
        self._blocks: Runner | None = None

    @property
    def activation(self) -> Tensor:
        """(1, K, h, w): the layer's maps of this picture, to be read only."""
        return self._prepared.activation

    def run(
        self, deadline: float | None, progress: Progress | None, *, regions: bool = True
    ) -> None:
        """Everything of this rung; ``deadline`` is on the setup's clock and bounds refinement.
        Without ``regions``, channels and controls only. The last item counts as done when the
        controls have passed as well."""
        planned = self._controls_and_regions(regions)
        self._progress, self._total = progress, len(planned) + self._depth
        wide, narrow = self._runners.apart(planned)
        runner = self._occlusions = self._runners.wide(len(wide))
        self._run_items(runner, wide)
        if self._rung is Rung.EXACT or deadline is None:
            channels = self._channel_runner(runner, self._depth + len(narrow))
            self._run_items(channels, [*plan.channels(range(self._depth)), *narrow])
        else:
            channels = self._channel_runner(runner, self._depth, ANYTIME_BATCH)
            self._refine(channels, deadline, narrow)
        with self._timed(plan.METHOD_CONTROLS):
            self._checked = self._spot_checked()
        if progress is not None:
            progress(self._total, self._total)

    def run_channels(self, channels: Sequence[int], progress: Progress | None) -> list[Checked]:
        """These channels and the controls, in place of ``run``: what the controls found, a target
        each. Nothing is run that they do not need, and no pixel read beyond M."""
        self._progress, self._total = progress, len(channels)
        planned = plan.channels(channels)
        runner = self._runners.alone(len(planned))
        if not isinstance(runner, ChannelRunner):
            planned = [*plan.controls((0, 0))[:1], *planned]
        self._run_items(runner, planned, alone=True)
        with self._timed(plan.METHOD_CONTROLS):
            self._checked = self._channels_checked()
        if progress is not None:
            progress(self._total, self._total)
        return self._checked

    def explanations(self) -> tuple[ClassExplanation, ...]:
        """One record per class that can be explained."""
        activation = self._prepared.activation[0].float().cpu().numpy()
        return tuple(
            explanation(self.ledger, place, checked, self._estimate_error(place), activation)
            for place, checked in enumerate(self._checked)
        )

    def left_out(self) -> tuple[str, ...]:
        """What this picture lacks against a full explanation, in words."""
        out = []
        estimated = int((~self.ledger.exact).sum())
        if estimated:
            out.append(f"channels_estimated:{estimated}/{self._depth}")
            if not self._has_gradient:
                out.append("gradient_estimate")
        if self._rung is Rung.COARSE:
            out.append("region_fractions")
        return tuple(out)

    def hires(self) -> NDArray[np.float32]:
        """(targets, gh, gw): the HiRes gradient map of each target; ``NoGradientError``."""
        setup = self._setup
        return estimate.hires_maps(
            setup.model, setup.split, self._prepared, setup.baseline, self.ledger.targets
        )

    def slopes(self) -> list[Tensor]:
        """Per target dy/dA, (K, gh, gw) float64; ``NoGradientError``."""
        return slopes(self._setup.model, self._setup.split, self._prepared, self.ledger.targets)

    def check(self, item: Item, name: str, drops: Sequence[float]) -> None:
        """Run an item, called ``name``, again through the plain model; ``AblationError`` where its
        ``drops``, one per target, are not those."""
        again, head, plain = self._rerun(item), self._setup.model.head, self._case.logits
        for place, drop in enumerate(drops):
            controls.spot_check(head, plain, self.ledger.narrow, place, name, drop, again)

    def effects(self, place: int, items: Sequence[Item], tick: Tick) -> list[Effect]:
        """The effect of each item on one target, after ``run``; ``tick`` precedes each batch."""
        assert self._occlusions is not None
        base, target = self.ledger.wide_base[0], self.ledger.wide.targets[place]
        found: list[Effect] = []
        for rows in _batches(self._occlusions, items, tick):
            found += effects(base, rows, target)
        return found

    def drops(self, items: Iterable[Item], tick: Tick) -> NDArray[np.float64]:
        """(targets, items): by how much each item lowers the score, read on the pixels of M alone.

        The null item takes the same path first and is checked against the plain model.
        """
        setup, ledger = self._setup, self.ledger
        assert self._occlusions is not None
        runner = self._blocks = self._blocks or self._runners.narrow(self._occlusions)
        own = runner is not self._occlusions
        base: Tensor | None = None
        out: list[NDArray[np.float64]] = []
        for found in _batches(runner, chain((NULL,), items), tick):
            rows = found if own else ledger.narrowed(found)
            if base is None:
                base = rows[:1].clone()
                controls.null_control(setup.model.head, self._case.logits, base, ledger.narrow)
            lost = [t.score.drop(base[0], rows, t) for t in ledger.narrow.targets]
            out.append(torch.stack(lost).cpu().numpy())
        return np.concatenate(out, axis=1)[:, 1:]

    def _controls_and_regions(self, regions: bool = True) -> list[plan.Planned]:
        _, _, height, width = self._prepared.activation.shape
        planned = plan.controls((height, width))
        if not regions:
            return planned
        settings = self._setup.settings
        for target in {t.name: t for t in self.ledger.targets}.values():
            cells = class_cells(
                target.region.cpu().numpy(),
                self._case.aperture,
                (height, width),
                settings.region_threshold,
            )
            planned += plan.regions(cells, target.name, settings, self._rung, self._rng)
        return planned

    def _channel_runner(self, otherwise: Runner, items: int, most: int = BATCH) -> Runner:
        """``otherwise`` without the fast path, whose laying out counts as time of the channels."""
        if self._setup.operations is None:
            return otherwise
        with self._timed(plan.METHOD_CHANNELS):
            return self._runners.channels(items, most)

    def _run_items(
        self, runner: Runner, planned: Sequence[plan.Planned], *, alone: bool = False
    ) -> None:
        """Run items and write them down; ``alone``: they are read on M alone, whatever runs them.

        The null control stands right after the first batch: nothing is read off the others when
        the path they share is wrong.
        """
        setup, ledger = self._setup, self.ledger
        started = setup.clock()
        alone = alone or isinstance(runner, ChannelRunner)
        view = ledger.narrow if alone else ledger.wide
        for part, rows in runner.run(planned):
            if part[0].item is NULL:
                controls.null_control(setup.model.head, self._case.logits, rows[:1], view)
            ledger.record(part, rows, alone=alone)
            now = setup.clock()
            for item in part:
                self._count(item.method, (now - started) / len(part))
            self._batch_s, started = max(self._batch_s, now - started), now
            self._done = min(self._done + len(part), self._total - 1)
            if self._progress is not None:
                self._progress(self._done, self._total)

    def _refine(self, runner: Runner, deadline: float, narrow: Sequence[plan.Planned]) -> None:
        """Estimate all channels, make them exact in order of size until the time is up, then make a
        random sample of the rest exact as well, to know how far off the estimates are; with those
        go the other items that are read on M alone."""
        setup, ledger = self._setup, self.ledger
        with self._timed(plan.METHOD_CHANNELS):
            estimated = self._estimated()
        if estimated is None:
            self._run_items(runner, [*plan.channels(range(self._depth)), *narrow])
            return
        self._estimates, order = estimated
        rest = [int(k) for k in order]
        batch_s, batch = self._batch_s, runner.batch
        last = estimate.SAMPLE + len(narrow)
        last_s = batch_s * (-(-last // batch) + 1)  # and the spot check
        while len(rest) > estimate.SAMPLE and setup.clock() + batch_s + last_s <= deadline:
            count = min(batch, len(rest) - estimate.SAMPLE)
            self._run_items(runner, plan.channels(rest[:count]))
            rest = rest[count:]
        chosen = self._rng.permutation(rest)[: estimate.SAMPLE]
        self._sample = np.asarray(chosen, np.int64)
        self._run_items(runner, [*plan.channels(self._sample.tolist()), *narrow])
        for place, target in enumerate(ledger.targets):
            if not target.score.is_smooth:
                self._estimates[place] = estimate.calibrated(
                    self._estimates[place], ledger.deltas[place], ledger.exact
                )
            unknown = ~ledger.exact
            ledger.deltas[place, unknown] = self._estimates[place, unknown]

    def _estimated(self) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
        """(targets, K) of all channels, and their order: the likely largest first. Nothing is known
        where there is no gradient; None where the estimate fails otherwise: all are exact then."""
        setup, targets = self._setup, self.ledger.targets
        try:
            found = estimate.gradient_times_activation(
                setup.model, setup.split, self._prepared, setup.baseline, targets
            )
            if np.isfinite(found).all():
                return found, estimate.order(found)
            setup.left.leave("estimate", "its gradients are not finite")
        except NoGradientError as error:
            setup.left.leave("estimate", error)
            self._has_gradient = False
            return estimate.without_gradient(self._prepared, setup.baseline, len(targets))
        except Exception as error:
            if is_final(error):
                raise
            setup.left.leave("estimate", error)
        return None

    def _estimate_error(self, place: int) -> float:
        if self._estimates is None or bool(self.ledger.exact.all()):
            return 0.0
        exact = self.ledger.deltas[place]
        scale = float(np.abs(exact).max())
        return estimate.error(self._estimates[place], exact, self._sample, scale)

    def _spot_checked(self) -> list[Checked]:
        """Re-run a random channel and a random occlusion through the plain model and compare."""
        setup, ledger = self._setup, self.ledger
        self._check_finite()
        place = int(self._spot_rng.integers(len(ledger.targets)))
        known = ledger.occlusions[place]
        planned, effect = known[int(self._spot_rng.integers(len(known)))]
        name = f"the occlusion of {planned.region} at {planned.fraction:.0%}"
        again = self._rerun(planned.item)
        head, plain = setup.model.head, self._case.logits
        controls.spot_check(head, plain, ledger.narrow, place, name, effect.drop, again)
        return self._channels_checked()

    def _check_finite(self) -> None:
        if not np.isfinite(self.ledger.deltas).all():
            name = self._setup.model.name
            raise AblationError(f"{name}: logits that are not finite under ablation")

    def _channels_checked(self) -> list[Checked]:
        """Re-run a random channel, the same for all targets; one that is not at its baseline."""
        setup, ledger = self._setup, self.ledger
        self._check_finite()
        away = (self._prepared.activation != setup.baseline).flatten(2).any(2)[0].cpu().numpy()
        pool = np.flatnonzero(ledger.exact & away)
        if pool.size == 0:
            pool = np.flatnonzero(ledger.exact)
        spot = int(self._spot_rng.choice(pool))
        again = self._rerun(channel(spot))
        head, plain = setup.model.head, self._case.logits
        return [
            controls.checked(head, plain, ledger, place, spot, again)
            for place in range(len(ledger.targets))
        ]

    def _rerun(self, item: Item) -> Tensor:
        setup = self._setup
        return setup.plain.rerun(self._case.x, item, setup.baseline)

    @contextmanager
    def _timed(self, method: str) -> Iterator[None]:
        started = self._setup.clock()
        yield
        self._count(method, self._setup.clock() - started)

    def _count(self, method: str, seconds: float) -> None:
        self.seconds[method] = self.seconds.get(method, 0.0) + seconds


def _batches(runner: Runner, items: Iterable[Item], tick: Tick) -> Iterator[Tensor]:
    """The logits of each batch on the runner's pixels, ``tick`` before it."""
    left = iter(items)
    while part := list(islice(left, runner.batch)):
        tick()
        planned = [plan.Planned(item, plan.METHOD_STUDIES) for item in part]
        for _, rows in runner.run(planned):
            yield rows
