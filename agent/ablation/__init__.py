"""Frame and model in, explanation out: activation maps are ablated and the drop of a score is read.

The names below are the library, usable without the agent; README.md shows how. They are imported
when they are first asked for: a worker must pin its GPU before torch is loaded, so nothing heavy is
imported here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.ablation.adapt import explainable as explainable
    from agent.ablation.core.errors import AblationError as AblationError
    from agent.ablation.core.errors import LateError as LateError
    from agent.ablation.core.errors import NullControlError as NullControlError
    from agent.ablation.core.focus import Focus as Focus
    from agent.ablation.core.focus import box as box
    from agent.ablation.core.focus import component as component
    from agent.ablation.core.focus import given as given
    from agent.ablation.core.groups import clustered as clustered
    from agent.ablation.core.groups import contiguous as contiguous
    from agent.ablation.core.own_scores import own_score as own_score
    from agent.ablation.core.ranks import rank_correlation as rank_correlation
    from agent.ablation.engine import Engine as Engine
    from agent.ablation.engine import LayerEngines as LayerEngines
    from agent.ablation.overlay import render_overlay as render_overlay
    from agent.ablation.request import Tuning as Tuning
    from agent.ablation.result import Deltas as Deltas
    from agent.ablation.result import EngineResult as EngineResult
    from agent.ablation.run.channel_means import channel_means as channel_means
    from agent.ablation.run.fills import Fill as Fill
    from agent.ablation.studies.curves import CurveSettings as CurveSettings
    from agent.ablation.studies.features import FeatureDrops as FeatureDrops
    from agent.ablation.studies.features import InputFeatures as InputFeatures
    from agent.ablation.studies.features import LayerFeatures as LayerFeatures
    from agent.ablation.studies.methods import METHODS as METHODS
    from agent.ablation.studies.methods import MethodMap as MethodMap
    from agent.ablation.studies.patches import PatchSettings as PatchSettings
    from agent.ablation.studies.studies import CROSS_CHECKS as CROSS_CHECKS
    from agent.ablation.studies.studies import Studied as Studied
    from agent.ablation.studies.studies import Studies as Studies
    from agent.config import Ablation as Ablation
    from agent.config import Head as Head
    from agent.config import Model as Model
    from agent.config import Preprocessing as Preprocessing
    from agent.config import Score as Score
    from agent.models.loading import load_model as load_model

_WHERE = {
    "AblationError": "agent.ablation.core.errors",
    "LateError": "agent.ablation.core.errors",
    "NullControlError": "agent.ablation.core.errors",
    "Ablation": "agent.config",
    "Head": "agent.config",
    "Model": "agent.config",
    "Preprocessing": "agent.config",
    "Score": "agent.config",
    "load_model": "agent.models.loading",
    "explainable": "agent.ablation.adapt",
    "Engine": "agent.ablation.engine",
    "LayerEngines": "agent.ablation.engine",
    "Tuning": "agent.ablation.request",
    "Deltas": "agent.ablation.result",
    "EngineResult": "agent.ablation.result",
    "own_score": "agent.ablation.core.own_scores",
    "Focus": "agent.ablation.core.focus",
    "box": "agent.ablation.core.focus",
    "component": "agent.ablation.core.focus",
    "given": "agent.ablation.core.focus",
    "CROSS_CHECKS": "agent.ablation.studies.studies",
    "Studied": "agent.ablation.studies.studies",
    "Studies": "agent.ablation.studies.studies",
    "CurveSettings": "agent.ablation.studies.curves",
    "PatchSettings": "agent.ablation.studies.patches",
    "FeatureDrops": "agent.ablation.studies.features",
    "InputFeatures": "agent.ablation.studies.features",
    "LayerFeatures": "agent.ablation.studies.features",
    "METHODS": "agent.ablation.studies.methods",
    "MethodMap": "agent.ablation.studies.methods",
    "Fill": "agent.ablation.run.fills",
    "clustered": "agent.ablation.core.groups",
    "contiguous": "agent.ablation.core.groups",
    "channel_means": "agent.ablation.run.channel_means",
    "rank_correlation": "agent.ablation.core.ranks",
    "render_overlay": "agent.ablation.overlay",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
