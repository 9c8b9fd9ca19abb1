"""Ablation-CAM and region occlusion of one picture, with the controls that make them evidence.

One mechanism serves everything: items name what is replaced in the layer's output, batches of items
go through the second half of the model, and all classes are read from the same logits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent import config
from agent.ablation import plan
from agent.ablation.batching import Progress, choose_batch
from agent.ablation.errors import AblationError
from agent.ablation.input_occlusion import input_sensitivities, with_input
from agent.ablation.job import Job, Setup
from agent.ablation.picture import check_classes, load_case, random_input, target, why_not
from agent.ablation.quick import build_fast
from agent.ablation.regions import Mask
from agent.ablation.result import EngineResult, not_explainable
from agent.ablation.split import HookSplit, build_split, check_mode, check_weights, find_layer
from agent.models.fusing import fused
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation, Rung
from agent.telemetry import Clock

NOT_COMPUTED = ("patch_occlusion", "spatial_agreement", "insertion_deletion", "hires_map")
"""Cross-checks that are not part of an explanation; named so that nobody takes them for done."""


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
            example = random_input(model)
            self.layer = find_layer(model, layer, example)
            split = build_split(model, self.layer, example)
            prepared = split.prefix(example)
            baseline = self._baseline(prepared.activation)
            self._grid = (int(prepared.activation.shape[2]), int(prepared.activation.shape[3]))
            fast = None
            if tuning.rows:
                fast = build_fast(model, self.layer, split, example, baseline)
            self._setup = Setup(
                model=model,
                settings=settings,
                plain=HookSplit(model, self.layer),
                split=split,
                baseline=baseline,
                batch=tuning.batch or choose_batch(model, split, prepared, tuning.clock),
                clock=tuning.clock,
                fast=fast,
            )
        self._folded = fused(model)
        self._spot_rng = np.random.default_rng(settings.seed)

    @property
    def path(self) -> str:
        """How the model is run from the layer on: ``hook`` (whole, with a hook), ``fx`` (cut in
        two), or ``fx+rows`` (and only the pixels that are read)."""
        return self._setup.split.name + ("+rows" if self._setup.fast is not None else "")

    def explain(
        self,
        image_bgr: NDArray[np.uint8],
        aperture: Mask | None = None,
        *,
        rung: Rung = Rung.EXACT,
        deadline_s: float | None = None,
        classes: Sequence[str] | None = None,
        region: NDArray[np.uint8] | None = None,
        progress: Progress | None = None,
    ) -> EngineResult:
        """Explain one picture, (H, W, 3) uint8 BGR or with alpha; ``aperture`` is (H, W) bool.

        ``deadline_s`` counts from the call and binds the rungs ``partial`` and ``coarse`` only:
        what they must have is computed in any case. ``region``: (h, w) uint8 class indices to
        explain in place of the predicted mask. ``progress`` is called after every batch.

        Raises ``NullControlError`` when the ablated path does not reproduce the plain model, and
        ``AblationError`` for everything else that forbids an explanation. A class without a pixel
        is no error: its record says that it is not explainable.
        """
        clock = self._tuning.clock
        started = clock()
        names = tuple(classes) if classes is not None else self.settings.classes
        check_classes(self.model, names)
        check_mode(self.model)
        with torch.no_grad():
            case = load_case(self.model, image_bgr, aperture, region)
            wanted = [target(self.model, case, name) for name in names]
            kind = self.settings.score
            reasons = {t.name: why_not(t, case.region_source, kind) for t in wanted}
            targets = [t for t in wanted if not reasons[t.name]]
            records: dict[str, ClassExplanation] = {}
            left_out: tuple[str, ...] = ()
            seconds: dict[str, float] = {}
            if targets:
                # Before the job: the deadline may cut that one short, never the arbiter.
                arbiter = input_sensitivities(
                    self._folded, case, targets, self._grid, self.settings
                )
                occluded = clock()
                job = Job(self._setup, case, targets, rung, self._spot_rng)
                job.run(None if deadline_s is None else started + deadline_s, progress)
                records = {
                    record.class_name: with_input(record, one)
                    for record, one in zip(job.explanations(), arbiter, strict=True)
                }
                left_out = job.left_out()
                seconds = {**job.seconds, plan.METHOD_INPUT: occluded - started}
        return EngineResult(
            classes=tuple(
                records.get(name) or not_explainable(name, reasons[name]) for name in names
            ),
            rung=rung,
            method=plan.METHOD_CHANNELS,
            layer=self.layer,
            path=self.path,
            score=str(self.settings.score),
            baseline=self.settings.baseline,
            region_threshold=self.settings.region_threshold,
            region_source=case.region_source,
            left_out=(*left_out, *NOT_COMPUTED),
            seconds=clock() - started,
            seconds_by_method=seconds,
            input=case.x[0].float().cpu().numpy(),
            logits=case.logits[0].float().cpu().numpy(),
            mask=case.mask,
            aperture=case.aperture,
        )

    def _baseline(self, activation: Tensor) -> Tensor:
        baseline = torch.zeros_like(activation[:, :, :1, :1])
        if self.settings.baseline == "zero":
            return baseline
        reference = self._tuning.reference
        if reference is None or reference.shape != (activation.shape[1],):
            raise AblationError(
                f"baseline mean needs one mean per channel ({activation.shape[1]} of them at "
                f"{self.layer}) from a reference set"
            )
        if not np.isfinite(reference).all():
            raise AblationError("baseline mean: the reference means are not finite")
        return baseline + torch.as_tensor(reference).to(baseline).view(1, -1, 1, 1)
