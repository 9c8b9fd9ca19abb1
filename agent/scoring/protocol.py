"""The protocol of a scoring: faults, right causes, strengths, seeds, sizes and bars, from YAML.

``protocol.yaml`` beside this module is the one that results are quoted with; ``--protocol`` takes
another of the same form, for a smaller trial.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.alarms.catalogue import Cause
from agent.config.yaml import YamlError, read_yaml
from agent.nearest import unknown
from agent.scoring.errors import ScoringError
from agent.simulator.fault_pictures import PICTURE_FAULTS
from agent.simulator.faults import Delivery
from agent.simulator.varieties import ALL_VARIETIES
from agent.training.faulty import MODEL_FAULTS

PROTOCOL = Path(__file__).with_name("protocol.yaml")
SHORTCUT = "shortcut"
CONTROL = "control"
SEEDS_A_VARIETY = 100
SEEDS_A_FAULT = 10
FULL = 1.0

Share = Annotated[float, Field(gt=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, le=9999)]


class Kind(enum.StrEnum):
    """Where a fault is planted."""

    PICTURE = "picture"
    FRUIT = "fruit"
    MODEL = "model"
    CONTROL = "control"  # nothing is planted: what is found all the same is the method's own


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Fault(_Part):
    """``right``: causes that send people to what is broken. ``middle`` None: all or nothing."""

    kind: Kind
    right: tuple[Cause, ...] = ()
    middle: Share | None = None
    gross: bool = False


class Seeds(_Part):
    bank: Seed
    faults: Seed
    strengths: Seed
    replay: Annotated[int, Field(ge=0)]


class Bars(_Part):
    """``detected`` and ``right_cause`` as shares of runs; delays are medians."""

    detected: Share
    delay_min: Positive
    gross_delay_min: Positive
    right_cause: Share
    false_per_30_days: Positive


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault at one strength. ``label``: how the strength is called."""

    name: str
    fault: Fault
    strength: float
    label: str

    @property
    def key(self) -> str:
        return f"{self.name}-{self.label}"


class Protocol(_Part):
    """Everything that is settled before a scoring; see the comments of ``protocol.yaml``."""

    version: Literal[1]
    rate_per_min: Annotated[float, Field(ge=1, le=6000)]
    window_s: Annotated[float, Field(ge=10, le=3600)]
    period_s: Positive
    explanation_s: Positive
    lots: Annotated[int, Field(ge=1, le=SEEDS_A_VARIETY)]
    lot_min: Positive
    baseline_lots: Annotated[int, Field(ge=1)]
    fault_lots: Annotated[int, Field(ge=1, le=SEEDS_A_FAULT)]
    fault_min: Annotated[int, Field(ge=1)]
    runs: Annotated[int, Field(ge=1, le=10_000)]
    onset_min: Positive
    patience_min: Positive
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    days: Positive
    hours_a_day: Annotated[float, Field(gt=0, le=24)]
    populations: Annotated[int, Field(ge=1)]
    variety_lots: Annotated[int, Field(ge=1)]
    change_over_s: Positive
    shifts: Annotated[int, Field(ge=0)]
    bars: Bars
    seeds: Seeds
    right: dict[str, tuple[Cause, ...]]
    strengths_model_sha256: str
    faults: dict[str, Fault]

    @model_validator(mode="after")
    def _can_be_planted(self) -> Protocol:
        known = {
            Kind.PICTURE: set(PICTURE_FAULTS),
            Kind.FRUIT: {Delivery.UNKNOWN_VARIETY.value},
            Kind.MODEL: {*MODEL_FAULTS, SHORTCUT},
            Kind.CONTROL: {CONTROL},
        }
        for name, fault in self.faults.items():
            if name not in known[fault.kind]:
                raise ValueError(f"faults.{name}: no fault of kind {fault.kind}")
        if self.baseline_lots >= self.lots:
            raise ValueError("baseline_lots: the softmax tests leave no lot to judge by")
        return self

    @property
    def lot_cups(self) -> int:
        """Cups that pass in one lot of the bank."""
        return round(self.rate_per_min * self.lot_min)

    @property
    def explained_share(self) -> float:
        """The share of fruit that are explained: the sampling rate that delays are quoted at."""
        return min(1.0, 60.0 / self.period_s / self.rate_per_min)

    @property
    def fault_cups(self) -> int:
        """Cups of one recording of a fault."""
        return round(self.rate_per_min * self.fault_min)

    def bank_seed(self, variety: str, lot: int) -> int:
        """The simulator's seed of one lot of the bank; ``ScoringError`` for no variety of ours."""
        if variety not in ALL_VARIETIES:
            raise ScoringError(f"unknown variety {variety!r}; there are {', '.join(ALL_VARIETIES)}")
        return self.seeds.bank + SEEDS_A_VARIETY * list(ALL_VARIETIES).index(variety) + lot

    def fault_seed(self, name: str, lot: int) -> int:
        """The simulator's seed of one recording of a fault: the same at every strength."""
        return self.seeds.faults + SEEDS_A_FAULT * list(self.faults).index(name) + lot

    def trials(self, names: tuple[str, ...] = ()) -> list[Trial]:
        """Every fault (or those named) at every strength; ``ScoringError`` for an unknown one."""
        for name in names:
            if name not in self.faults:
                raise ScoringError(unknown("fault", name, self.faults))
        chosen = dict.fromkeys(names) or self.faults
        return [trial for name in chosen for trial in self._strengths_of(name)]

    def _strengths_of(self, name: str) -> Iterator[Trial]:
        fault = self.faults[name]
        if fault.middle is None:
            yield Trial(name, fault, FULL, "full")
            return
        seen: set[float] = set()
        for factor in self.strengths:
            strength = min(FULL, factor * fault.middle)
            if strength not in seen:
                seen.add(strength)
                yield Trial(name, fault, strength, "middle" if factor == 1 else f"{factor:g}x")


def load_protocol(path: Path = PROTOCOL) -> Protocol:
    """Read and check a protocol; ``ScoringError`` names the file and every reason."""
    try:
        return Protocol.model_validate(read_yaml(path.read_bytes()).data)
    except (OSError, YamlError) as error:
        raise ScoringError(f"{path}: cannot be read as a protocol: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()[:5]
        )
        raise ScoringError(f"{path}: {problems}") from error
