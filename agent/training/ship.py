"""Weights as a file others can load: safetensors with a model card beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from agent.models.card import ModelCard, card_path, card_text
from agent.storage.whole_file import whole_file
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
    """Write weights and card, both whole or not at all; the card with its hash.

    ``TrainingError`` where the disk refuses.
    """
    data = pack(state)
    sha256 = hashlib.sha256(data).hexdigest()
    update: dict[str, object] = {"sha256": sha256}
    if card.plausibility is not None and card.plausibility.weights_sha256 != sha256:
        update["plausibility"] = None  # it belongs to other weights
    signed = card.model_copy(update=update)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(card_path(path)) as beside, whole_file(path) as weights:
            weights.write(data)
            beside.write(card_text(signed).encode())
    except OSError as error:
        raise TrainingError(f"{path}: the weights could not be written: {error}") from error
    return signed


def update_card(card: ModelCard, path: Path) -> None:
    """Replace the card beside unchanged weights."""
    target = card_path(path)
    try:
        with whole_file(target) as file:
            file.write(card_text(card).encode())
    except OSError as error:
        raise TrainingError(f"{target}: the card could not be written: {error}") from error


def rounded(numbers: Mapping[str, float], digits: int = 4) -> dict[str, float]:
    """For a card: rounded, and without what is not a number."""
    return {key: round(value, digits) for key, value in numbers.items() if math.isfinite(value)}
