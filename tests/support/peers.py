"""Other people's models and explainers, where they are installed: for tests and benchmarks only."""

from __future__ import annotations

import importlib
import os
from typing import Any

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


def peer(name: str, extra: str = "bench") -> Any:
    """The module of that name; skips the test, or the module of tests that asks for it at its
    beginning, where it is not installed."""
    torchvision_loads()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if os.environ.get("PITWATCH_REQUIRE_PEERS"):
            raise
        reason = f"{name} is not installed (pip install of the extra '{extra}'): {error}"
        pytest.skip(reason, allow_module_level=True)
