"""What a commissioning collects: records of fruit, explanations and empty cups; kept in a file.

The file is JSON lines, so that an interrupted run loses at most its last line and can go on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from agent.commissioning.errors import CommissioningError


@dataclass(frozen=True, slots=True)
class FruitSample:
    """``mono``: seconds on the line's own clock; ``values`` by signal; NaN where undefined."""

    lot: str
    mono: float
    values: Mapping[str, float]
    angle_deg: float | None


@dataclass(frozen=True, slots=True)
class ExplanationSample:
    """``deltas`` (K,) float64 channel effects of the suture, empty where it was not explainable;
    ``peaks``: per class the largest |map|, for the colour range."""

    lot: str
    mono: float
    values: Mapping[str, float]
    deltas: NDArray[np.float64]
    peaks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CupSample:
    """An empty cup, and its colour (``extract.chromaticity``); NaN in the dark."""

    lot: str
    mono: float
    chromaticity: float


Sample = FruitSample | ExplanationSample | CupSample


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
                self._write(dict(header))
        except OSError as error:
            raise CommissioningError(f"{path}: cannot be written: {error}") from error

    def add(self, sample: Sample) -> None:
        """Append one sample. ``CommissioningError`` where the disk refuses."""
        row: dict[str, object] = {"lot": sample.lot, "mono": sample.mono}
        match sample:
            case FruitSample():
                row |= {"values": _written(sample.values), "angle_deg": sample.angle_deg}
            case ExplanationSample():
                row |= {"values": _written(sample.values), "deltas": sample.deltas.tolist()}
                row["peaks"] = dict(sample.peaks)
            case CupSample():
                row["cup"] = _number(sample.chromaticity)
        try:
            self._write(row)
        except OSError as error:
            raise CommissioningError(f"{self._path}: cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file; what was added is in it."""
        self._file.close()

    def _write(self, row: Mapping[str, object]) -> None:
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()


def _written(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


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
            f"{path}: was collected from something else ({found}); remove it, or leave out --resume"
        )
    collected = Collected()
    for sample in _samples(path, lines[1:]):
        collected.add(sample)
    return collected


def _samples(path: Path, lines: list[str]) -> Iterable[Sample]:
    for number, line in enumerate(lines, 2):
        try:
            row = json.loads(line)
            lot, mono = str(row["lot"]), float(row["mono"])
            if "cup" in row:
                yield CupSample(lot, mono, _read(row["cup"]))
                continue
            values = {k: _read(v) for k, v in row["values"].items()}
            if "deltas" in row:
                deltas = np.array(row["deltas"], np.float64)
                yield ExplanationSample(lot, mono, values, deltas, row["peaks"])
            else:
                yield FruitSample(lot, mono, values, row["angle_deg"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines) + 1:
                return
            raise CommissioningError(f"{path}, line {number}: no sample: {error}") from error


def _read(value: float | None) -> float:
    return math.nan if value is None else float(value)
