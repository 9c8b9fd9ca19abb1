"""Leaves out what ``over_ray`` says."""

from __future__ import annotations

import pytest

from tests.ablation.pool.over_ray import left_out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    dropped = [item for item in items if left_out(item)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if not left_out(item)]
