from __future__ import annotations

import pytest

from agent import config
from agent.ablation.pool.placement import SlotError, plan_slots


def names(*, gpus: int = 0, visible: str | None = None, **settings: object) -> list[str]:
    slots = plan_slots(config.Workers(**settings), lambda: gpus, visible)  # type: ignore[arg-type]
    return [f"{s.name} {s.device} {s.env['CUDA_VISIBLE_DEVICES']}".strip() for s in slots]


def test_a_machine_without_a_gpu_has_one_worker_on_the_cpu_that_sees_none() -> None:
    assert names() == ["cpu-0 cpu"]


def test_a_machine_with_gpus_has_one_worker_for_each_and_it_sees_only_its_own() -> None:
    assert names(gpus=2) == ["cuda0-0 cuda:0 0", "cuda1-0 cuda:0 1"]


def test_several_workers_are_dealt_out_over_the_devices() -> None:
    assert names(count=3, gpus=2) == [
        "cuda0-0 cuda:0 0",
        "cuda1-0 cuda:0 1",
        "cuda0-1 cuda:0 0",
    ]
    assert names(count=2) == ["cpu-0 cpu", "cpu-1 cpu"]


def test_devices_count_in_what_the_agent_itself_may_see() -> None:
    assert names(gpus=2, visible="3,GPU-5a") == ["cuda0-0 cuda:0 3", "cuda1-0 cuda:0 GPU-5a"]


def test_a_device_that_is_not_there_is_named_with_its_key() -> None:
    with pytest.raises(SlotError, match=r"workers\.devices: cuda:3: this machine offers 1 GPUs"):
        names(devices=("cuda:3",), gpus=1)


def test_no_workers_are_no_slots_and_nobody_asks_for_gpus() -> None:
    def never() -> int:
        raise AssertionError

    assert plan_slots(config.Workers(count=0), never, None) == ()
    assert len(plan_slots(config.Workers(devices=("cpu",)), never, None)) == 1


def test_threads_are_bounded_in_every_library() -> None:
    (slot,) = plan_slots(config.Workers(threads=3, devices=("cpu",)), lambda: 0, None)
    assert slot.env["OMP_NUM_THREADS"] == slot.env["MKL_NUM_THREADS"] == "3"
