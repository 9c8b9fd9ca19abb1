"""Which of the pool's tests run over a Ray cluster as well.

A start there takes a second of processor time and more, so only tests that share one pool do so
always. With PITWATCH_ALL_OVER_RAY=1, which ``python -m tests.soak ray`` sets, all do.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.ablation.pool import targets as what

ALL = os.environ.get("PITWATCH_ALL_OVER_RAY") == "1"
ALWAYS = frozenset({
    "test_a_worker_that_fails_is_replaced_and_only_its_job_is_lost",
    "test_workers_killed_in_their_jobs_are_replaced",
    "test_an_ordinary_error_costs_the_job_and_not_the_worker",
    "test_a_picture_that_cannot_be_handed_over_costs_the_job_and_not_the_worker",
})  # fmt: skip
KINDS = frozenset({what.EXIT, what.HANG, what.DEFECT})
"""Of what a job may do wrong."""
RAY_ONLY = frozenset({
    "test_a_picture_larger_than_the_object_store_costs_the_job_and_not_the_worker",
})  # fmt: skip
LOCAL_ONLY = frozenset({
    "test_a_pool_that_was_never_started_can_be_stopped",
    "test_a_worker_whose_end_fails_is_replaced_and_ended_later",
    "test_kill_nine_of_the_parent_leaves_no_worker",
})  # fmt: skip
"""About processes of this computer."""


def kinds_of_pool(test: str) -> list[Any]:
    """The pools that a test runs over, as parameters."""
    marks = [pytest.mark.needs_ray, pytest.mark.long, pytest.mark.timeout(400)]
    ray = pytest.param("ray", marks=marks)
    if test in RAY_ONLY:
        return [ray]
    return ["local", ray] if test in ALWAYS or (ALL and test not in LOCAL_ONLY) else ["local"]


def left_out(item: pytest.Item) -> bool:
    """Whether a test is one over Ray that says what another of its kind says already."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return not ALL and params.get("over") == "ray" and params.get("kind", what.EXIT) not in KINDS
