"""The reference of one variety: what is usual on this line, and the limits of the charts.

One JSON file per variety, written by ``pitwatch calibrate``. It is bound to what it was made with -
the weights' hash, layer, score, input size and variety - and serves nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.alarms.charts.charts import Limits
from agent.alarms.charts.scores import NormalScores, rarer
from agent.alarms.signals.signals import BY_NAME
from agent.storage.whole_file import whole_file

VERSION = 1
LIMIT_BYTES = 4_000_000
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class ReferenceFileError(ValueError):
    """A reference file that cannot be used, with its path and the reason."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a reference belongs to, and what is running: equal, or the reference does not serve."""

    model_sha256: str
    layer: str
    score: str
    width_px: int
    height_px: int


class SideLimits(_Part):
    """One-sided limits on scores; ``sign`` 1: high is bad, -1: low is."""

    sign: Literal[1, -1]
    ewma: Positive
    cusum: Positive
    shewhart: Positive

    def limits(self) -> Limits:
        return Limits(self.ewma, self.cusum, self.shewhart)


class SignalReference(_Part):
    """One charted signal: the map to normal scores, the lots' share, limits, and what is usual.

    ``values`` and slopes are on the signal's transformed scale; ``usual`` holds the 1 % and 99 %
    quantiles of its window means on its own. ``count`` is the median number of values in a window.
    """

    name: str
    count: Annotated[int, Field(ge=1)]
    windows: Count
    values: tuple[float, ...]
    scores: tuple[float, ...]
    low_slope: Positive
    high_slope: Positive
    icc: Annotated[float, Field(ge=0, le=1)]
    icc_upper: Annotated[float, Field(ge=0, le=1)]
    rho: Annotated[float, Field(ge=0, lt=1)]
    usual: tuple[float, float]
    sides: Annotated[tuple[SideLimits, ...], Field(min_length=1, max_length=2)]

    @model_validator(mode="after")
    def _can_be_charted(self) -> SignalReference:
        if self.name not in BY_NAME:
            raise ValueError(f"{self.name!r} is no signal of this version")
        _ = self.normal_scores
        return self

    @cached_property
    def normal_scores(self) -> NormalScores:
        return NormalScores(self.values, self.scores, self.low_slope, self.high_slope)

    def score(self, mean: float, count: int) -> float:
        """The normal score of a mean over so many values; nearer to 0 for fewer than usual."""
        return self.normal_scores.score(mean) * rarer(count, self.count)


class CupReference(_Part):
    """Colour of the empty cups (``extract.chromaticity``), which no fruit changes: median of
    ``count`` single cups, and their spread (1.4826 times the median absolute deviation)."""

    count: Annotated[int, Field(ge=1)]
    median: float
    spread: Positive


class SenseCheck(_Part):
    """One fruit of ``lane`` was turned by hand by about ``by_deg``, counter-clockwise for who
    looks at the side that the camera sees, and its reading by ``turned_deg``. ``mirrored``: the
    other way."""

    lane: str
    by_deg: float
    turned_deg: float
    mirrored: bool


class Finding(_Part):
    """One line of the commissioning audit."""

    name: str
    value: float
    limit: float
    passed: bool
    text: str


class Reference(_Part):
    """Everything that ``pitwatch calibrate`` found of one variety on one line."""

    kind: Literal["pitwatch-reference"] = "pitwatch-reference"
    version: Literal[1] = 1
    variety: Annotated[str, Field(min_length=1, max_length=80)]
    model_name: str
    model_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    layer: str
    score: str
    width_px: Annotated[int, Field(ge=1)]
    height_px: Annotated[int, Field(ge=1)]
    made_utc: str
    source: str
    lots: Count
    lot_points: Annotated[int, Field(ge=1)]
    fruit: Count
    explanations: Count
    window_s: Positive
    budget_days: Positive
    budget_margin: Positive
    budget_lanes: Annotated[int, Field(ge=1)]
    hours_a_day: Positive
    run_length: Positive
    """Points between two false alarms of one chart."""
    conditional_days: tuple[Positive, Positive, Positive] | None = None
    """Production days between two false alarms of all charts: 5 %, 50 % and 95 % quantiles over
    samples like this one."""
    claim: str
    profile: tuple[float, ...]
    """Mean channel effects of the suture, each explanation's scaled to length 1."""
    overlay_range: dict[str, Positive]
    cups: CupReference | None = None
    """None: too few empty cups passed."""
    sense: SenseCheck | None = None
    """Whether angles turn the way fruit do; None: not checked."""
    min_plausibility: Annotated[float, Field(ge=0, le=1)] | None = None
    """What is less plausible than this is none of the line's own fruit and is not read. None: not
    known, or no more than ``segmentation.min_plausibility`` asks for."""
    signals: tuple[SignalReference, ...]
    left_out: dict[str, str]
    audit: tuple[Finding, ...]

    def profile_array(self) -> NDArray[np.float64]:
        return np.array(self.profile, np.float64)


def differences(made: Reference, running: Bound) -> list[str]:
    """In words, what a reference was made with that is not what runs; none: it serves."""
    out = []
    if made.model_sha256 != running.model_sha256:
        out.append(f"model {made.model_sha256[:12]}, not {running.model_sha256[:12]}")
    if made.layer != running.layer:
        out.append(f"layer {made.layer}, not {running.layer}")
    if made.score != running.score:
        out.append(f"score {made.score}, not {running.score}")
    sizes = (made.width_px, made.height_px), (running.width_px, running.height_px)
    if sizes[0] != sizes[1]:
        out.append("an input of {} x {} px, not {} x {}".format(*sizes[0], *sizes[1]))
    return out


def load_reference(
    path: Path, variety: str | None = None, running: Bound | None = None
) -> Reference:
    """Read and check a reference; ``ReferenceFileError`` names the file and every reason.

    ``variety`` and ``running``: what it is wanted for; None: not checked.
    """
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ReferenceFileError(f"{path}: a reference of more than {LIMIT_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceFileError(f"{path}: cannot be read as a reference: {error}") from error
    try:
        reference = Reference.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'file'}: {item['msg']}"
            for item in error.errors()[:5]
        )
        raise ReferenceFileError(f"{path}: not a reference of this version: {problems}") from error
    wrong = differences(reference, running) if running is not None else []
    if variety is not None and reference.variety != variety:
        wrong.insert(0, f"variety {reference.variety}, not {variety}")
    if wrong:
        raise ReferenceFileError(
            f"{path}: was made for {'; for '.join(wrong)}: run pitwatch calibrate for this one"
        )
    return reference


def save_reference(reference: Reference, path: Path) -> None:
    """Write the file whole or not at all. ``ReferenceFileError`` where the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            file.write((reference.model_dump_json(indent=1) + "\n").encode())
    except OSError as error:
        raise ReferenceFileError(f"{path}: the reference could not be written: {error}") from error
