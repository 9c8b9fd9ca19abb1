"""The process that tries a staged model: loads it, audits it, and looks at what the live one sees.

A process of its own, of the lowest priority, that stands still while the live path handles a
picture: whatever a staged model does, to memory or to the interpreter, is not done to the agent.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agent.ablation.pool.shared_image import SharedImageReader
from agent.models.errors import ModelError, first_line
from agent.pipeline.model_swap.messages import (
    Audit,
    Audited,
    Finding,
    Loaded,
    Look,
    Refused,
    Seen,
    Taken,
    TrialArgs,
)
from agent.pipeline.model_swap.tally import Answer, Compared, dice_by_class
from agent.records import SUTURE, Frame, MachineInfo
from agent.supervision.channel import Channel
from agent.supervision.live_priority import PauseForLive

if TYPE_CHECKING:
    from agent.ablation.engine import Engine
    from agent.models.loaded import LoadedModel
    from agent.segmentation.segmenter import Segmenter

RECEIVE_S = 0.5
TIMED = 3
"""Passes over the audit's pictures, of which the quickest counts."""


def main(channel: Channel, args: TrialArgs, fds: Mapping[str, int]) -> None:
    """Target of ``agent.supervision``: answer one message after the other."""
    import cv2
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    cv2.setNumThreads(1)
    live = PauseForLive(fds["live"])
    try:
        with live.meanwhile():
            trial = Trial(args)
    except Exception as error:  # noqa: BLE001 - the top of its start: said, then the end
        channel.send(Refused(_words(error)))
        return
    reader = SharedImageReader(fds["image"])
    channel.send(trial.loaded)
    while not channel.stopping.is_set():
        message = channel.receive(RECEIVE_S)
        if not isinstance(message, Audit | Look):
            continue
        picture = reader.read(message.image)
        with live.meanwhile():
            answer = (
                trial.audit(message, *picture)
                if isinstance(message, Audit)
                else trial.look(message, *picture)
            )
        channel.send(answer)


class Trial:
    """One staged model. The constructor raises ``ModelError`` or ``AblationError`` for one that
    cannot be used."""

    def __init__(self, args: TrialArgs) -> None:
        from agent.ablation.engine import Engine
        from agent.models.fusing import fused
        from agent.models.loading import load_model
        from agent.segmentation.segmenter import Segmenter

        self._args = args
        self._model = model = load_model(args.own, args.device)
        if SUTURE not in model.classes:
            raise ModelError(f"{model.label}: no class {SUTURE!r}")
        self._engine: Engine = Engine(model, args.ablation, args.own.layer)
        self._fast = fused(model)
        self._segmenter: Segmenter = Segmenter(
            self._fast, args.segmentation, args.lanes, time.monotonic, args.plausible_from
        )
        self._frames: list[Frame] = []
        self.loaded = Loaded(
            name=model.name,
            sha256=model.sha256,
            classes=model.classes,
            layer=model.layer or "",
            width_px=model.preprocessing.width_px,
            height_px=model.preprocessing.height_px,
        )

    def audit(
        self, wanted: Audit, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> Taken | Audited | Refused:
        """Keep one fruit; with the last of them, judge."""
        self._frames.append(_frame(wanted.lane, None, image, aperture))
        left = self._args.fruit - len(self._frames)
        if left > 0:
            return Taken(left)
        frames, self._frames = self._frames, []
        try:
            return self._judge(frames)
        except Exception as error:  # noqa: BLE001 - a model that cannot be audited is refused
            return Refused(f"the audit failed: {_words(error)}")

    def _judge(self, frames: list[Frame]) -> Audited:
        from agent.commissioning.audit import audit
        from agent.models.fusing import fused
        from agent.models.loading import load_model

        found = audit(self._engine, frames)
        live = fused(load_model(self._args.live, self._args.device))
        return Audited(
            findings=tuple(
                Finding(one.name, one.value, one.limit, one.passed, one.text)
                for one in found.findings
            ),
            own_ms=_cost_ms(self._fast, frames),
            live_ms=_cost_ms(live, frames),
        )

    def look(
        self, wanted: Look, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> Seen:
        """Compare with what the live model made of the same picture."""
        started = time.monotonic()
        try:
            compared = self._compare(wanted, image, aperture)
        except Exception as error:  # noqa: BLE001 - it costs this picture, and is counted
            return Seen(None, time.monotonic() - started, _words(error))
        return Seen(compared, time.monotonic() - started)

    def _compare(
        self, wanted: Look, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> Compared:
        frame = _frame(wanted.lane, wanted.variety, image, aperture)
        (seen,) = self._segmenter.segment([frame])
        live_mask = np.frombuffer(wanted.mask, np.uint8).reshape(wanted.size)
        sensitivity = reliance = math.nan
        if wanted.explain:
            sensitivity, reliance = self._explained(image, aperture)
        return Compared(
            live=wanted.live,
            own=Answer(seen.reading.read, seen.reading.angle_deg),
            dice=dice_by_class(live_mask, seen.mask, seen.classes),
            seconds=seen.seconds,
            sensitivity=sensitivity,
            reliance=reliance,
        )

    def _explained(
        self, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> tuple[float, float]:
        from agent.ablation.core.errors import AblationError

        try:
            found = self._engine.explain(image, aperture)
        except AblationError:
            return math.nan, math.nan  # no suture in this picture: nothing to explain
        suture = next((one for one in found.classes if one.class_name == SUTURE), None)
        if suture is None or not suture.explainable:
            return math.nan, math.nan
        return suture.input_sensitivity_foreground, suture.input_context_reliance


def _cost_ms(model: LoadedModel, frames: list[Frame]) -> float:
    """Processor time of one picture through the network, the quickest of some passes over all."""
    from agent.models.loaded import logits, preprocess

    inputs = [preprocess(model, frame.image, frame.aperture)[None] for frame in frames]
    found = []
    for _ in range(TIMED):
        started = time.process_time()
        for one in inputs:
            logits(model, one)
        found.append(time.process_time() - started)
    return 1000.0 * min(found) / len(inputs)


def _frame(
    lane: str,
    variety: str | None,
    image: NDArray[np.uint8],
    aperture: NDArray[np.bool_] | None,
) -> Frame:
    return Frame(lane, "trial", 0, 0, 0.0, image, aperture, MachineInfo(variety=variety))


def _words(error: Exception) -> str:
    line = first_line(error)
    from agent.ablation.core.errors import AblationError

    known = isinstance(error, ModelError | AblationError)
    return line if known and line else f"{type(error).__name__}: {line}"
