"""The model card: what a file of weights cannot say about itself, as JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.config import Head, Name, Preprocessing
from agent.models.errors import ModelError

CARD_LIMIT_BYTES = 1_000_000


class ConfidenceCalibration(BaseModel):
    """Logistic regression of 'the angle is within 5 degrees' on the features of a reading.

    ``features`` names them in the order of ``coefficients``, so that coefficients fitted on other
    features are noticed instead of silently misread.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...]
    coefficients: tuple[float, ...]
    intercept: float


class ModelCard(BaseModel):
    """Everything declared about one model; a field left at None is for the configuration to say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    architecture: str = "unet"
    classes: tuple[Name, ...] | None = None
    head: Head | None = None
    output_key: str | None = None
    preprocessing: Preprocessing | None = None
    layer: str | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Of the weights file; a file that does not match is refused."""
    metrics: dict[str, float] = Field(default_factory=dict)
    confidence: ConfidenceCalibration | None = None
    overlay_range: dict[str, float] | None = None
    """Per class the fixed colour range of its maps, from a reference set."""
    channel_means: dict[str, tuple[float, ...]] | None = None
    """Per layer the mean of each of its channels over a reference set: the baseline ``mean``."""
    notes: str = ""


def card_path(weights: Path) -> Path:
    """``models/peach.safetensors`` -> ``models/peach.card.json``."""
    return weights.with_name(f"{weights.stem}.card.json")


def read_card(path: Path) -> ModelCard | None:
    """The card in ``path``, None when there is no such file; ``ModelError`` when it is no card."""
    try:
        if path.stat().st_size > CARD_LIMIT_BYTES:
            raise ModelError(f"{path}: a model card of more than {CARD_LIMIT_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as a model card: {error}") from error
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()[:5]
        )
        raise ModelError(f"{path}: not a model card: {problems}") from error


def card_text(card: ModelCard) -> str:
    """``card`` as indented JSON: what its file holds."""
    return card.model_dump_json(indent=2, exclude_none=True) + "\n"
