"""Other people's models and explainers, where they are installed: for tests and benchmarks only."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, NoReturn

import pytest
import torch

_LIBRARY: list[torch.library.Library] = []


def torchvision_loads() -> None:
    """Declare the two operators whose absence keeps torchvision from being imported.

    Its wheel for a CUDA build of torch has no operators for a CPU build; nothing here calls them.
    """
    if _LIBRARY or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        library.define(name + arguments)
    _LIBRARY.append(library)


def needed(name: str, extra: str) -> None:
    """Skip the module of tests that asks for it where ``name`` is not installed. It is imported by
    the tests that use it: some take seconds, which each process of a run would pay."""
    torchvision_loads()
    if importlib.util.find_spec(name) is None:
        _missing(name, extra, "it is not found")


def peer(name: str, extra: str = "bench") -> Any:
    """The module of that name; skips the test, or the module of tests that asks for it at its
    beginning, where it is not installed."""
    torchvision_loads()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("PITWATCH_REQUIRE_PEERS"):
            raise
        _missing(name, extra, str(error))


def _missing(name: str, extra: str, why: str) -> NoReturn:
    reason = f"{name} is not installed (pip install of the extra '{extra}'): {why}"
    if os.environ.get("PITWATCH_REQUIRE_PEERS"):
        raise ImportError(reason)
    pytest.skip(reason, allow_module_level=True)
