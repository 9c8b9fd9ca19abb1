"""An explanation of one class as files: numbers as JSON, arrays as NPZ. Keys are in README.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.ablation.result import EngineResult
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation


def numbers(model: LoadedModel, result: EngineResult, found: ClassExplanation) -> dict[str, Any]:
    """Everything but the arrays; numbers that are undefined are null."""
    return {
        "class": found.class_name,
        "explainable": found.explainable,
        "reason": found.reason,
        "model": model.name,
        "model_sha256": model.sha256,
        "layer": result.layer,
        "path": result.path,
        "score": result.score,
        "baseline": result.baseline,
        "region_threshold": result.region_threshold,
        "region_source": result.region_source,
        "channels": int(found.deltas.size),
        "y": _plain(found.y),
        "y_null": _plain(found.y_null),
        "null_tolerance": _plain(found.null_tolerance),
        "y_all": _plain(found.y_all),
        "sum_of_deltas": _plain(float(found.deltas.sum())),
        "spot_channel": found.spot_channel,
        "spot_error": _plain(found.spot_error),
        "exact_share": _plain(float(found.exact.mean()) if found.exact.size else math.nan),
        "estimate_error": _plain(found.estimate_error),
        "all_ones_share": _plain(found.all_ones_share),
        "sign_balance": _plain(found.sign_balance),
        "sensitivity_foreground": _plain(found.sensitivity_foreground),
        "sensitivity_background": _plain(found.sensitivity_background),
        "context_reliance": _plain(found.context_reliance),
        "input_sensitivity_foreground": _plain(found.input_sensitivity_foreground),
        "input_sensitivity_background": _plain(found.input_sensitivity_background),
        "input_context_reliance": _plain(found.input_context_reliance),
        "deltas": [_plain(float(value)) for value in found.deltas],
        "occlusions": [
            {
                "region": str(o.region),
                "fraction": o.fraction,
                "cells": o.cells,
                "y": _plain(o.y),
                "dice": _plain(o.dice),
                "margin_inside": _plain(o.margin_inside),
                "margin_outside": _plain(o.margin_outside),
            }
            for o in found.occlusions
        ],
        "left_out": list(result.left_out),
        "seconds": round(result.seconds, 6),
        "seconds_by_method": {k: round(v, 6) for k, v in result.seconds_by_method.items()},
    }


def arrays(result: EngineResult, found: ClassExplanation) -> dict[str, NDArray[Any]]:
    """The arrays of one class; ``weights`` are the paper's (y - y_k) / y, NaN where y is 0."""
    y = np.float64(found.y if found.y != 0 else math.nan)
    return {
        "input": result.input,
        "deltas": found.deltas,
        "weights": found.deltas / y,
        "map": found.map,
        "mean_map": found.mean_map,
        "mask": result.mask,
        "logits": result.logits,
        "y": np.asarray(found.y, np.float64),
        "y_null": np.asarray(found.y_null, np.float64),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_npz(path: Path, content: Mapping[str, NDArray[Any]]) -> None:
    """Under exactly this name: numpy would add a suffix of its own to a bare path."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
