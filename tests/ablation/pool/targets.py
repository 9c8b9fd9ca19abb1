"""Workers that misbehave on order: what a job does is the first pixel of its picture."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.errors import AblationError, NullControlError
from agent.ablation.pool.messages import Order, StartFailed, WorkerArgs
from agent.ablation.pool.worker import Answer, Phase, serve
from agent.models.errors import ModelError
from agent.records import Explanation
from agent.supervision.channel import Channel

QUICK, SLOW, HANG, STOP, EXIT, NO_MEMORY, CPU_MEMORY, DEVICE = range(8)
REFUSED, NULL_CONTROL, DEFECT, LEAK, HOLD_GIL, SEGFAULT, WRONG_JOB = range(8, 15)

SLOW_S = 0.3
LEAK_BYTES = 64 * 1024 * 1024
_leaked: list[NDArray[np.uint8]] = []


def explanation(order: Order, **what: object) -> Explanation:
    fields: dict[str, object] = {
        "job_id": order.job_id,
        "lane": order.lane,
        "frame_id": order.frame_id,
        "captured_utc_ms": order.captured_utc_ms,
        "captured_mono": order.captured_mono,
        "sampling_class": order.sampling_class,
        "rung": order.rung,
        "method": "fake",
        "layer": "",
        "score": "margin",
        "baseline": "zero",
        "model_name": "fake",
        "model_sha256": "",
        "classes": (),
        "overlays": (),
        "left_out": (),
        "seconds": 0.0,
        "seconds_by_method": {},
        "region_threshold": 0.5,
        "region_source": "predicted",
    }
    return Explanation(**{**fields, **what})  # type: ignore[arg-type]


def answer(
    order: Order, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
) -> Explanation:
    what = int(image.flat[0])
    if what == SLOW:
        time.sleep(SLOW_S)
    elif what == HANG:
        threading.Event().wait()
    elif what == STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif what == EXIT:
        os._exit(7)
    elif what == SEGFAULT:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == NO_MEMORY:
        raise MemoryError("no room for the activations")
    elif what == CPU_MEMORY:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 TB")
    elif what == DEVICE:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    elif what == REFUSED:
        raise AblationError("no such class")
    elif what == NULL_CONTROL:
        raise NullControlError("logits", 1.0, 1e-5)
    elif what == DEFECT:
        raise KeyError("a defect")
    elif what == LEAK:
        _leaked.append(np.ones(LEAK_BYTES, np.uint8))
    elif what == HOLD_GIL:
        # A second lock of one mutex, called as native code that keeps the interpreter lock: no
        # signal ends it, and no handler runs meanwhile.
        libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(256)
        libc.pthread_mutex_lock(mutex)
        libc.pthread_mutex_lock(mutex)
    elif what == WRONG_JOB:
        return explanation(order, job_id="another")
    inside = 0 if aperture is None else int(aperture.sum())
    return explanation(order, method=f"{image.shape} {int(image.sum())} {inside} {os.getpid()}")


def main(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    serve(channel, args, fds, prepare)


def prepare(args: WorkerArgs, phase: Phase) -> tuple[Answer, str]:
    return answer, f"{args.spec.device} {os.environ['CUDA_VISIBLE_DEVICES']!r} {args.threads}"


def never_ready(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    channel.receive(600)


def dies_at_start(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    os._exit(3)


def cannot_load(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    def fail(args: WorkerArgs, phase: Phase) -> tuple[Answer, str]:
        raise ModelError("weights.pt: no such file")

    serve(channel, args, fds, fail)


def fails_until_mended(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    """Cannot load its model until the file named in the layer setting is there."""
    mended = Path(str(args.spec.model.layer))
    if mended.exists():
        serve(channel, args, fds, prepare)
    else:
        channel.send(StartFailed("ModelError", "broken weights", permanent=True))


def names_its_model(channel: Channel, args: WorkerArgs, fds: Mapping[str, int]) -> None:
    """Explains as the model that its layer setting names; cannot load one called ``broken``."""

    def named(
        order: Order, image: NDArray[np.uint8], aperture: NDArray[np.bool_] | None
    ) -> Explanation:
        if int(image.flat[0]) == SLOW:
            time.sleep(SLOW_S)
        return explanation(order, model_sha256=str(args.spec.model.layer))

    def load(args: WorkerArgs, phase: Phase) -> tuple[Answer, str]:
        if args.spec.model.layer == "broken":
            raise ModelError("weights.pt: broken")
        return named, ""

    serve(channel, args, fds, load)
