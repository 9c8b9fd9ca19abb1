"""The course of one explanation: what is run, in which order, and what is checked on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.ablation import estimate, plan, verify
from agent.ablation.batching import Progress, Runner
from agent.ablation.errors import AblationError
from agent.ablation.ledger import Ledger
from agent.ablation.measure import Target
from agent.ablation.picture import Case
from agent.ablation.regions import class_cells
from agent.ablation.split import HookSplit, Split
from agent.ablation.summary import Checked, Findings, explanation
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation, Rung
from agent.telemetry import Clock


@dataclass(frozen=True, slots=True)
class Setup:
    """What all pictures share: the model, its two ways of being run, and the settings."""

    model: LoadedModel
    settings: config.Ablation
    plain: HookSplit
    split: Split
    baseline: Tensor
    batch: int
    clock: Clock


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
        self.ledger = Ledger(setup.settings.score, case, targets, self._depth)
        self.seconds: dict[str, float] = {}
        self._estimates: NDArray[np.float64] | None = None
        self._sample: NDArray[np.int64] = np.zeros(0, np.int64)
        self._checked: list[Checked] = []
        self._done = 0

    def run(self, deadline: float | None, progress: Progress | None) -> None:
        """Everything of this rung; ``deadline`` is on the setup's clock and bounds refinement."""
        planned = self._controls_and_regions()
        everything = self._rung is Rung.EXACT or deadline is None
        total = len(planned) + self._depth
        if everything:
            planned += plan.channels(range(self._depth))
        seconds_per_batch = self._measure(planned, progress, total)
        if not everything and deadline is not None:
            self._refine(deadline, seconds_per_batch, progress, total)
        started = self._setup.clock()
        self._checked = self._spot_checked()
        self._count(plan.METHOD_CONTROLS, self._setup.clock() - started)
        if progress is not None:
            progress(total, total)

    def explanations(self) -> tuple[ClassExplanation, ...]:
        """One record per class that can be explained."""
        activation = self._prepared.activation[0].float().cpu().numpy()
        return tuple(
            explanation(
                Findings(
                    class_name=target.name,
                    deltas=self.ledger.deltas[place],
                    exact=self.ledger.exact,
                    estimate_error=self._estimate_error(place),
                    occlusions=self.ledger.occlusions[place],
                    checked=self._checked[place],
                ),
                activation,
            )
            for place, target in enumerate(self.ledger.targets)
        )

    def left_out(self) -> tuple[str, ...]:
        """What this picture lacks against a full explanation, in words."""
        out = []
        estimated = int((~self.ledger.exact).sum())
        if estimated:
            out.append(f"channels_estimated:{estimated}/{self._depth}")
        if self._rung is Rung.COARSE:
            out.append("region_fractions")
        return tuple(out)

    def _controls_and_regions(self) -> list[plan.Planned]:
        _, _, height, width = self._prepared.activation.shape
        planned = plan.controls((height, width))
        settings = self._setup.settings
        for place, target in enumerate(self.ledger.targets):
            cells = class_cells(
                target.region.cpu().numpy(),
                self._case.aperture,
                (height, width),
                settings.region_threshold,
            )
            planned += plan.regions(cells, place, settings, self._rung, self._rng)
        return planned

    def _measure(
        self, planned: Sequence[plan.Planned], progress: Progress | None, total: int
    ) -> float:
        """Run items and write them down; returns the longest batch in seconds.

        The null control stands right after the first batch: nothing is read off the others when
        the path they share is wrong.
        """
        setup, longest = self._setup, 0.0
        runner = Runner(setup.model, setup.split, self._prepared, setup.baseline, setup.batch)
        started = setup.clock()
        for part, logits in runner.run(planned):
            first = self.ledger.empty
            self.ledger.record(part, logits)
            if first:
                verify.null_control(setup.model.head, self._case.logits, self.ledger.base)
            now = setup.clock()
            for item in part:
                self._count(item.method, (now - started) / len(part))
            longest, started = max(longest, now - started), now
            self._done += len(part)
            if progress is not None:
                progress(min(self._done, total - 1), total)
        return longest

    def _refine(
        self, deadline: float, batch_s: float, progress: Progress | None, total: int
    ) -> None:
        """Estimate all channels, make them exact in order of size until the time is up, then make a
        random sample of the rest exact as well, to know how far off the estimates are."""
        setup, ledger = self._setup, self.ledger
        started = setup.clock()
        self._estimates = estimate.gradient_times_activation(
            setup.model, setup.split, self._prepared, setup.baseline, ledger.kind, ledger.targets
        )
        self._count(plan.METHOD_CHANNELS, setup.clock() - started)
        rest = [int(k) for k in estimate.order(self._estimates)]
        sample_s = batch_s * (-(-estimate.SAMPLE // setup.batch) + 1)  # and the spot check
        while len(rest) > estimate.SAMPLE and setup.clock() + batch_s + sample_s <= deadline:
            count = min(setup.batch, len(rest) - estimate.SAMPLE)
            self._measure(plan.channels(rest[:count]), progress, total)
            rest = rest[count:]
        chosen = self._rng.permutation(rest)[: estimate.SAMPLE]
        self._sample = np.asarray(chosen, np.int64)
        self._measure(plan.channels(self._sample.tolist()), progress, total)
        for place in range(len(ledger.targets)):
            if ledger.kind is config.Score.DICE_DROP:
                self._estimates[place] = estimate.calibrated(
                    self._estimates[place], ledger.deltas[place], ledger.exact
                )
            unknown = ~ledger.exact
            ledger.deltas[place, unknown] = self._estimates[place, unknown]

    def _estimate_error(self, place: int) -> float:
        if self._estimates is None or bool(self.ledger.exact.all()):
            return 0.0
        exact = self.ledger.deltas[place]
        scale = float(np.abs(exact).max())
        return estimate.error(self._estimates[place], exact, self._sample, scale)

    def _spot_checked(self) -> list[Checked]:
        """Re-run one random channel through the plain model and compare, for every class."""
        setup, ledger = self._setup, self.ledger
        if not np.isfinite(ledger.deltas).all():
            raise AblationError(f"{setup.model.name}: logits that are not finite under ablation")
        away = (self._prepared.activation != setup.baseline).flatten(2).any(2)[0].cpu().numpy()
        pool = np.flatnonzero(ledger.exact & away)
        if pool.size == 0:
            pool = np.flatnonzero(ledger.exact)
        channel = int(self._spot_rng.choice(pool))
        again = verify.plain_rerun(setup.model, setup.plain, self._case.x, channel, setup.baseline)
        return [
            verify.checked(setup.model.head, self._case.logits, ledger, place, channel, again)
            for place in range(len(ledger.targets))
        ]

    def _count(self, method: str, seconds: float) -> None:
        self.seconds[method] = self.seconds.get(method, 0.0) + seconds
