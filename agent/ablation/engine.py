"""Ablation-CAM and region occlusion of one picture, with the controls that make them evidence.

One mechanism serves everything: items name what is replaced in the layer's output, batches of items
go through the second half of the model, and all classes are read from the same logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from agent import config
from agent.ablation.core import plan
from agent.ablation.core.arguments import (
    callback,
    callbacks_errors,
    instance,
    named,
    number,
    words,
)
from agent.ablation.core.case import (
    Case,
    Picture,
    layer_name,
    target,
    why_not,
)
from agent.ablation.core.errors import AblationError
from agent.ablation.core.focus import Focus
from agent.ablation.core.regions import Mask
from agent.ablation.core.relevance import class_shares, relevance_mass
from agent.ablation.core.scores import Target
from agent.ablation.core.summary import Checked
from agent.ablation.cut_model import CutModel
from agent.ablation.request import Asked, Baseline, Pictures, Scores, asked, one_by_one, picked
from agent.ablation.request import Tuning as Tuning
from agent.ablation.result import ChannelDrops, Deltas, EngineResult, not_explainable, stacked
from agent.ablation.run.batching import Progress, Tick
from agent.ablation.run.input_occlusion import InputSensitivity, input_sensitivities, with_input
from agent.ablation.run.job import Job
from agent.ablation.run.whole_model import WholeModel
from agent.ablation.split.split import check_mode
from agent.ablation.studies.context import StudyContext
from agent.ablation.studies.studies import (
    CHECKS,
    Studied,
    Studies,
    cross_checked,
    missing,
    run_studies,
)
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation, Rung


class Engine(CutModel):
    """Explains pictures of one model at one layer.

    ``layer`` is a name or the module itself. An engine may be called from any thread: those of
    networks that share a module take turns, whoever made them.

    Raises ``AblationError`` for a model in train mode, weights that are not finite or of another
    dtype than the input, a model whose two runs differ, a layer that is no feature map, a class
    that is not there.
    """

    def explain(
        self,
        picture: Picture | Case,
        aperture: Mask | None = None,
        *,
        rung: Rung | str = Rung.EXACT,
        deadline_s: float | None = None,
        classes: Sequence[str] | str | None = None,
        scores: Scores | None = None,
        baseline: Baseline | None = None,
        region: Focus | NDArray[np.uint8] | str | None = None,
        studies: Studies | None = None,
        tick: Callable[[str], None] | None = None,
        progress: Progress | None = None,
    ) -> EngineResult:
        """Explain one picture, (H, W, 3) uint8 BGR or with alpha, or a tensor (C, h, w) or (1, C,
        h, w) that is the network's input already; ``aperture`` is (H, W) bool.

        ``deadline_s`` counts from the call and binds the rungs ``partial`` and ``coarse`` only:
        what they must have is computed in any case. ``classes``, ``scores`` and ``baseline`` are
        the settings' where they are None; all scores are read from one pass, by name, from
        ``own_score``, or any function of logits. ``region`` is a focus (a connected part, a box, a
        mask) or its words, or (h, w) uint8 class indices in place of the predicted mask.
        ``progress`` is called after every batch.

        ``studies`` come after the explanation, which they cannot cost: ``tick`` is told the study's
        name before each of its batches, and ``LateError`` raised in it ends that study, which is
        then named in ``left_out``.

        Raises ``NullControlError`` when the ablated path does not reproduce the plain model, and
        ``AblationError`` for everything else that forbids an explanation, an argument that is none
        among it. A class without a pixel is no error: its record says that it is not explainable.
        """
        clock = self._tuning.clock
        started = clock()
        rung = named(Rung, "rung", rung)
        deadline = None if deadline_s is None else started + number("deadline_s", deadline_s)
        studies_wanted = Studies() if studies is None else studies
        instance(Studies, "studies", studies_wanted)
        tick, progress = callback("tick", tick), callback("progress", progress)
        wanted = self._asked(classes, scores, baseline)
        case = self._case(picture, aperture, region)
        whole_model = self._whole_model  # before the turn: it may have to be made
        with callbacks_errors(), self._turn():
            targets, reasons = self._targets(case, wanted)
            records: dict[tuple[str, str], ClassExplanation] = {}
            left_out: tuple[str, ...] = CHECKS
            seconds: dict[str, float] = {}
            studied: dict[tuple[str, str], Studied] = {}
            if targets:
                # Before the job: the deadline may cut the job short, never this.
                prepared = clock()
                in_input = self._occluded_inputs(case, targets)
                occluded = clock()
                run = partial(Job.run, deadline=deadline, progress=progress)
                job, _ = self._first_way(case, targets, wanted, rung, run)
                records = self._records(job, case, in_input)
                seconds = {**job.seconds, plan.METHOD_INPUT: occluded - prepared}
                context = self._context(job, case, list(records.values()), wanted, whole_model)
                results, late = run_studies(studies_wanted, context, tick)
                studied = dict(zip(records, results, strict=True))
                left_out = (*job.left_out(), *missing(results[0], late))
                for key, one in studied.items():
                    seconds |= one.seconds
                    if studies is not None:
                        records[key] = cross_checked(records[key], one, case.aperture)
        explained = tuple(
            records.get(key) or not_explainable(key[0], reason, key[1])
            for key, reason in reasons.items()
        )
        count = len(wanted.classes)
        return EngineResult(
            classes=explained[:count],
            more=explained[count:],
            rung=rung,
            method=plan.METHOD_CHANNELS,
            layer=self.layer,
            path=self.path,
            ways_left=self.ways_left,
            score=str(wanted.scores[0].name),
            baseline=wanted.baseline,
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

    def deltas(
        self,
        pictures: Pictures,
        aperture: Mask | None = None,
        *,
        channels: Sequence[int] | None = None,
        classes: Sequence[str] | str | None = None,
        scores: Scores | None = None,
        baseline: Baseline | None = None,
        region: Focus | NDArray[np.uint8] | str | None = None,
    ) -> Deltas:
        """Single channels ablated, all or those named, and nothing else: as tensors.

        One picture as in ``explain``, several of them, or a tensor (N, C, h, w); ``aperture`` and
        ``region`` hold for each. A picture costs two plain passes (its prediction, and a channel
        that is run again as a control), the part of the network before the layer, and one null
        item more than there are channels. Numbers and errors are those of ``explain``.
        """
        several = one_by_one(pictures)
        depth = self.channels
        chosen = tuple(range(depth)) if channels is None else picked(channels, depth)
        wanted = self._asked(classes, scores, baseline)
        found = []
        for one in several:
            case = self._case(one, aperture, region)
            with self._turn():
                targets, reasons = self._targets(case, wanted)
                job: Job | None = None
                checked: list[Checked] = []
                if targets:
                    run = partial(Job.run_channels, channels=chosen, progress=None)
                    job, checked = self._first_way(case, targets, wanted, Rung.EXACT, run)
                maps = job.activation if job else self._setup.split.prefix(case.x).activation
                drops = job.ledger.deltas if job else np.zeros((0, depth))
            found.append(ChannelDrops(maps, drops, checked, tuple(reasons.values())))
        names = [str(kind.name) for kind in wanted.scores]
        return stacked(
            found, chosen, (names, wanted.classes), (self.layer, self.path, wanted.baseline)
        )

    def explain_all(
        self, pictures: Pictures, *arguments: Any, **options: Any
    ) -> list[EngineResult]:
        """``explain`` of each of several pictures, or of a tensor (N, C, h, w)."""
        return [self.explain(one, *arguments, **options) for one in one_by_one(pictures)]

    def _asked(
        self,
        classes: Sequence[str] | str | None,
        scores: Scores | None,
        baseline: Baseline | None,
    ) -> Asked:
        found = asked(self.model, self.settings, classes, scores, baseline)
        self._baselines.of(found.baseline)
        check_mode(self.model)
        return found

    def _targets(
        self, case: Case, wanted: Asked
    ) -> tuple[list[Target], dict[tuple[str, str], str]]:
        """Those that can be explained, and by class and score of all why not, empty where so."""
        targets, reasons = [], {}
        for kind in wanted.scores:
            for name in wanted.classes:
                one = target(self.model, case, name, kind)
                reason = reasons[name, str(kind.name)] = why_not(one, case)
                if not reason:
                    kind.check(case.logits, one)
                    targets.append(one)
        return targets, reasons

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
        self,
        job: Job,
        case: Case,
        records: list[ClassExplanation],
        wanted: Asked,
        whole_model: WholeModel,
    ) -> StudyContext:
        other: Baseline = "mean" if wanted.baseline == "zero" else "zero"

        def again(tick: Tick) -> tuple[str, Job]:
            instead = replace(wanted, baseline=other)
            second = self._job(self._setup, case, job.ledger.targets, instead, Rung.EXACT)
            second.run(None, lambda _done, _total: tick(), regions=False)
            return other, second

        return StudyContext(
            whole_model=whole_model,
            case=case,
            job=job,
            records=records,
            settings=self.settings,
            other=again,
            clock=self._tuning.clock,
        )


class LayerEngines(Mapping[str, Engine]):
    """Engines of several layers of one model, by the layers' names in the order given. A picture's
    plain prediction is made once, and the whole model is laid out once.

    ``layers`` are names or modules. ``tuning`` holds for each of them; a reference of means belongs
    to one layer and is refused, those of the model's card are found by the layer.
    """

    def __init__(
        self,
        model: LoadedModel,
        settings: config.Ablation,
        layers: Sequence[str | nn.Module],
        tuning: Tuning | None = None,
    ) -> None:
        if tuning is not None and tuning.reference is not None:
            raise AblationError("reference: the means of one layer are none of the others'")
        instance(LoadedModel, "model (made by explainable or load_model)", model)
        several = [layers] if isinstance(layers, str | nn.Module) else list(layers)
        names = words("layers", [layer_name(model, one) for one in several])
        made = [Engine(model, settings, name, tuning) for name in names]
        for one in made:
            one._whole = made[0]._whole
        self._engines = dict(zip(names, made, strict=True))

    def __getitem__(self, layer: str) -> Engine:
        return self._engines[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._engines)

    def __len__(self) -> int:
        return len(self._engines)

    def explain(
        self,
        picture: Picture | Case,
        aperture: Mask | None = None,
        *,
        region: Focus | NDArray[np.uint8] | str | None = None,
        **options: Any,
    ) -> dict[str, EngineResult]:
        """``Engine.explain`` at every layer."""
        case = self._first._case(picture, aperture, region)
        return {name: one.explain(case, **options) for name, one in self._engines.items()}

    def deltas(
        self,
        pictures: Pictures,
        aperture: Mask | None = None,
        *,
        region: Focus | NDArray[np.uint8] | str | None = None,
        **options: Any,
    ) -> dict[str, Deltas]:
        """``Engine.deltas`` at every layer."""
        cases = [self._first._case(one, aperture, region) for one in one_by_one(pictures)]
        return {name: one.deltas(cases, **options) for name, one in self._engines.items()}

    @property
    def _first(self) -> Engine:
        return next(iter(self._engines.values()))
