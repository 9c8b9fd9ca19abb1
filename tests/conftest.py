"""Settings that every test shares: one torch thread, and what may run beside what."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

settings.register_profile("loaded", deadline=None)  # a busy machine is no defect of the code
settings.load_profile("loaded")


WHOLE_AGENT = (
    "tests/integration/",
    "tests/pipeline/test_watchdog_loops.py",
    "tests/deploy/test_containers.py",
    "tests/deploy/test_grafana.py",
)


class Scheduler(LoadFileScheduling):
    """Keeps a file's tests in one process, and all that run a whole agent in the same one.

    A running agent segments, explains and publishes in processes of its own: two at once on two
    cores would starve each other, and what their tests measure would be the other's load.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "whole agent" if file.startswith(WHOLE_AGENT) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    """For ``-n 2``, whatever ``--dist`` says."""
    return Scheduler(config, log)
