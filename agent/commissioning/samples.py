"""What a commissioning collects: records of fruit, explanations and empty cups; kept in a file.

The file is JSON lines, so that an interrupted run loses at most its last line and can go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

from agent.commissioning.errors import CommissioningError

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""JSON has no NaN: it is written as null."""
Floats = Annotated[
    NDArray[np.float64],
    PlainValidator(TypeAdapter(list[Number]).validate_python),
    AfterValidator(lambda values: np.array(values, np.float64)),
    PlainSerializer(np.ndarray.tolist),
]


@dataclass(frozen=True, slots=True)
class FruitSample:
    """``mono``: seconds on the line's own clock; ``values`` by signal; NaN where undefined."""

    lot: str
    mono: float
    values: Mapping[str, Number]
    angle_deg: float | None


@dataclass(frozen=True, slots=True)
class ExplanationSample:
    """``deltas`` (K,) float64 channel effects of the suture, empty where it was not explainable;
    ``peaks``: per class the largest |map|, for the colour range."""

    lot: str
    mono: float
    values: Mapping[str, Number]
    deltas: Floats
    peaks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CupSample:
    """An empty cup, and its colour (``extract.chromaticity``); NaN in the dark."""

    lot: str
    mono: float
    chromaticity: Annotated[Number, Field(alias="cup")]


Sample = FruitSample | ExplanationSample | CupSample
_SAMPLE: TypeAdapter[Sample] = TypeAdapter(Sample)


@dataclass(slots=True)
class Collected:
    """All samples so far, lots in the order in which they came."""

    fruit: list[FruitSample] = field(default_factory=list)
    explanations: list[ExplanationSample] = field(default_factory=list)
    cups: list[CupSample] = field(default_factory=list)
    _lots: dict[str, None] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Take one."""
        match sample:
            case FruitSample():
                self.fruit.append(sample)
                self._lots[sample.lot] = None
            case ExplanationSample():
                self.explanations.append(sample)
            case CupSample():
                self.cups.append(sample)

    @property
    def lots(self) -> list[str]:
        return list(self._lots)

    @property
    def end_mono(self) -> float:
        """The line's clock at the newest sample; 0 without one."""
        newest: list[Sample] = [*self.fruit[-1:], *self.explanations[-1:], *self.cups[-1:]]
        return max((one.mono for one in newest), default=0.0)


class SampleFile:
    """Appends samples to a file; ``read_samples`` gives them back."""

    def __init__(self, path: Path, header: Mapping[str, object], resume: bool) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("a" if resume else "w", encoding="utf-8")
            if self._file.tell() == 0:
                self._write(json.dumps(dict(header)))
        except OSError as error:
            raise CommissioningError(f"{path}: cannot be written: {error}") from error

    def add(self, sample: Sample) -> None:
        """Append one sample. ``CommissioningError`` where the disk refuses."""
        try:
            self._write(_SAMPLE.dump_json(sample, by_alias=True).decode())
        except OSError as error:
            raise CommissioningError(f"{self._path}: cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file; what was added is in it."""
        self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(line + "\n")
        self._file.flush()


def samples_in(path: Path) -> int:
    """How many samples a file holds; 0 without one. ``CommissioningError`` where it cannot be
    read."""
    try:
        with path.open("rb") as file:
            return max(0, sum(1 for _ in file) - 1)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise CommissioningError(f"{path}: cannot be read: {error.strerror}") from error


def read_samples(path: Path, header: Mapping[str, object]) -> Collected:
    """Samples of an interrupted run with the same header. A last line cut short is left out.

    ``CommissioningError`` for a file that is none, or that was made of something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = json.loads(lines[0]) if lines else None
    except (OSError, ValueError) as error:
        raise CommissioningError(f"{path}: cannot be gone on from: {error}") from error
    if found != dict(header):
        raise CommissioningError(
            f"{path}: was collected from something else ({found}); --discard throws it away"
        )
    collected = Collected()
    for sample in _samples(path, lines[1:]):
        collected.add(sample)
    return collected


def _samples(path: Path, lines: list[str]) -> Iterable[Sample]:
    for number, line in enumerate(lines, 2):
        try:
            yield _SAMPLE.validate_json(line)
        except ValidationError as error:
            if number == len(lines) + 1:
                return
            raise CommissioningError(f"{path}, line {number}: no sample: {line[:80]}") from error
