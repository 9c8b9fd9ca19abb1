"""The model card: what a file of weights cannot say about itself, as JSON beside it."""

from __future__ import annotations

import base64
import binascii
import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

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


class FruitGroup(BaseModel):
    """How the pooled maps of one kind of pictures of fruit vary (``agent.models.plausibility``).

    Per pooled number its ``centre`` and ``scale``; of the standardised numbers ``axes``, the
    leading eigenvectors of their covariance, their ``variances``, and ``rest``, the variance along
    every other direction. Arrays are little-endian and in base64: ``centre`` and ``scale`` (width,)
    float32, ``axes`` (len(variances), width) float16. ``free_run``: pictures
    of fruit that only a free-running camera takes. ``limit``: the distance at which the
    plausibility is 0.5.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    free_run: bool = False
    fruit: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    centre: str
    scale: str
    variances: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    axes: str
    rest: Annotated[float, Field(gt=0)]
    limit: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _holds_its_arrays(self) -> FruitGroup:
        if not (self.scale_array() > 0.0).all():
            raise ValueError("scale: must be above 0")
        for name, array in (("centre", self.centre_array()), ("axes", self.axes_array())):
            if not np.isfinite(array).all():
                raise ValueError(f"{name}: holds what is no number")
        return self

    def centre_array(self) -> NDArray[np.float64]:
        """(width,)"""
        return _unpacked("centre", self.centre, "<f4", (self.width,))

    def scale_array(self) -> NDArray[np.float64]:
        """(width,)"""
        return _unpacked("scale", self.scale, "<f4", (self.width,))

    def axes_array(self) -> NDArray[np.float64]:
        """(len(variances), width)"""
        return _unpacked("axes", self.axes, "<f2", (len(self.variances), self.width))


class FruitStatistics(BaseModel):
    """What the plausibility of a picture is told by: the pooled maps of ``layers``, over the
    ``groups`` of pictures that fruit come in. ``weights_sha256``: of the weights that made them.
    ``preprocessing``: how the pictures were prepared; None: as the card says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    preprocessing: Preprocessing | None = None
    layers: Annotated[tuple[str, ...], Field(min_length=1)]
    groups: Annotated[tuple[FruitGroup, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _of_one_width(self) -> FruitStatistics:
        if len({group.width for group in self.groups}) > 1:
            raise ValueError("groups: of different widths")
        return self


def packed(array: NDArray[np.floating], kind: str) -> str:
    """An array as the card holds it; ``kind`` is numpy's, ``<f4`` or ``<f2``."""
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _unpacked(name: str, text: str, kind: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name}: not base64: {error}") from error
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    if len(data) != wanted:
        raise ValueError(f"{name}: {len(data)} bytes instead of {wanted}")
    return np.frombuffer(data, kind).reshape(shape).astype(np.float64)


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
    plausibility: FruitStatistics | None = None
    """None: the model reads without telling how plausible a picture is."""
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
