"""One lot through the real pipeline: what the stages said of every fruit, as compact arrays.

Every fruit is segmented and read; the sampler, in virtual time, chooses which are explained, and
the engine explains them. Pictures and masks are not kept. A recording is one ``.npz`` file.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError
from agent.ablation.engine import Engine
from agent.alarms.signals.extract import of_fruit, of_suture
from agent.alarms.signals.signals import SIGNALS, Per
from agent.commissioning.line import Passing
from agent.records import SUTURE, NoReadReason, SamplingClass, Selection
from agent.sampling.scheduler import Scheduler
from agent.sampling.values import Candidate
from agent.scoring.errors import ScoringError
from agent.scoring.planting import Line
from agent.scoring.protocol import Protocol, Trial
from agent.scoring.softmax import SoftmaxTap
from agent.storage.whole_file import whole_file

VERSION = 3
FRUIT_SIGNALS = tuple(signal.name for signal in SIGNALS if signal.per is Per.FRUIT)
PROFILE_SIGNALS = frozenset({"profile_cosine", "profile_ndcg"})
"""Made from the channels' effects, against whichever reference a replay has."""
EXPLANATION_SIGNALS = tuple(
    signal.name
    for signal in SIGNALS
    if signal.per is Per.EXPLANATION and signal.name not in PROFILE_SIGNALS
)
REASONS = tuple(NoReadReason)
CLASSES = tuple(SamplingClass)
EXPLAINED, NOT_EXPLAINABLE, FAILED = 0, 1, 2

Floats = NDArray[np.float32]
Told = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """n readings and m explanations of one lot, in time order; seconds from the lot's start.

    ``about``: what it was made with. ``mono`` (n,); ``reason`` (n,) indices into ``REASONS``;
    ``angle_deg`` (n,), NaN without a reading; ``values`` (n, F) of ``FRUIT_SIGNALS``; ``softmax``
    (n, S), of the network's own outputs. ``fruit`` (m,): which reading was explained, rising;
    ``done`` (m,): when that was known; ``sampled`` (m,) indices into ``CLASSES``; ``status`` (m,);
    ``explained`` (m, E) of ``EXPLANATION_SIGNALS``; ``deltas`` (m, K), zeros where there are none.
    """

    about: Mapping[str, Any]
    mono: NDArray[np.float64]
    reason: NDArray[np.uint8]
    angle_deg: Floats
    values: Floats
    softmax: Floats
    fruit: NDArray[np.int64]
    done: NDArray[np.float64]
    sampled: NDArray[np.uint8]
    status: NDArray[np.uint8]
    explained: Floats
    deltas: Floats

    @property
    def seconds(self) -> float:
        """How long the lot lasts."""
        return float(self.about["seconds"])


ARRAYS = tuple(each.name for each in fields(Recording) if each.name != "about")


@dataclass(slots=True)
class _Worker:
    """One worker in virtual time: busy for so long with each explanation."""

    seconds: float
    job: str = ""
    done_s: float = 0.0

    def free(self, scheduler: Scheduler, now: float) -> int:
        """Slots that are free at ``now``; ends the job whose time is over."""
        if self.job and now >= self.done_s:
            scheduler.finished(self.job, self.seconds, self.done_s)
            self.job = ""
        return 0 if self.job else 1

    def take(self, selection: Selection, now: float) -> float:
        """Begin with a job; when it will be done."""
        self.job, self.done_s = selection.job_id, now + self.seconds
        return self.done_s


@dataclass(slots=True)
class _Rows:
    fruit: list[tuple[float, int, float, list[float], Floats]] = field(default_factory=list)
    explained: list[tuple[int, float, int, int, list[float], Floats]] = field(default_factory=list)


