"""Settings that every test shares: one torch thread, and what may run beside what."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from agent.storage.file.disk import Disk
from tests.support import long_tests
from tests.support.forked import CHILDREN, WHOLE_AGENT, forked_children, template

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Hundreds of processes of the agent are started; each would compile it anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("loaded", deadline=None)  # a busy machine is no defect of the code
settings.load_profile("loaded")


def pytest_sessionstart() -> None:
    """Nothing that collecting the tests makes is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Modules and tests, a million objects and more, are not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The command of the long tests imports no file that has none."""
    return long_tests.left_out(collection_path, config.option.markexpr) or None


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test belongs to one of the two commands."""
    long_tests.refuse_what_both_leave_out(item)


@pytest.fixture(autouse=True)
def every_file_is_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The thread of a file that a test leaves open would go on beside the tests that follow."""
    opened: list[Disk] = []
    start = Disk.start

    def remembered(disk: Disk, longest_s: float) -> None:
        opened.append(disk)
        start(disk, longest_s)

    monkeypatch.setattr(Disk, "start", remembered)
    yield
    for disk in opened:
        disk.close(30.0)


@pytest.fixture(scope="module")
def children_forked() -> Iterator[None]:
    """Children that a module's tests start need not import anew what they all import."""
    with forked_children(template(*CHILDREN)):
        yield


@pytest.fixture(scope="module")
def workers_forked() -> Iterator[None]:
    """The same of children that load networks."""
    with forked_children(template(*WHOLE_AGENT)):
        yield


RUN_A_WHOLE_AGENT = (
    "tests/integration/",
    "tests/pipeline/test_watchdog_loops.py",
    "tests/deploy/test_containers.py",
    "tests/deploy/test_grafana.py",
)


GROUP = "whole agent"
LONGEST_FIRST = (
    GROUP,
    "tests/test_lint.py",
    "tests/scoring/test_crew.py",
    "tests/ablation/test_rounding.py",
    "tests/commissioning/test_conditional.py",
    "tests/ablation/pool/test_pool.py",
    "tests/ablation/test_engine.py",
    "tests/commissioning/test_commission.py",
    "tests/observability/http/test_process.py",
    "tests/capture/test_system.py",
    "tests/ablation/pool/test_worker.py",
    "tests/training/test_train.py",
    "tests/scoring/test_command.py",
)
"""A long file begun last would leave the other process without work. The others follow, those of
many tests first."""


class Scheduler(LoadFileScheduling):
    """Keeps a file's tests in one process, and all that run a whole agent in the same one.

    A running agent segments, explains and publishes in processes of its own: two at once on two
    cores would starve each other, and what their tests measure would be the other's load.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return GROUP if file.startswith(RUN_A_WHOLE_AGENT) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = next((scope for scope in LONGEST_FIRST if scope in self.workqueue), None)
        if longest is not None:
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """For ``-n 3``, whatever ``--dist`` says."""
    return Scheduler(config, log)
