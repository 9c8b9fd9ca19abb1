"""What ``pitwatch model stage`` asks for, checked: nothing is loaded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agent import config
from agent.alarms.charts.reference import ReferenceFileError, load_reference
from agent.models.errors import ModelError
from agent.pipeline.model_swap.files import keep, keep_reference
from agent.pipeline.model_swap.state import Chosen
from agent.supervision.control.protocol import RefusedError

KEYS = frozenset({"path", "factory", "trust", "sha256", "varieties", "references"})


@dataclass(frozen=True, slots=True)
class StageRequest:
    """``given``: what a person calls it by."""

    settings: config.Model
    given: str
    varieties: tuple[str, ...]
    references: tuple[Path, ...]


def stage_request(arguments: Mapping[str, object], base: config.Model) -> StageRequest:
    """``RefusedError`` says what is wrong. As with ``--model``, another file is another network:
    what the configuration trusts is not it, and what it says of its pictures holds."""
    if unknown := sorted(set(arguments) - KEYS):
        raise RefusedError(f"unknown argument {unknown[0]}")
    path, factory = _text(arguments, "path"), _text(arguments, "factory")
    if path is None and factory is None:
        raise RefusedError("name the file of the model, or a factory")
    if path is not None and not Path(path).is_absolute():
        raise RefusedError(f"{path}: no absolute path")
    about_it = {
        "path": path,
        "factory": factory,
        "format": "auto",
        "trust": _text(arguments, "trust") or "data",
        "sha256": _text(arguments, "sha256"),
    }
    values = {**base.model_dump(mode="json", exclude_defaults=True), **about_it}
    try:
        settings = config.Model.model_validate(values)
    except ValidationError as error:
        words = "; ".join(
            f"{'.'.join(('model', *map(str, one['loc'])))}: {one['msg']}" for one in error.errors()
        )
        raise RefusedError(words) from error
    return StageRequest(
        settings,
        path or factory or "",
        _texts(arguments, "varieties"),
        tuple(Path(one) for one in _texts(arguments, "references")),
    )


def kept(request: StageRequest, folder: Path) -> Chosen:
    """Copies of everything: nothing it needs lies in somebody's folder. ``RefusedError``."""
    settings, references = request.settings, {}
    try:
        for path in request.references:
            found = load_reference(path)
            if found.variety in references:
                raise RefusedError(f"{path}: another reference of variety {found.variety}")
            if request.varieties and found.variety not in request.varieties:
                raise RefusedError(
                    f"{path}: of variety {found.variety}, not {', '.join(request.varieties)}"
                )
            references[found.variety] = keep_reference(folder, path, path.read_bytes())
        if settings.path is not None:
            settings = settings.model_copy(update={"path": keep(folder, settings.path)})
    except (ModelError, ReferenceFileError) as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"{folder}: {error.strerror or error}") from error
    return Chosen(settings=settings, references=references)


def _text(arguments: Mapping[str, object], key: str) -> str | None:
    value = arguments.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise RefusedError(f"{key}: no text")
    return value if isinstance(value, str) else None


def _texts(arguments: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = arguments.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise RefusedError(f"{key}: no list of texts")
    return tuple(value)
