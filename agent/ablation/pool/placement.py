"""Which workers a pool has, and which device each of them sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent import config

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SlotError(Exception):
    """Workers that this machine cannot have; the message names the configuration key."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one worker runs: ``name`` for logs and metrics, ``device`` as the worker calls it."""

    name: str
    device: str
    env: Mapping[str, str]


def plan_slots(
    settings: config.Workers, gpu_count: Callable[[], int], visible: str | None
) -> tuple[Placement, ...]:
    """One placement per worker, for a slot of the pool each.

    Without ``devices``: one per GPU, or the CPU where there is none. ``count`` workers are dealt
    out over the devices in turn. ``visible`` is the parent's CUDA_VISIBLE_DEVICES: ``cuda:N``
    counts in it. A worker sees its own GPU only and calls it ``cuda:0``: what is not visible when
    CUDA starts cannot be touched, and no context is made on a neighbour's card.
    """
    if settings.count == 0:
        return ()
    devices = settings.devices
    if devices is None:
        devices = tuple(f"cuda:{i}" for i in range(gpu_count())) or ("cpu",)
    _check(devices, gpu_count)
    count = len(devices) if settings.count is None else settings.count
    chosen = [devices[i % len(devices)] for i in range(count)]
    return tuple(
        Placement(
            name=f"{device.replace(':', '')}-{chosen[:i].count(device)}",
            device="cpu" if device == "cpu" else "cuda:0",
            env=worker_environment(device, settings.threads, visible),
        )
        for i, device in enumerate(chosen)
    )


def _check(devices: tuple[str, ...], gpu_count: Callable[[], int]) -> None:
    wanted = [int(device.partition(":")[2]) for device in devices if device != "cpu"]
    if wanted and max(wanted) >= (there := gpu_count()):
        raise SlotError(
            f"ablation.workers.devices: cuda:{max(wanted)}: this machine offers {there} GPUs"
        )


def worker_environment(device: str, threads: int, visible: str | None) -> Mapping[str, str]:
    """The environment of a worker on ``device``, ``cuda:N`` counting in ``visible``."""
    env = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    if device == "cpu":
        return env | {"CUDA_VISIBLE_DEVICES": ""}
    index = device.partition(":")[2]
    if visible:
        index = visible.split(",")[int(index)].strip()
    return env | {"CUDA_VISIBLE_DEVICES": index}
