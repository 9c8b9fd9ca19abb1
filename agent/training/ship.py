"""Weights as a file others can load: safetensors with a model card beside it."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from agent.models.card import ModelCard, card_path, write_card
from agent.training.errors import TrainingError


def pack(state: Mapping[str, Tensor]) -> bytes:
    """The weights as safetensors: convolutions in half precision, which changes a few pixels in ten
    thousand and halves the file; the running statistics keep their 32 bits."""
    packed = {
        key: value.to(torch.float16) if value.ndim == 4 else value.clone()
        for key, value in state.items()
        if not key.endswith("num_batches_tracked")
    }
    return save({key: value.contiguous() for key, value in packed.items()})


def ship(state: Mapping[str, Tensor], card: ModelCard, path: Path) -> ModelCard:
    """Write weights and card; both appear whole or not at all. Returns the card with its hash."""
    data = pack(state)
    signed = card.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    write_weights(data, signed, path)
    return signed


def write_weights(data: bytes, card: ModelCard, path: Path) -> None:
    """Put both files in place by renaming; ``TrainingError`` where the disk refuses."""
    target = card_path(path)
    parts = (path.with_name(path.name + ".part"), target.with_name(target.name + ".part"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts[0].write_bytes(data)
        write_card(card, parts[1])
        parts[0].replace(path)
        parts[1].replace(target)
    except OSError as error:
        for part in parts:
            _discard(part)
        raise TrainingError(f"{path}: the weights could not be written: {error}") from error


def update_card(card: ModelCard, path: Path) -> None:
    """Replace the card beside unchanged weights."""
    target = card_path(path)
    part = target.with_name(target.name + ".part")
    try:
        write_card(card, part)
        part.replace(target)
    except OSError as error:
        _discard(part)
        raise TrainingError(f"{target}: the card could not be written: {error}") from error


def _discard(part: Path) -> None:
    with contextlib.suppress(OSError):  # the first error is the one to tell
        part.unlink(missing_ok=True)


def rounded(numbers: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    """For a card: rounded, and without what is not a number."""
    return {key: round(value, digits) for key, value in numbers.items() if math.isfinite(value)}