class Recorder:
    """Records lots of one line, healthy or under a trial; one engine for each model."""

    def __init__(self, line: Line, protocol: Protocol) -> None:
        self._line, self._protocol = line, protocol
        # Half a period between two explanations: an unsure fruit takes no periodic one's turn.
        self._sampling = line.config.sampling.model_copy(
            update={"period_s": protocol.period_s, "cooldown_s": protocol.period_s / 2.0}
        )
        self._engine = Engine(line.model, line.config.ablation, line.config.model.layer)

    def about(self, variety: str, seed: int, cups: int, trial: Trial | None) -> dict[str, Any]:
        """What a recording of these is made with: equal, or it does not serve."""
        model, protocol = self._line.model, self._protocol
        return {
            "version": VERSION,
            "model_sha256": model.sha256,
            "layer": self._engine.layer,
            "score": self._line.config.ablation.score.value,
            "width_px": model.preprocessing.width_px,
            "height_px": model.preprocessing.height_px,
            "variety": variety,
            "seed": seed,
            "cups": cups,
            "seconds": cups * 60.0 / protocol.rate_per_min,
            "period_s": protocol.period_s,
            "explanation_s": protocol.explanation_s,
            "fault": trial.name if trial else "",
            "strength": round(trial.strength, 6) if trial else 0.0,
        }

    def record(
        self,
        variety: str,
        seed: int,
        cups: int,
        trial: Trial | None = None,
        told: Told = lambda _cups: None,
    ) -> Recording:
        """The first ``cups`` cups of this seed. ``told`` hears how many have passed."""
        tap = SoftmaxTap()
        engine = self._engine_of(trial)
        scheduler = Scheduler(self._sampling, workers=1, now=0.0)
        worker = _Worker(self._protocol.explanation_s)
        rows, index_of = _Rows(), dict[str, int]()
        for passed, one in enumerate(self._line.passing(variety, seed, trial, tap.prepare), 1):
            seen = one.reading.segmentation
            index_of[seen.frame_id] = len(rows.fruit)
            rows.fruit.append(_fruit_row(one, tap))
            now = seen.captured_mono
            free = worker.free(scheduler, now)
            scheduler.offer(Candidate(one.frame, seen), now)
            for selection in scheduler.decide(now, free).selected:
                done_s = worker.take(selection, now)
                index = index_of[selection.frame.frame_id]
                rows.explained.append(_explained_row(engine, selection, index, done_s))
            told(passed)
            if passed == cups:
                break
        return _arrays(rows, self.about(variety, seed, cups, trial), engine.channels)

    def _engine_of(self, trial: Trial | None) -> Engine:
        model = self._line.under(trial)
        if model is self._line.model:
            return self._engine
        return Engine(model, self._line.config.ablation, self._line.config.model.layer)


def _fruit_row(one: Passing, tap: SoftmaxTap) -> tuple[float, int, float, list[float], Floats]:
    seen = one.reading.segmentation
    values = of_fruit(one.reading)
    return (
        seen.captured_mono,
        REASONS.index(seen.reading.reason),
        seen.reading.angle_deg if seen.reading.read else np.nan,
        [values[name] for name in FRUIT_SIGNALS],
        tap.take(one.frame.aperture),
    )


def _explained_row(
    engine: Engine, selection: Selection, index: int, done_s: float
) -> tuple[int, float, int, int, list[float], Floats]:
    sampled = CLASSES.index(selection.sampling_class)
    nothing = [np.nan] * len(EXPLANATION_SIGNALS)
    none = np.zeros(engine.channels, np.float32)
    try:
        result = engine.explain(
            selection.frame.image, selection.frame.aperture, rung=selection.rung
        )
    except AblationError:
        return index, done_s, sampled, FAILED, nothing, none
    suture = next(each for each in result.classes if each.class_name == SUTURE)
    if not suture.explainable:
        return index, done_s, sampled, NOT_EXPLAINABLE, nothing, none
    values = of_suture(suture, None)
    row = [values[name] for name in EXPLANATION_SIGNALS]
    return index, done_s, sampled, EXPLAINED, row, suture.deltas.astype(np.float32)


def _arrays(rows: _Rows, about: Mapping[str, Any], channels: int) -> Recording:
    n, m = len(rows.fruit), len(rows.explained)
    explanations = sorted(rows.explained, key=lambda row: row[0])
    mono, reason, angle, values, softmax = zip(*rows.fruit, strict=True) if n else ((),) * 5
    columns = zip(*explanations, strict=True) if m else ((),) * 6
    index, done, sampled, status, explained, deltas = columns
    return Recording(
        about=about,
        mono=np.array(mono, np.float64),
        reason=np.array(reason, np.uint8),
        angle_deg=np.array(angle, np.float32),
        values=np.array(values, np.float32).reshape(n, len(FRUIT_SIGNALS)),
        softmax=np.array(softmax, np.float32).reshape(n, -1 if n else 0),
        fruit=np.array(index, np.int64),
        done=np.array(done, np.float64),
        sampled=np.array(sampled, np.uint8),
        status=np.array(status, np.uint8),
        explained=np.array(explained, np.float32).reshape(m, len(EXPLANATION_SIGNALS)),
        deltas=np.array(deltas, np.float32).reshape(m, channels),
    )


def save_recording(recording: Recording, path: Path) -> None:
    """Write the file whole or not at all; ``ScoringError`` where the disk refuses."""
    arrays: dict[str, Any] = {name: getattr(recording, name) for name in ARRAYS}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            np.savez_compressed(file, about=json.dumps(dict(recording.about)), **arrays)
    except OSError as error:
        raise ScoringError(f"{path}: cannot be written: {error}") from error


def load_recording(path: Path, about: Mapping[str, Any]) -> Recording:
    """Read a recording that was made with ``about``.

    ``ScoringError`` for a file that is none, or that was made with something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = json.loads(str(stored["about"]))
            arrays = {name: stored[name] for name in ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ScoringError(f"{path}: is no recording ({error}): remove it") from error
    other = [key for key in about if found.get(key) != about[key]]
    if other:
        words = ", ".join(f"{key} {found.get(key)}, not {about[key]}" for key in other)
        raise ScoringError(
            f"{path}: was made with another {words}: remove it, or name another folder"
        )
    return Recording(about=found, **arrays)
