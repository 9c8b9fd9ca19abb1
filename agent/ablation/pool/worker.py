"""A worker: loads the model once, proves it, then explains one picture after another.

Runs in a child whose environment already names its GPU and its threads, so torch is imported late:
only ``main`` does it. ``serve`` is the loop itself, for any function that answers orders.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError, LateError, NullControlError, is_no_memory
from agent.ablation.pool.messages import (
    Beat,
    Done,
    Failed,
    Order,
    Ready,
    StartFailed,
    WorkerArgs,
)
from agent.ablation.pool.shared_image import SharedImageError, SharedImageReader
from agent.models.errors import ModelError
from agent.records import Explanation, Rung
from agent.supervision.channel import Channel
from agent.supervision.live_priority import PauseForLive

if TYPE_CHECKING:
    from agent.ablation.engine import Engine

RECEIVE_S = 0.5
START_PAUSED = 0.5
"""Largest share of its start that a worker gives to the live path: it has a time limit."""
CHECK_SIDE_PX = 128

Phase = Callable[[str], None]
Answer = Callable[[Order, NDArray[np.uint8], "NDArray[np.bool_] | None"], Explanation]
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


def main(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    """Target of ``agent.supervision``: explain pictures with the model of ``args.spec``."""
    serve(channel, args, fds, _explainer)


def serve(
    channel: Channel,
    args: WorkerArgs,
    fds: Mapping[str, int],
    prepare: Callable[[WorkerArgs, Phase], tuple[Answer, str]],
) -> None:
    """``prepare`` once, say Ready, then answer orders until told to stop or no longer fit to.

    ``prepare`` returns the function that answers and a line about what it loaded. Its
    ``ModelError`` or ``AblationError`` is final; anything else may pass and is tried again.
    """
    started = time.monotonic()
    pulse = _Pulse(channel, args.heartbeat_s)
    live = PauseForLive(fds["live"])
    try:
        with live.meanwhile(START_PAUSED):
            answer, detail = prepare(args, pulse.at)
    except Exception as error:  # noqa: BLE001 - the top of the worker's start: said, then the end
        permanent = isinstance(error, ModelError | AblationError)
        channel.send(StartFailed(type(error).__name__, _line(error), permanent))
        return
    reader = SharedImageReader(fds["image"])
    channel.send(Ready(time.monotonic() - started, rss_bytes(), detail))
    while not channel.stopping.is_set():
        pulse.at("")
        order = channel.receive(RECEIVE_S)
        if not isinstance(order, Order):
            continue
        pulse.at("job")
        with live.meanwhile():
            reply = _reply(order, reader, answer)
        channel.send(reply)
        if isinstance(reply, Failed) and reply.fatal:
            return


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


class _Pulse:
    """Sends a sign of life and the phase of the job, from a thread of its own."""

    def __init__(self, channel: Channel, every_s: float) -> None:
        self._channel = channel
        self._every_s = every_s
        self._phase = "start"
        threading.Thread(target=self._run, name="pulse", daemon=True).start()

    def at(self, phase: str) -> None:
        self._phase = phase

    def _run(self) -> None:
        while True:
            self._channel.send(Beat(rss_bytes(), self._phase))
            time.sleep(self._every_s)


def _reply(order: Order, reader: SharedImageReader, answer: Answer) -> Done | Failed:
    try:
        image, aperture = reader.read(order.image)
        explanation = answer(order, image, aperture)
    except Exception as error:  # noqa: BLE001 - the top of a job: whatever it is, it costs this one
        reason, fatal = _judge(error)
        return Failed(order.job_id, reason, _line(error), rss_bytes(), fatal)
    return Done(explanation, rss_bytes())


def _judge(error: Exception) -> tuple[str, bool]:
    """The failure's reason, and whether the process can be trusted after it.

    After a shortage of memory the allocator's caches are full, after an error of the device its
    context is unusable: both need a new process.
    """
    if is_no_memory(error):
        return "out_of_memory", True
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error):
        return "device_error", True
    if isinstance(error, NullControlError):
        return "null_control", False
    if isinstance(error, LateError):
        return "deadline", False
    if isinstance(error, SharedImageError):
        return "picture", False
    return "error", False


def _line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [""])[0][:300]
    known = isinstance(error, ModelError | AblationError | SharedImageError)
    return first if known else f"{type(error).__name__}: {first}"


def _explainer(args: WorkerArgs, phase: Phase) -> tuple[Answer, str]:
    """Load the model, build the engine, and explain a made-up picture: what passes is ready."""
    phase("import")
    import cv2
    import torch

    from agent.ablation.engine import Engine
    from agent.ablation.pool.explainer import Explainer
    from agent.models.loading import load_model

    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    cv2.setNumThreads(args.threads)
    spec = args.spec
    phase("load")
    model = load_model(spec.model, spec.device)
    engine = Engine(model, spec.ablation, spec.model.layer)
    phase("check")
    _prove(engine)
    explainer = Explainer(engine, spec.ablation, phase, time.monotonic, spec.overlay_ranges)
    return explainer.answer, f"{model.name} at {engine.layer} on {model.device} ({engine.path})"


def _prove(engine: Engine) -> None:
    """One whole explanation of a random picture, null control and spot check included."""
    rng = np.random.default_rng(0)
    side = CHECK_SIDE_PX
    image = rng.integers(0, 256, (side, side, 3), np.uint8)
    stripes = np.arange(side) * len(engine.model.classes) // side
    region = np.repeat(stripes[:, None], side, axis=1).astype(np.uint8)
    engine.explain(image, rung=Rung.COARSE, deadline_s=0.0, region=region)
