"""What kind of network a configuration names, and where the source of a factory lies.

Nothing of either is loaded to find that out, and no network library.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from agent.config import Model, ModelFormat
from agent.models.errors import ModelError

FORMATS = {
    ".safetensors": ModelFormat.WEIGHTS,
    ".pt": ModelFormat.WEIGHTS,
    ".pth": ModelFormat.WEIGHTS,
    ".onnx": ModelFormat.ONNX,
    ".pt2": ModelFormat.EXPORT,
    ".ts": ModelFormat.TORCHSCRIPT,
}


def format_of(settings: Model) -> ModelFormat:
    """What ``settings`` name; ``ModelError`` for a suffix that says nothing."""
    if settings.format is not ModelFormat.AUTO:
        if settings.format is ModelFormat.FACTORY and settings.factory is None:
            raise ModelError("model.format: factory needs model.factory: package.module:function")
        if settings.format not in (ModelFormat.FACTORY, ModelFormat.WEIGHTS) and not settings.path:
            raise ModelError(f"model.format: {settings.format} needs model.path")
        return settings.format
    if settings.factory is not None:
        return ModelFormat.FACTORY
    if settings.path is None:
        return ModelFormat.WEIGHTS
    kind = FORMATS.get(settings.path.suffix.lower())
    if kind is None:
        known = ", ".join(f"{suffix} ({value})" for suffix, value in FORMATS.items())
        raise ModelError(
            f"{settings.path}: its suffix names no format: set model.format; known: {known}"
        )
    return kind


def factory_source(factory: str) -> Path:
    """The source file of ``package.module:function``'s module, found without importing it."""
    module_name = factory.partition(":")[0]
    search: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module_name.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _find(".".join(parts[:depth]), search)
        if spec is None:
            break
        search = list(spec.submodule_search_locations or [])
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ModelError(
            f"{factory}: no Python source of the module {module_name!r} is importable: install it "
            f"for {sys.executable}, or name the folder that it lies in in PYTHONPATH"
        )
    return Path(spec.origin)


def _find(name: str, search: list[str] | None) -> ModuleSpec | None:
    try:
        found = (finder.find_spec(name, search) for finder in sys.meta_path)
        return next((spec for spec in found if spec is not None), None)
    except (ImportError, ValueError, AttributeError):  # a name such as "..x", a broken finder
        return None
