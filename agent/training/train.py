"""From data to a file of weights with its card: what ``pitwatch train`` does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from agent import config
from agent.config import Head, Preprocessing
from agent.models.card import ModelCard
from agent.models.errors import ModelError
from agent.models.files import sha256_of
from agent.models.loading import UNET_LAYER, default_weights, load_model
from agent.models.unet import UNet
from agent.output_file import output_refusal
from agent.phases import Phases, Unseen
from agent.records import CLASSES
from agent.segmentation.segmenter import Analysis
from agent.training.calibrate import fit_confidence
from agent.training.cases import Case, annotated_case, simulated_cases
from agent.training.errors import TrainingError
from agent.training.evaluate import Evaluation, Outcome, evaluate
from agent.training.folder import (
    FolderSamples,
    Pair,
    check_pairs,
    find_pairs,
    held_out_words,
    split_pairs,
)
from agent.training.plausibility import fruit_statistics
from agent.training.recipe import Recipe, Stage
from agent.training.reference import layer_means, overlay_ranges
from agent.training.samples import MixedSamples, Sample, Samples, SimulatedSamples
from agent.training.ship import rounded, ship, update_card
from agent.training.trainer import Step, Trainer

PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
CALIBRATION_SEED, EVALUATION_SEED, REFERENCE_SEED = 8001, 9001, 8501
CHECKPOINT_EVERY_S = 60.0
SMOOTHING = 0.98
"""Of the loss that is shown."""
SUFFIX = ".safetensors"
CHECKPOINT_COPIES = 8
"""Numbers of a network, its average and its optimiser, twice while a checkpoint is replaced."""
ROOM_FOR_OTHERS_BYTES = 4_000_000
"""The weights themselves in half precision, and the card."""
SIMULATED_NOTES = (
    "Trained on simulated fruit only; it has seen no real peach. Its numbers are measured on "
    "simulated fruit of other seeds and say little about a real line: train on the line's own "
    "pictures (pitwatch train --folder) before relying on it."
)
REFINED_NOTES = " Refined from weights with sha256 {sha256}."


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """``out`` gets the weights, the card lies beside it, ``<out>.checkpoint`` while training.

    ``folder``: pictures and masks; ``folder_share`` of the samples come from it, the rest from the
    simulator (1: folder alone). ``start``: weights to refine instead of random ones, best with
    ``Recipe.refining``. ``resume`` or ``discard`` say what is to become of the checkpoint of an
    earlier run. ``cases``: simulated fruit for calibration and for the evaluation.
    """

    out: Path
    recipe: Recipe = field(default_factory=Recipe)
    name: str = "peach-unet8"
    folder: Path | None = None
    folder_share: float = 0.5
    device: str = "cpu"
    resume: bool = False
    discard: bool = False
    cases: int = 2000
    start: config.Model | None = None

    @property
    def reference(self) -> int:
        """Pictures explained for the colour range of the maps: they cost the most by far."""
        return min(60, self.cases // 4)

    @property
    def checkpoint(self) -> Path:
        return self.out.with_name(self.out.name + ".checkpoint")


@dataclass(frozen=True, slots=True)
class Trained:
    """The card as written, and the evaluations by data: ``simulated``, ``folder``."""

    card: ModelCard
    evaluations: dict[str, Evaluation]


def train(
    options: TrainOptions,
    on_step: Callable[[Step], None] | None = None,
    phases: Phases | None = None,
) -> Trained:
    """Run the recipe, then ship, calibrate and judge the result.

    A checkpoint is written every minute, at the end and when interrupted; with ``resume`` an
    interrupted run goes on from it. Raises ``TrainingError`` for a result that could not be written
    and for unusable data before anything is computed.
    """
    phases = phases or Unseen()
    room = ROOM_FOR_OTHERS_BYTES + CHECKPOINT_COPIES * 4 * parameters(options.recipe)
    if refused := output_refusal(options.out, SUFFIX, room):
        raise TrainingError(f"--out: {refused}")
    if options.resume and options.discard:
        raise TrainingError("--resume and --discard: one of the two")
    if options.checkpoint.exists() and not (options.resume or options.discard):
        raise TrainingError(
            f"{options.checkpoint}: of an earlier training; --resume goes on from it, --discard "
            "throws it away"
        )
    if not 0.0 <= options.folder_share <= 1.0:
        raise TrainingError(f"folder share {options.folder_share} is outside 0..1")
    pairs: tuple[Pair, ...] = ()
    if options.folder is not None:
        pairs = find_pairs(options.folder)
    kept, _ = split_pairs(pairs)
    if pairs:
        phases.begin("reading samples", len(pairs))
        check_pairs(pairs, phases.done)
    trainer = Trainer(
        options.recipe, lambda stage: _samples(stage, options, kept), PREPROCESSING, options.device
    )
    if options.start is not None:
        trainer.start_from(load_model(options.start, "cpu").module.state_dict())
    if options.resume and options.checkpoint.exists():
        trainer.resume(options.checkpoint)
    phases.begin("training", options.recipe.steps)
    saved = time.monotonic()
    mean: float | None = None
    try:
        for step in trainer.run():
            mean = step.loss if mean is None else SMOOTHING * mean + (1 - SMOOTHING) * step.loss
            phases.done(step.step, f"{step.size_px} px, loss {mean:.3f}")
            if on_step is not None:
                on_step(step)
            if time.monotonic() - saved >= CHECKPOINT_EVERY_S:
                trainer.save(options.checkpoint)
                saved = time.monotonic()
    except KeyboardInterrupt:
        trainer.save(options.checkpoint)
        raise
    trainer.save(options.checkpoint)
    return finish(trainer, options, pairs, phases)


def parameters(recipe: Recipe) -> int:
    """How many numbers the network of this recipe has."""
    with torch.device("meta"):
        model = UNet(3, len(recipe.class_weights), recipe.features)
    return sum(one.numel() for one in model.parameters())


def finish(
    trainer: Trainer,
    options: TrainOptions,
    pairs: tuple[Pair, ...] = (),
    phases: Phases | None = None,
) -> Trained:
    """Ship the averaged weights of ``trainer``, calibrate, evaluate, and complete the card.

    ``pairs``: the line's own pictures, of which those that training holds out are evaluated.
    """
    phases = phases or Unseen()
    _, held = split_pairs(pairs)
    notes = notes_of(options)
    if pairs:
        notes += " " + held_out_words(pairs, _started_elsewhere(options))
    size = options.recipe.stages[-1].size_px
    card = ModelCard(
        name=options.name,
        classes=CLASSES,
        head=Head.LOGITS,
        preprocessing=PREPROCESSING.model_copy(update={"width_px": size, "height_px": size}),
        layer=UNET_LAYER,
        notes=notes,
    )
    phases.begin("writing the weights")
    card = ship(trainer.averaged(), card, options.out)
    settings = config.Model(path=options.out)
    model = load_model(settings, options.device)
    phases.begin("calibration", options.cases)
    cases = simulated_cases(CALIBRATION_SEED, options.cases)
    calibration = evaluate(model, cases, on_case=_counted(phases))
    try:
        card = card.model_copy(update={"confidence": fit_confidence(calibration.outcomes)})
    except (
        TrainingError
    ) as error:  # too young a network: shipped without a calibration, and says so
        card = card.model_copy(update={"notes": f"{notes} No confidence calibration: {error}."})
    update_card(card, options.out)
    model = load_model(settings, options.device)
    phases.begin("judging on simulated fruit", options.cases)
    cases = simulated_cases(EVALUATION_SEED, options.cases)
    evaluations = {"simulated": evaluate(model, cases, on_case=_counted(phases))}
    if held:
        phases.begin("judging on the folder", len(held))
        evaluations["folder"] = evaluate(model, _annotated(held), on_case=_counted(phases))
    metrics = {
        name if kind == "simulated" else f"{kind}_{name}": value
        for kind, result in evaluations.items()
        for name, value in result.summary().items()
    }
    try:
        phases.begin("plausibility")
        told = _heard(phases)
        statistics = fruit_statistics(model, 2 * options.cases, pairs, told=told)
    except TrainingError as error:  # so few cases are for trying things out
        statistics = None
        card = card.model_copy(update={"notes": f"{card.notes} No plausibility: {error}."})
    phases.begin("colour ranges", options.reference)
    reference = [
        case.sample for case in simulated_cases(REFERENCE_SEED, options.reference, empty=0.0)
    ]
    update = {
        "metrics": rounded(metrics),
        "plausibility": statistics,
        "overlay_range": overlay_ranges(model, _counting(reference, phases)) or None,
        "channel_means": layer_means(model, reference) or None,
    }
    phases.begin("writing the card")
    card = card.model_copy(update=update)
    update_card(card, options.out)
    return Trained(card, evaluations)


def _counted(phases: Phases) -> Callable[[Case, Analysis, Outcome], None]:
    count = itertools.count(1)
    return lambda _case, _analysis, _outcome: phases.done(next(count))


def _heard(phases: Phases) -> Callable[[str], None]:
    count = itertools.count(1)
    return lambda words: phases.done(next(count), words)


def _counting(samples: Iterable[Sample], phases: Phases) -> Iterator[Sample]:
    for count, sample in enumerate(samples):
        phases.done(count)
        yield sample


def notes_of(options: TrainOptions) -> str:
    """What the card says about where the weights come from."""
    notes = SIMULATED_NOTES
    if options.folder is not None:
        notes = f"Trained on a folder of pictures ({options.folder_share:.0%}) and simulated fruit."
    if options.start is not None:
        notes += REFINED_NOTES.format(sha256=options.recipe.start_sha256)
    return notes


def _started_elsewhere(options: TrainOptions) -> bool:
    """Whether training starts from other weights than those shipped, which saw simulated fruit."""
    if options.start is None:
        return False
    try:
        shipped = sha256_of(default_weights().read_bytes())
    except (ModelError, OSError):
        return True
    return options.recipe.start_sha256 != shipped


def folder_cases(folder: Path) -> Iterator[Case]:
    """Every pair of a folder as a case; ``TrainingError`` for what is wrong with the folder."""
    pairs = find_pairs(folder)
    check_pairs(pairs)
    return _annotated(pairs)


def _annotated(pairs: tuple[Pair, ...]) -> Iterator[Case]:
    return (annotated_case(pair.name, pair.load()) for pair in pairs)


def _samples(stage: Stage, options: TrainOptions, pairs: tuple[Pair, ...]) -> Samples:
    simulated = SimulatedSamples(stage.render_px, options.recipe.seed)
    if not pairs:
        return simulated
    return MixedSamples(simulated, FolderSamples(pairs), options.folder_share)
