"""A model made ready to read fruit, and which one an agent starts with."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from agent.alarms.charts.reference import (
    Reference,
    ReferenceFileError,
    differences,
    load_reference,
)
from agent.config import Config, Model
from agent.models.errors import ModelError
from agent.models.files import read_file, sha256_of
from agent.models.loaded import LoadedModel
from agent.pipeline import factories
from agent.pipeline.fit import fitted
from agent.pipeline.model_swap.state import Change, Chosen, State, StateError, StateFile
from agent.segmentation.segmenter import Segmenter
from agent.telemetry import Clock, log_event, wall_clock_ms

logger = logging.getLogger(__name__)

NAMED_BY = {
    "path",
    "format",
    "trust",
    "sha256",
    "factory",
    "classes",
    "head",
    "output_key",
    "preprocessing",
    "layer",
}
"""The keys of ``model`` that say which one it is; how it runs is another matter."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything of one model that the agent runs with. ``config`` has its section ``model`` and
    its classes."""

    chosen: Chosen
    config: Config
    model: LoadedModel
    references: dict[str, Reference]
    segmenter: Segmenter


def key_of(config: Config) -> str:
    """What the configuration names as the model: its keys, and the content of its file.

    Not the content of the model that ships with Pitwatch: a new version must not take a plant's
    promoted model away.
    """
    named = config.model.model_dump(mode="json", include=NAMED_BY)
    content = ""
    if config.model.path is not None:
        try:
            content = sha256_of(read_file(config.model.path))
        except ModelError:
            content = "unreadable"
    text = json.dumps([named, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def configured(config: Config) -> Chosen:
    """The model that the configuration names, and its references."""
    return Chosen(
        settings=config.model,
        references=dict(config.alarms.reference),
        from_configuration=True,
    )


def prepare(config: Config, chosen: Chosen, clock: Clock) -> Prepared:
    """Load it and its references. ``ModelError`` or ``ReferenceFileError`` for what cannot serve.

    References that the configuration names for other varieties serve where they were made with
    this model.
    """
    own = config.model_copy(update={"model": with_shadow(chosen, config)})
    model = factories.load(own)
    if chosen.sha256 and model.sha256 != chosen.sha256:
        raise ModelError(
            f"{model.label}: its content has changed: it has the digest {model.sha256[:12]}, not "
            f"{chosen.sha256[:12]}"
        )
    own = fitted(own, model)
    references = factories.load_references(own, model, chosen.references)
    for variety, path in config.alarms.reference.items():
        if variety not in references and (found := _fitting(own, model, variety, path)):
            references[variety] = found
    segmenter = factories.make_segmenter(own, model, references, clock)
    known = chosen.model_copy(update={"sha256": model.sha256, "name": model.name})
    return Prepared(known, own, model, references, segmenter)


def with_shadow(chosen: Chosen, config: Config) -> Model:
    """Its settings; where it runs and how it is tried is the configuration's matter."""
    keep = {name: getattr(config.model, name) for name in ("shadow", "device", "threads")}
    return chosen.settings.model_copy(update=keep)


def _fitting(config: Config, model: LoadedModel, variety: str, path: Path) -> Reference | None:
    try:
        found = load_reference(path, variety)
    except ReferenceFileError:
        return None
    wrong = differences(found, factories.bound_of(config, model))
    if wrong:
        known = {"variety": variety, "file": str(path), "made_for": "; ".join(wrong)}
        log_event(logger, logging.WARNING, "reference_of_another_model", **known)
        return None
    return found


def first_model(config: Config, clock: Clock) -> Prepared:
    """The model that an agent starts with, decided and logged.

    - What was promoted, while the configuration names the same model as it did then.
    - What the configuration names, once that was changed: whoever edits it means it. What had been
      promoted is then what a rollback brings back.
    - What the configuration names, too, where the promoted one cannot be loaded.

    ``ModelError`` or ``ReferenceFileError`` where the configuration's cannot be.
    """
    file = StateFile(config.state_dir)
    state, key = file.read(), key_of(config)
    promoted = state.running
    if promoted is None:
        return prepare(config, configured(config), clock)
    why = "the configuration names another model than when it was promoted"
    if key == state.key:
        try:
            found = prepare(config, promoted, clock)
        except (ModelError, ReferenceFileError) as error:
            why = f"it cannot be used: {error}"
        else:
            _log(logging.INFO, "promoted", found, "it was promoted")
            return found
    found = prepare(config, configured(config), clock)
    _log(logging.WARNING, "configuration", found, f"{promoted.name} is not run: {why}")
    _give_up(file, state, promoted, found.chosen, why)
    return found


def _give_up(file: StateFile, state: State, promoted: Chosen, now: Chosen, why: str) -> None:
    change = Change(
        utc_ms=wall_clock_ms(),
        by_uid=0,
        action="configured",
        was=promoted.sha256,
        now=now.sha256,
        why=why[:300],
    )
    given_up = {"running": None, "previous": promoted, "promoted": None}
    state = state.model_copy(update=given_up).noting(change)
    try:
        file.write(state)
    except StateError as error:  # the next start decides the same again
        log_event(logger, logging.WARNING, "model_state_not_written", reason=str(error))


def _log(level: int, by: str, found: Prepared, why: str) -> None:
    known = {"by": by, "name": found.model.name, "sha256": found.model.sha256[:12], "reason": why}
    log_event(logger, level, "model_chosen", **known)
