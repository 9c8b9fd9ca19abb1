"""Reading weights as data: safetensors or a state dict, never an unpickled object."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from agent.models.errors import ModelError, first_line
from agent.models.files import check_archive
from agent.models.state_dicts import FLOATS, bare, check_kinds, unwrapped


def read_state_dict(data: bytes, name: str, wanted: Collection[str] = ()) -> dict[str, Tensor]:
    """A flat state dict out of the bytes of a file; ``ModelError`` naming ``name`` otherwise.

    ``wanted`` are the keys of the module that it is for, where they are known.
    """
    raw = _safetensors(data, name) if name.endswith(".safetensors") else _checkpoint(data, name)
    state = bare(unwrapped(raw, name), name, wanted)
    check_kinds(state, name)
    check_finite(state, name)
    return state


def check_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Raise ``ModelError`` naming the first weight that holds a NaN or an infinity."""
    for key, value in state.items():
        plain = value.dtype in FLOATS and value.layout is torch.strided
        if plain and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise ModelError(f"{name}: {key}: {bad} of {value.numel()} values are NaN or infinite")


def _safetensors(data: bytes, name: str) -> Mapping[Any, Any]:
    try:
        return load_safetensors(data)
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{name}: not a safetensors file: {error}") from error


def _checkpoint(data: bytes, name: str) -> Mapping[Any, Any]:
    check_archive(data, name)
    if _is_program(data):
        raise ModelError(
            f"{name}: a TorchScript or torch.export program, not weights: name its format "
            "(model.format: torchscript or export), which asks for model.trust: program"
        )
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name}: refused: it holds pickled objects (or is damaged), and loading those would "
            "run code; save model.state_dict() instead, or convert it to safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, IndexError, TypeError) as error:
        raise ModelError(f"{name}: not a readable state dict: {first_line(error)}") from error
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{name}: expected a state dict, found {type(loaded).__name__}")
    return loaded


def _is_program(data: bytes) -> bool:
    """Whether these bytes are a zip archive with code in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(
                "/code/" in entry
                or entry.endswith((".py", "constants.pkl", "model.json"))
                or "serialized_exported_program" in entry
                for entry in archive.namelist()
            )
    except zipfile.BadZipFile:
        return False
