"""Ablation-CAM and region occlusion of one picture, with the controls that make them evidence.

One mechanism serves everything: items name what is replaced in the layer's output, batches of items
go through the second half of the model, and all classes are read from the same logits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.ablation.core import plan
from agent.ablation.core.case import Case, check_classes, load_case, target, why_not
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus
from agent.ablation.core.regions import Mask
from agent.ablation.core.relevance import class_shares, relevance_mass
from agent.ablation.core.scores import Target, score_named
from agent.ablation.result import EngineResult, not_explainable
from agent.ablation.run.batching import Progress, Tick, choose_batch
from agent.ablation.run.fast_path import build_fast_path
from agent.ablation.run.input_occlusion import InputSensitivity, input_sensitivities, with_input
from agent.ablation.run.job import Job
from agent.ablation.run.ladder import climb, slower_ways
from agent.ablation.run.runners import Setup
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split.left import LeftWays
from agent.ablation.split.split import (
    HookSplit,
    build_split,
    check_mode,
    check_weights,
    find_layer,
    no_slower,
    watchable,
)
from agent.ablation.studies.context import StudyContext
from agent.ablation.studies.studies import (
    CHECKS,
    Studied,
    Studies,
    cross_checked,
    missing,
    run_studies,
)
from agent.config import Score
from agent.models.checks import probe_batch
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation, Rung
from agent.telemetry import Clock

Baseline = Literal["zero", "mean"]


@dataclass(frozen=True, slots=True)
class Tuning:
    """``reference`` (K,): mean of each channel over a reference set, for the baseline ``mean``.
    ``batch``: items per pass, None to time a few. ``clock``: seconds, for deadlines. ``rows``:
    whether channels may take the fast path."""

    reference: NDArray[np.float64] | None = None
    batch: int | None = None
    clock: Clock = time.perf_counter
    rows: bool = True


class Engine:
    """Explains pictures of one model at one layer.

    Raises ``AblationError`` for a model in train mode, weights that are not finite, a model whose
    two runs differ, a layer that is no feature map, a class that is not there.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: config.Ablation,
        layer: str | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self._tuning = tuning = tuning or Tuning()
        check_mode(model)
        check_weights(model)
        check_classes(model, settings.classes)
        self.model, self.settings = model, settings
        with torch.no_grad():
            example = probe_batch(model)[:1]
            model = watchable(model, example)
            self.layer = find_layer(model, layer, example)
            self._left = LeftWays()
            split = build_split(model, self.layer, example, self._left)
            prepared = split.prefix(example)
            zero = torch.zeros_like(prepared.activation[:, :, :1, :1])
            self._baselines = self._known_baselines(zero)
            baseline = self._chosen_baseline(settings.baseline)
            self._grid = (int(prepared.activation.shape[2]), int(prepared.activation.shape[3]))
            operations = None
            if tuning.rows:
                operations = build_fast_path(
                    model, self.layer, split, example, baseline, tuning.clock, self._left
                )
            plain = HookSplit(model, self.layer)
            if operations is None:
                split = no_slower(split, plain, example, self._left, tuning.clock)
            prepared = split.prefix(example)
            batch = tuning.batch if split.together else 1
            self._setup = Setup(
                model=model,
                settings=settings,
                plain=plain,
                split=split,
                baseline=baseline,
                batch=batch or choose_batch(split, prepared, tuning.clock),
                clock=tuning.clock,
                operations=operations,
                halved=self._remember,
                left=self._left,
            )
            self._slower = slower_ways(self._setup)
            self._whole_model = WholeModel(model, example, self._left)
        self._spot_rng = np.random.default_rng(settings.seed)

    def _remember(self, batch: int) -> None:
        """No more than this a pass from now on: the device ran out of memory, once allowed."""
        self._setup = replace(self._setup, batch=batch, halved=None)

    @property
    def channels(self) -> int:
        """How many maps the layer has."""
        return int(self._setup.baseline.shape[1])

    @property
    def has_both_baselines(self) -> bool:
        """Whether the means of the layer's channels are known."""
        return len(self._baselines) > 1

    @property
    def path(self) -> str:
        """How the model is run from the layer on: ``hook`` (whole, with a hook), ``replay`` (what
        ended before the layer is replayed), ``fx`` or ``export`` (cut in two), with ``+rows`` where
        only the pixels that are read are run."""
        return self._setup.path

    @property
    def ways_left(self) -> tuple[str, ...]:
        """The faster ways that are not taken, ``way: reason`` each; see ``EngineResult``."""
        return self._left.lines

    def explain(
        self,
        image_bgr: NDArray[np.uint8],
        aperture: Mask | None = None,
        *,
        rung: Rung = Rung.EXACT,
        deadline_s: float | None = None,
        classes: Sequence[str] | None = None,
        scores: Sequence[Score] | None = None,
        baseline: Baseline | None = None,
        region: Focus | NDArray[np.uint8] | None = None,
        studies: Studies | None = None,
        tick: Callable[[str], None] | None = None,
        progress: Progress | None = None,
    ) -> EngineResult:
        """Explain one picture, (H, W, 3) uint8 BGR or with alpha; ``aperture`` is (H, W) bool.

        ``deadline_s`` counts from the call and binds the rungs ``partial`` and ``coarse`` only:
        what they must have is computed in any case. ``classes``, ``scores`` and ``baseline`` are
        the settings' where they are None; all scores are read from one pass. ``region`` is a focus
        (a connected part, a box, a mask), or (h, w) uint8 class indices in place of the predicted
        mask. ``progress`` is called after every batch.

        ``studies`` come after the explanation, which they cannot cost: ``tick`` is told the study's
        name before each of its batches, and ``LateError`` raised in it ends that study, which is
        then named in ``left_out``.

        Raises ``NullControlError`` when the ablated path does not reproduce the plain model, and
        ``AblationError`` for everything else that forbids an explanation. A class without a pixel
        is no error: its record says that it is not explainable.
        """
        clock = self._tuning.clock
        started = clock()
        names = tuple(classes) if classes is not None else self.settings.classes
        used = baseline or self.settings.baseline
        self._chosen_baseline(used)
        check_classes(self.model, names)
        check_mode(self.model)
        with torch.no_grad():
            case = load_case(self.model, image_bgr, aperture, region)
            kinds = [score_named(one) for one in scores or (self.settings.score,)]
            wanted = [target(self.model, case, name, kind) for kind in kinds for name in names]
            reasons = [why_not(t, case) for t in wanted]
            targets = [t for t, reason in zip(wanted, reasons, strict=True) if not reason]
            records: dict[tuple[str, str], ClassExplanation] = {}
            left_out: tuple[str, ...] = CHECKS
            seconds: dict[str, float] = {}
            studied: dict[tuple[str, str], Studied] = {}
            if targets:
                # Before the job: the deadline may cut the job short, never this.
                prepared = clock()
                in_input = self._occluded_inputs(case, targets)
                occluded = clock()
                deadline = None if deadline_s is None else started + deadline_s

                def attempt(setup: Setup) -> Job:
                    based = replace(setup, baseline=self._chosen_baseline(used))
                    made = Job(based, case, targets, rung, self._spot_rng)
                    made.run(deadline, progress)
                    return made

                job = self._by_the_first_way(attempt)
                records = self._records(job, case, in_input)
                seconds = {**job.seconds, plan.METHOD_INPUT: occluded - prepared}
                context = self._context(job, case, list(records.values()), used)
                results, late = run_studies(studies or Studies(), context, tick or _unhurried)
                studied = dict(zip(records, results, strict=True))
                left_out = (*job.left_out(), *missing(results[0], late))
                for key, one in studied.items():
                    seconds |= one.seconds
                    if studies is not None:
                        records[key] = cross_checked(records[key], one, case.aperture)
        explained = tuple(
            records.get((t.name, t.score.name)) or not_explainable(t.name, reason, t.score.name)
            for t, reason in zip(wanted, reasons, strict=True)
        )
        return EngineResult(
            classes=explained[: len(names)],
            more=explained[len(names) :],
            rung=rung,
            method=plan.METHOD_CHANNELS,
            layer=self.layer,
            path=self.path,
            ways_left=self.ways_left,
            score=str(kinds[0].name),
            baseline=used,
            region_threshold=self.settings.region_threshold,
            region_source=case.focus.source,
            left_out=left_out,
            seconds=clock() - started,
            seconds_by_method=seconds,
            input=case.x[0].float().cpu().numpy(),
            logits=case.logits[0].float().cpu().numpy(),
            mask=case.mask,
            aperture=case.aperture,
            studies=studied,
        )

    def _by_the_first_way(self, attempt: Callable[[Setup], Job]) -> Job:
        """By the fastest way that does it; those that failed on the way there are left."""
        setups = (self._setup, *self._slower)
        job, remaining = climb(setups, attempt)
        if len(remaining) < len(setups):
            self._setup, *slower = remaining
            self._slower = tuple(slower)
        return job

    def _occluded_inputs(
        self, case: Case, targets: Sequence[Target]
    ) -> dict[str, InputSensitivity]:
        """By class; the same whatever the score."""
        unique = list({t.name: t for t in targets}.values())
        found = input_sensitivities(self._whole_model, case, unique, self._grid, self.settings)
        return {t.name: one for t, one in zip(unique, found, strict=True)}

    def _records(
        self, job: Job, case: Case, in_input: Mapping[str, InputSensitivity]
    ) -> dict[tuple[str, str], ClassExplanation]:
        """By class and score, in the order of the job's targets."""
        shares = class_shares(case.mask, case.aperture, self.model.classes, self._grid)
        return {
            (one.class_name, one.score): replace(
                with_input(one, in_input[one.class_name]),
                relevance_mass=relevance_mass(one.map, shares),
            )
            for one in job.explanations()
        }

    def _context(
        self, job: Job, case: Case, records: list[ClassExplanation], used: Baseline
    ) -> StudyContext:
        other: Baseline = "mean" if used == "zero" else "zero"

        def again(tick: Tick) -> tuple[str, Job]:
            setup = replace(self._setup, baseline=self._chosen_baseline(other))
            second = Job(setup, case, job.ledger.targets, Rung.EXACT, self._spot_rng)
            second.run(None, lambda _done, _total: tick(), regions=False)
            return other, second

        return StudyContext(
            whole_model=self._whole_model,
            case=case,
            job=job,
            records=records,
            settings=self.settings,
            other=again,
            clock=self._tuning.clock,
        )

    def _known_baselines(self, zero: Tensor) -> dict[str, Tensor]:
        """(1, K, 1, 1) each; ``mean`` where the means of this layer's channels are known."""
        known = {"zero": zero}
        means = self._tuning.reference
        if means is None:
            declared = (self.model.card.channel_means or {}).get(self.layer)
            means = None if declared is None else np.asarray(declared)
        if means is not None:
            if means.shape != (zero.shape[1],):
                raise AblationError(
                    f"baseline mean needs one mean per channel: {self.layer} has {zero.shape[1]}, "
                    f"the reference {means.size}"
                )
            if not np.isfinite(means).all():
                raise AblationError("baseline mean: the reference means are not finite")
            known["mean"] = zero + torch.as_tensor(means).to(zero).view(1, -1, 1, 1)
        return known

    def _chosen_baseline(self, name: str) -> Tensor:
        if name not in self._baselines:
            raise AblationError(
                f"baseline {name} needs one mean per channel of {self.layer} from a reference set: "
                "the model's card has none, and none were given"
            )
        return self._baselines[name]


def _unhurried(_study: str) -> None:
    """Studies of somebody who waits."""
