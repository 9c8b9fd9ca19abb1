"""An explanation of one class as files: numbers as JSON, arrays as NPZ. Keys are in README.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python

from agent.ablation.core.regions import class_cells
from agent.ablation.result import EngineResult
from agent.models.loaded import LoadedModel
from agent.records import ClassExplanation, CrossChecks


def numbers(model: LoadedModel, result: EngineResult, found: ClassExplanation) -> dict[str, Any]:
    """Everything but the arrays; numbers that are undefined are NaN."""
    return {
        "class": found.class_name,
        "explainable": found.explainable,
        "reason": found.reason,
        "model": model.name,
        "model_sha256": model.sha256,
        "layer": result.layer,
        "path": result.path,
        "ways_left": list(result.ways_left),
        "score": result.score,
        "baseline": result.baseline,
        "region_threshold": result.region_threshold,
        "region_source": result.region_source,
        "channels": int(found.deltas.size),
        "y": found.y,
        "y_null": found.y_null,
        "null_tolerance": found.null_tolerance,
        "y_all": found.y_all,
        "sum_of_deltas": float(found.deltas.sum()),
        "spot_channel": found.spot_channel,
        "spot_error": found.spot_error,
        "exact_share": float(found.exact.mean()) if found.exact.size else math.nan,
        "estimate_error": found.estimate_error,
        "all_ones_share": found.all_ones_share,
        "sign_balance": found.sign_balance,
        "sensitivity_foreground": found.sensitivity_foreground,
        "sensitivity_background": found.sensitivity_background,
        "context_reliance": found.context_reliance,
        "input_sensitivity_foreground": found.input_sensitivity_foreground,
        "input_sensitivity_background": found.input_sensitivity_background,
        "input_context_reliance": found.input_context_reliance,
        "deltas": found.deltas.tolist(),
        "occlusions": [
            {
                "region": str(o.region),
                "fraction": o.fraction,
                "cells": o.cells,
                "y": o.y,
                "dice": o.dice,
                "margin_inside": o.margin_inside,
                "margin_outside": o.margin_outside,
            }
            for o in found.occlusions
        ],
        "relevance_mass": dict(found.relevance_mass),
        **_checks(result, found),
        "left_out": list(result.left_out),
        "seconds": round(result.seconds, 6),
        "seconds_by_method": {k: round(v, 6) for k, v in result.seconds_by_method.items()},
    }


def arrays(result: EngineResult, found: ClassExplanation, index: int) -> dict[str, NDArray[Any]]:
    """The arrays of one class, number ``index`` of the model's; ``weights`` are the paper's
    (y - y_k) / y, NaN where y is 0. Of the studies, those that were made."""
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
        "aperture": result.aperture,
        **_studied(result, found, index),
    }


def _studied(result: EngineResult, found: ClassExplanation, index: int) -> dict[str, NDArray[Any]]:
    study = result.study(found.class_name, found.score or None)
    out: dict[str, NDArray[Any]] = {}
    if found.explainable:
        grid = (found.map.shape[0], found.map.shape[1])
        cells = class_cells(result.mask == index, result.aperture, grid, result.region_threshold)
        out |= {"foreground_cells": cells.foreground, "background_cells": cells.background}
    patches = study.patches
    studies = {
        "patch_drop": None if patches is None else patches.drop,
        "patch_dice": None if patches is None else patches.dice,
        "block_drop": study.block_drop,
        "hires_map": study.hires_map,
        "other_deltas": study.other_deltas,
    }
    return out | {name: made for name, made in studies.items() if made is not None}


def _checks(result: EngineResult, found: ClassExplanation) -> dict[str, Any]:
    """Costly checks; NaN and empty where they were not made."""
    checks = found.checks or CrossChecks()
    groups = result.study(found.class_name, found.score or None).groups
    return {
        "agreement": found.agreement,
        "hires_correlation": checks.hires_correlation,
        "baseline_correlation": checks.baseline_correlation,
        "gains": [
            {
                "measure": gain.measure,
                "fill": gain.fill,
                "auc": gain.auc,
                "over_random": gain.over_random,
                "over_mean_map": gain.over_mean_map,
            }
            for gain in checks.gains
        ],
        "groups": [
            {
                "channels": list(group.channels),
                "delta": group.delta,
                "sum_of_single": group.sum_of_single,
            }
            for group in groups
        ],
    }


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    done, data = cv2.imencode(".png", picture)
    if not done:
        raise OSError(f"{path}: the figure cannot be encoded")
    path.write_bytes(data.tobytes())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """As indented JSON, in which a number that is undefined is null."""
    plain = to_jsonable_python(content, inf_nan_mode="null")
    path.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


def write_npz(path: Path, content: Mapping[str, NDArray[Any]]) -> None:
    """Under exactly this name: numpy would add a suffix of its own to a bare path."""
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **content)
